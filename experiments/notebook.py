"""Build a notebook from its source and run it: what it shows are the outputs of this very code.

reads   notebooks/<name>.py   percent format of jupytext
writes  notebooks/<name>.ipynb   with outputs, in which no path of this machine stands

It runs in a folder of its own, which is thrown away, and takes nothing that was made before. Needs jupytext, nbclient
and ipykernel: pip install -r requirements-notebook.txt, or  make notebook.

example:  python experiments/notebook.py
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from distill.files.storage import save_text
from distill.pipeline.runs.cells import ONE_THREAD, places
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

FOLDER = paths.ROOT / "notebooks"
LONGEST = 600  # seconds of a cell
A_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.-]+/)+[\w.-]*")  # absolute
TEXT = ("text", "text/plain", "text/html", "evalue", "traceback")  # of outputs


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--name", default="rediscover", help="of the notebook (rediscover)")
    args = parser.parse_args(argv)
    source, stage = FOLDER / f"{args.name}.py", Stage("notebook", args.name)
    path = source.with_suffix(".ipynb")
    content = built(source)
    save_text(path, content)
    cells = json.loads(content)["cells"]
    print(stage.done(path, cells=len(cells), kilobytes=len(content.encode()) // 1000), flush=True)
    return 0


def built(source: Path) -> str:
    """The text of the .ipynb of ``source``, run; ``UserError`` where a package is missing, a cell fails, or an output
    holds a path of this machine.
    """
    if not source.is_file():
        raise UserError(f"{relative(source)} does not exist", "give --name the name of a file there")
    try:
        import jupytext
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
        from traitlets.config import Config
    except ImportError as exc:
        fix = "pip install -r requirements-notebook.txt"
        raise UserError(f"the package {exc.name} is not installed", fix) from None
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    with tempfile.TemporaryDirectory() as folder:
        there = {"PYTHONPATH": str(paths.ROOT), "PYTHONWARNINGS": "ignore"} | ONE_THREAD | places(Path(folder))
        options = {"resources": {"metadata": {"path": folder}}, "timeout": LONGEST, "record_timing": False}
        talk = {"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}}  # no port is opened
        client = NotebookClient(notebook, **options, config=Config(talk))
        with patch.dict(os.environ, there):
            try:
                client.execute()
            except CellExecutionError as exc:
                raise UserError(f"{relative(source)}: a cell failed: {exc.ename}: {exc.evalue}", "correct it") from None
        cleaned(notebook, {folder: ".", os.path.realpath(folder): ".", sys.prefix: "python"})
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def cleaned(notebook, names: dict[str, str]) -> None:
    """Take out what differs from one run or machine to another and says nothing: numbers of cells, the version of
    Python, and paths, which get their ``names``; ``UserError`` for one that is left.
    """
    notebook["metadata"] = {"kernelspec": notebook["metadata"]["kernelspec"], "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook["cells"]):
        cell["id"], cell["metadata"] = f"cell-{number}", {}
        cell["source"] = cell["source"].splitlines(keepends=True)
        for output in cell.get("outputs", ()):
            for holder in (output, output.get("data", {})):
                for key in (k for k in TEXT if k in holder):
                    holder[key] = _named(holder[key], names, number)


def _named(told, names: dict[str, str], number: int):
    lines = "".join(told) if isinstance(told, list) else told
    for place, name in names.items():
        lines = lines.replace(place, name)
    if found := A_PATH.search(re.sub(r"<svg.*?</svg>", "", lines, flags=re.DOTALL)):
        raise UserError(f"cell {number} shows a path of this machine: {found[0]}", "show it relative to the folder")
    return lines.splitlines(keepends=True)


if __name__ == "__main__":
    run_script(main)
