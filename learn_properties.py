"""Learn the masses, charges or other values of bodies that nobody measured, from how they move.

reads    datasets/<dataset>.npz
writes   datasets/<dataset>_learnt.npz and .json; outputs/<dataset>_learnt/properties.json and properties.png
example  python learn_properties.py --dataset solar --unknown mass --reference sun=1

No network and no formula: values and the curve of the force are fitted together. A body is told by its number in the
array 'id' [trajectory, particle] (simulate.py --bodies makes it; particles of one long recording have it). What the
values do is found: act on others, answer, both, or both by one value; so is what acts beside the pairs: traps,
friction, uniform fields, forces from displaced points such as wakes. Errors come from the spread of whole trajectories.
The dataset that is written has the values as a property; every other stage takes it as any dataset. With the --law that
is then found the values are fitted once more, into <dataset>_refitted: a formula leaves more of the data to them.
"""

import distill
from distill.shell.flags import Parser, add_run_flags
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, help="name or path of a dataset")
    add("--unknown", default="mass", metavar="NAME", help="mass, charge or any other name of a property (mass)")
    known = "bodies whose value is known, which fix the scale (the geometric mean of those far from zero is 1)"
    add("--reference", nargs="+", default=[], metavar="BODY=VALUE", help=known)
    with_law = "run, or law.json, of a law found with such values: they are fitted once more, with its formulas"
    add("--law", metavar="RUN", help=with_law)
    add("--name", help="of the dataset that is written (<dataset>_learnt, with --law <dataset>_refitted)")
    add_run_flags(parser, "seed of the frames drawn, of the folds and of starts")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    print(distill.learn_properties(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
