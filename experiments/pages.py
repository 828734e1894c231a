"""Write every number of README.md and of the pages in docs/ from the results: what stands between marks.

reads   results/*.json  results/cells/  results/argon/  and the tables of the code (systems, files)
writes  README.md  docs/*.md between their marks; with --figures docs/tables.png and docs/pruning.png

A part stands between  <!-- NAME: written by experiments/pages.py -->  and  <!-- NAME: end -->; its name is one of
``page_parts.PARTS``. A number within a sentence stands between  <!-- = FILE PATH FORMAT -->  and  <!-- /= -->: of
results/FILE.json what lies under the keys PATH (parted by /, "key=value" for the entry of a list), in Python's FORMAT.

example:  python experiments/pages.py
"""

import re
from pathlib import Path

import page_parts
from table_cells import load

from distill.files.storage import save_bytes, save_text
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

PAGES = (paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- (\S+): written by experiments/pages\.py -->\n)(.*?)(<!-- \2: end -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- = (\S+) (.+?) (\S+) -->)(.*?)(<!-- /= -->)")
MARK = re.compile(r"<!-- (?:= |/= |\S+: (?:written|end))")


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--figures", action="store_true", help="draw the figures of the tables too")
    parser.add_argument("--cells", type=Path, help="folder of other cells: write the page of these alone, to --out")
    parser.add_argument("--out", type=Path, help="with --cells: the page to write; figures go beside it")
    args = parser.parse_args(argv)
    if bool(args.cells) != bool(args.out):
        parser.error("--cells and --out go together")
    return args


def main(argv=None) -> int:
    args = parse(argv)
    stage = Stage("pages", relative(args.cells or paths.ROOT / "results"))
    if args.cells:
        cells = load(args.cells)
        save_text(args.out, page_parts.page_of(cells) + "\n")
        draw(cells, args.out.parent)
        print(stage.done(args.out, cells=len(cells.contents), missing=len(page_parts.missing(cells))), flush=True)
        return 0
    changed = 0
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old, page.name)
        changed += new != old
        save_text(page, new)
    if args.figures:
        draw(load(page_parts.CELLS), paths.ROOT / "docs")
    print(stage.done(paths.ROOT / "docs", pages=len(PAGES), changed=changed), flush=True)
    return 0


def draw(cells, folder: Path) -> None:
    """The figures of the published tables; argon's is drawn from a run (``figures.py``)."""
    if page_parts.of_argon(cells):
        return
    from table_figures import draw_pruning, draw_r2

    save_bytes(folder / "tables.png", draw_r2(cells))
    save_bytes(folder / "pruning.png", draw_pruning(cells))


def filled(text: str, name: str = "page") -> str:
    """``text`` with everything between its marks written anew; ``UserError`` for a mark that nothing fills."""

    def block(found):
        start, part, _, end = found.groups()
        if part not in page_parts.PARTS:
            raise UserError(f"{name}: no part '{part}'", "choose among " + " ".join(page_parts.PARTS))
        return f"{start}{page_parts.PARTS[part]()}\n{end}"

    def number(found):
        start, file, path, form, _, end = found.groups()
        return start + page_parts.shown(page_parts.value(file, path), form) + end

    marks = len(MARK.findall(text))
    if marks != 2 * (len(BLOCK.findall(text)) + len(NUMBER.findall(text))):
        raise UserError(f"{name}: a mark has no end or no start", "look for '<!--' there")
    return NUMBER.sub(number, BLOCK.sub(block, text))


if __name__ == "__main__":
    run_script(main)
