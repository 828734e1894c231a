"""notebooks/rediscover.ipynb is what its source makes: the same cells, run, with nothing of a machine in them."""

import copy
import importlib.util
import json
import re
import resource
import sys

import notebook
import pytest
from scripts import ROOT

from distill.shell.errors import UserError

SOURCE = ROOT / "notebooks" / "rediscover.py"
BUILT = json.loads(SOURCE.with_suffix(".ipynb").read_text(encoding="utf-8"))
MOST_BYTES, MOST_SECONDS = 1_000_000, 300
NEEDED = ("jupytext", "nbclient", "ipykernel")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def cells_of(text: str) -> list[tuple[str, str]]:
    """(kind, source) of every cell of a file in percent format."""
    out = []
    for part in re.split(r"^# %%", text.partition("\n\n")[2], flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        out.append(("markdown" if "[markdown]" in head else "code", body.strip("\n")))
    return out


def written(built: dict) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in built["cells"]]


def shown(built: dict) -> str:
    """All text of the outputs."""
    found = []
    for output in (output for cell in built["cells"] for output in cell.get("outputs", ())):
        data = {"text": output.get("text", [])} | output.get("data", {})
        found += ["".join(told) for kind, told in data.items() if not kind.startswith("image/")]
    return "\n".join(found)


def test_the_notebook_has_the_cells_of_its_source():
    assert written(BUILT) == cells_of(SOURCE.read_text(encoding="utf-8")), "run  make notebook"


def test_all_of_it_was_run_in_order_and_it_is_small():
    code = [cell for cell in BUILT["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
    figures = sum("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"])
    assert figures >= 6 and SOURCE.with_suffix(".ipynb").stat().st_size < MOST_BYTES


def test_it_says_what_its_words_say_of_it():
    """The words around the outputs were written once; the outputs are those of the last run."""
    told = shown(BUILT)
    assert re.search(r"From the messages alone.*?m_i \* m_j / \(r \+ 0\.01", told)
    assert re.search(r"Rival: untrained network.*?\(not recovered", told)
    for rival in ("accelerations, no network", "splines, no network"):
        assert re.search(rf"Rival: {rival}[^()]*\(r \+ 0\.01\)\^2 \(recovered\)", re.sub("<[^>]*>", "", told))
    assert "<law rediscover_tracks__splines: f = 1/r, trusted>" in told and "velocity-free: NO, drag" in told


def test_nothing_of_a_machine_is_shown():
    assert BUILT["metadata"].keys() == {"kernelspec", "language_info"}
    bare = re.sub(r"<svg.*?</svg>|<[^>]*>", "", shown(BUILT), flags=re.DOTALL)
    assert not re.findall(r"(?<![\w.])/(?:[\w.-]+/)+", bare) and "site-packages" not in bare


def test_what_differs_from_run_to_run_is_taken_out_and_a_path_is_refused():
    plain = {"cell_type": "code", "source": "a\nb", "metadata": {"x": 1}, "id": "abc123"}
    output = {"output_type": "stream", "text": "wrote /here/there/out.txt"}
    book = {"metadata": {"kernelspec": {"name": "python3"}, "widgets": 1}, "cells": [plain | {"outputs": [output]}]}
    cleaned = copy.deepcopy(book)
    notebook.cleaned(cleaned, {"/here/there": "."})
    (cell,) = cleaned["cells"]
    assert cell["source"] == ["a\n", "b"] and cell["outputs"][0]["text"] == ["wrote ./out.txt"]
    assert (cell["id"], cell["metadata"]) == ("cell-0", {}) and "widgets" not in cleaned["metadata"]
    with pytest.raises(UserError, match="cell 0 shows a path of this machine: /here/there/out.txt"):
        notebook.cleaned(book, {"/elsewhere": "."})


def test_a_missing_package_is_told_in_a_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(UserError, match="jupytext is not installed; pip install -r requirements-notebook.txt"):
        notebook.built(SOURCE)
    with pytest.raises(UserError, match="does not exist"):
        notebook.built(tmp_path / "none.py")


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (requirements-notebook.txt)")
def test_it_is_built_and_run_in_minutes():
    """Seconds of the processor: on an idle machine they are those of the clock, one core at a time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    built = json.loads(notebook.built(SOURCE))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_SECONDS
    assert written(built) == cells_of(SOURCE.read_text(encoding="utf-8"))
    assert ": f = -m_i*m_j/(r+0.01)^2, recovered>" in shown(built)
    assert "<law rediscover_tracks__splines: f = 1/r, trusted>" in shown(built)
