"""Run a trained network over a split of its dataset and store what every edge sends.

reads   model_weights/<run>/  and the dataset it was trained on
writes  outputs/<run>/messages_<split>.npz  (+ .json)

example:  python extract_messages.py --run r2_n4_d2_s0__l1-newton__s0

One row an edge: message, receiver and sender, geometry and properties of both ends, the true and
predicted acceleration of the receiver, and the true pair force where the system is known. Networks whose
messages need not be forces (not antisymmetric, or a node model that is not linear in them) also get each
edge's share of the predicted acceleration, by the Jacobian of the node model. On positions alone a receiver is a
particle in a window of frames, with the pairs of all of them as rows, each with its weight in the mean. Rows go to
the file as they come: memory does not grow with --max-graphs, and of a file too large for memory the next stages draw
whole graphs.
"""

import distill
from distill.files.fields import SPLITS
from distill.shell.flags import Parser, add_run_flags, non_negative_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True, help="name (or path) of a folder in model_weights/")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=(*SPLITS, "all"),
        default=["train", "test"],
        help="which trajectories; train is what symbolic_reg.py fits, test what scores are from",
    )
    parser.add_argument(
        "--max-graphs",
        type=non_negative_int,
        help="frames (on positions alone: windows) drawn at random from the split (10000; in a periodic box, and of"
        " windows, as many as have about 600,000 edges: 38 of 258 atoms); 0 = all",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add_run_flags(parser, "seed of the draw of frames")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    distill.extract_messages(**vars(args), each=lambda done: print(done, flush=True))
    return 0


if __name__ == "__main__":
    run_script(main)
