"""Write the page on Lennard-Jones argon from its cells: what ``make argon`` ends with.

reads   results/argon/<run>.json
writes  results/argon.md  and the part of README.md between its marks

example:  python experiments/argon.py
"""

from pathlib import Path

from cells import select

from distill.files.storage import save_text
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

CELLS = paths.ROOT / "results" / "argon"
PAGE = paths.ROOT / "results" / "argon.md"
README = paths.ROOT / "README.md"
MARKS = "<!-- argon: written by experiments/argon.py -->", "<!-- argon: end -->"


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of the cells")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write")
    parser.add_argument("--no-readme", action="store_true", help="leave README.md as it is")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    stage = Stage("argon", relative(args.cells))
    from argon_tables import page, summary
    from table_cells import load
    from tables import filled

    cells = load(args.cells)
    missing = sorted(set(select(["argon"])) - {c["run"] for c in cells.contents})
    save_text(args.out, page(cells, missing))
    if not args.no_readme:
        save_text(README, filled(README.read_text(encoding="utf-8"), summary(cells), *MARKS))
    print(stage.done(args.out, cells=len(cells.contents), missing=len(missing)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
