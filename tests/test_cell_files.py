"""Cells of a benchmark: measured in processes of their own, kept, found done, and what becomes of those that fail."""

import sys
from types import SimpleNamespace

import cell_files
import pytest

MODULE = """
import os, time
import cell_files
from distill.shell.errors import UserError

def measured(kind, seed):
    if kind == "refused":
        raise UserError("no such thing", "ask for another")
    if kind == "early" and not os.path.exists(os.environ["PYTHONPATH"].split(":")[0] + "/made"):
        raise cell_files.Prerequisite("nothing was made", "make it")
    if kind == "broken":
        raise ValueError("a number")
    if kind == "endless":
        time.sleep(60)
    return {"value": [kind, seed], "process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}
"""


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    (tmp_path / "planted_cells.py").write_text(MODULE)
    path = [str(tmp_path), *sys.path]
    monkeypatch.setenv("PYTHONPATH", ":".join(path))
    monkeypatch.setattr(cell_files.paths, "OUTPUTS", tmp_path / "outputs")
    return cell_files.Benchmark(
        "planted_cells",
        ("kind", "seed"),
        place=lambda row: (row["seed"], row["kind"]),
        summary=lambda rows: {"counts": {"errors": sum("error" in row for row in rows)}},
        told=lambda row: str(row["value"]),
        failed={"inside": 0},
    )


def test_cells_are_measured_beside_each_other_and_once(benchmark, tmp_path):
    args = SimpleNamespace(jobs=4, limit=20, development=True, overwrite=False)
    cells = {f"{kind}_{seed}": (kind, seed) for kind, seed in (("good", 2), ("refused", 1), ("broken", 1), ("good", 1))}
    rows = benchmark.run(cells, args)["rows"]
    assert [(row["seed"], row["kind"]) for row in rows] == [(1, "broken"), (1, "good"), (1, "refused"), (2, "good")]
    assert rows[1]["process"] != rows[3]["process"] and rows[1]["threads"] == "1" and "commit" in rows[1]["git"]
    log = tmp_path / "outputs" / "planted_cells" / "broken_1.log"
    assert rows[0]["error"].startswith("ValueError: a number: see") and rows[0]["inside"] == 0
    assert "Traceback" in log.read_text() and rows[2]["error"] == "no such thing; ask for another"
    again = benchmark.run({"good_1": ("good", 1)}, args)  # beside what is there
    assert again["rows"] == rows and again["counts"] == {"errors": 2}
    late = benchmark.run({"endless_1": ("endless", 1)}, SimpleNamespace(**vars(args) | {"limit": 3}))["rows"]
    assert [row["error"] for row in late if row["kind"] == "endless"][0].startswith("did not end within 3 s: see")


def test_a_cell_that_lacks_a_prerequisite_is_measured_by_the_next_call(benchmark, tmp_path, capsys):
    args = SimpleNamespace(jobs=1, limit=20, development=True, overwrite=False)
    assert benchmark.run({"early_1": ("early", 1)}, args) == {}
    assert "nothing was made; make it" in capsys.readouterr().err
    (tmp_path / "made").touch()
    assert benchmark.run({"early_1": ("early", 1)}, args)["rows"][0]["value"] == ["early", 1]
