"""Fit the most important message components to the true forces, and say how linear they are.

reads   outputs/<run>/messages_<split>.npz and messages_train.npz; with --messages a file
writes  outputs/<run>/linear_fit.json  linear_fit.png  importance.png

example:  python fit_linear.py --run r2_n4_d2_s0__l1-newton__s0
          python fit_linear.py --messages theirs.npz        into outputs/theirs/

r2_all is least squares over all edges, r2_trim90 the paper's trimmed fit scored on the 90 % of edges
it fits best; both are means over the D most important components, against the true pair force.
The same against F/m_i and q_i F stands under "targets" (where all masses are equal, F/m_i is F but for a
factor), against the pair potential times the unit vector under "potential". "read_out" is the force read from
ALL components by means of net forces of the training split alone, scored on true pair forces.
"""

import distill
from distill.files.fields import SPLITS
from distill.shell.flags import Parser, add_run_flags, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    which = parser.add_mutually_exclusive_group(required=True).add_argument
    which("--run", help="name (or path) of a folder in model_weights/")
    which(
        "--messages", metavar="FILE", help="in place of a run: messages made elsewhere, an .npz as in docs/formats.md"
    )
    parser.add_argument("--name", help="of the folder in outputs/ for --messages (what the file is called)")
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="test", help="edges that are scored")
    parser.add_argument("--cutoff", type=positive_int, default=5000, help="largest number of points drawn")
    add_run_flags(parser, "seed of the points drawn and of the read-out's split")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    print(distill.fit_linear(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
