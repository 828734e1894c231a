"""The six stages of one run, one after the other, as a user would type them: what ``make demo`` does.

example:  python -m distill.pipeline.runs.demo --system r2 --variant l1
"""

import subprocess
import sys
import time

from distill.pipeline.runs.cells import STAGES, Cell
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_int
from distill.shell.stage import run_script

TITLES = ("simulate", "train", "extract messages", "linear fit", "symbolic regression", "law against network")


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--system", default="r2")
    add("--variant", default="l1")
    add("--recipe", default="newton")
    add("--dim", type=positive_int, default=2)
    add("--n", type=positive_int, default=4, help="particles")
    add("--seed", type=non_negative_int, default=0)
    add("--threads", type=positive_int, default=2, help="of the symbolic search")
    add("--quick", action="store_true", help="tiny sizes through the same code")
    return parser.parse_args(argv)


def cell(args) -> Cell:
    return Cell(args.system, args.dim, args.variant, args.recipe, args.seed, args.n, targets=(), compare=())


def commands(args) -> list[list[str]]:
    """The command lines of the six stages."""
    one, more = cell(args), {"law": ["--threads", args.threads]}
    quick = ["--quick"] if args.quick else []
    words = [one.words(stage, *more.get(stage, ()), *quick) for stage in STAGES]
    if not (paths.MODEL_WEIGHTS / one.run / "checkpoint.safetensors").is_file():
        words[1].remove("--resume")  # train.py would warn that there is nothing to go on from
    return words


def main(argv=None) -> int:
    args, start = parse(argv), time.time()
    for k, (title, (script, *flags)) in enumerate(zip(TITLES, commands(args), strict=True), 1):
        print(f"== {k}/{len(TITLES)} {title}", flush=True)
        if code := subprocess.run([sys.executable, paths.ROOT / script, *flags]).returncode:
            return code
    print(f"all six stages: {time.time() - start:.0f} s")
    return 0


if __name__ == "__main__":
    run_script(main)
