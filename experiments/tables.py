"""Write the tables and figures from the cells: ours beside the published ones.

reads   results/cells/<run>.json
writes  results/tables.md  docs/tables.png  docs/pruning.png  and the parts of README.md between its marks

example:  python experiments/tables.py
"""

from pathlib import Path

from cells import select

from distill.files.storage import save_bytes, save_text
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

CELLS = paths.ROOT / "results" / "cells"
PAGE = paths.ROOT / "results" / "tables.md"
README = paths.ROOT / "README.md"
START, END = "<!-- tables: written by experiments/tables.py -->", "<!-- tables: end -->"


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of the cells")
    parser.add_argument(
        "--out", type=Path, default=PAGE, help="page to write; figures beside it unless it is the default"
    )
    parser.add_argument("--no-readme", action="store_true", help="leave README.md as it is")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    stage = Stage("tables", relative(args.cells))
    from table_cells import load
    from table_figures import draw_pruning, draw_r2
    from table_parts import page
    from table_readme import summary

    cells = load(args.cells)
    missing = sorted(set(select()) - {c["run"] for c in cells.contents})
    figures = paths.ROOT / "docs" if args.out.resolve() == PAGE else args.out.parent
    save_bytes(figures / "tables.png", draw_r2(cells))
    save_bytes(figures / "pruning.png", draw_pruning(cells))
    save_text(args.out, page(cells, missing))
    if not args.no_readme:
        save_text(README, filled(README.read_text(encoding="utf-8"), summary(cells)))
    print(stage.done(args.out, cells=len(cells.contents), missing=len(missing)), flush=True)
    return 0


def filled(readme: str, text: str, start: str = START, end: str = END) -> str:
    """``readme`` with ``text`` between its marks; ``UserError`` if they are not there once each."""
    if readme.count(start) != 1 or readme.count(end) != 1 or readme.index(start) > readme.index(end):
        raise UserError(
            f"README.md lacks the marks of the tables, expected one '{start}' and one '{end}'",
            "git checkout README.md, or --no-readme",
        )
    before, rest = readme.split(start)
    return f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    run_script(main)
