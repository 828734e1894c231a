"""A first look at a dataset, in seconds: the pair force as a curve, what acts beside it, what is left over.

reads    datasets/<dataset>.npz
writes   outputs/<dataset>__splines/look.png and look.json
example  python look.py --dataset mine

No network and no formula: splines in the distance times products of the particles' properties, with drag and uniform
fields, are fitted to the accelerations or, where only positions are known, to windows of these. What they leave on
trajectories left out is tested: does it last, does it follow position, velocity, time, distances and properties, other
particles' velocities, several neighbours at once, and do all forces add up to zero?
"""

import distill
from distill.shell.flags import Parser, add_run_flags
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--dataset", required=True, help="name or path of a dataset")
    add_run_flags(parser, "seed of the frames drawn and of the folds")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    print(distill.look(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
