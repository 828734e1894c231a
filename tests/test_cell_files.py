"""Cells of a benchmark: measured in processes of their own, kept, found done, and what becomes of those that fail."""

import subprocess
import sys
from types import SimpleNamespace

import cell_files
import pytest

from distill.files import provenance

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


@pytest.mark.parametrize("same", [True, False])
def test_a_row_of_the_same_code_is_done_without_its_file(benchmark, tmp_path, monkeypatch, same):
    """A machine that measured and is gone: what it committed is there."""
    monkeypatch.setattr(cell_files.paths, "ROOT", tmp_path)
    monkeypatch.setattr(cell_files, "same_code", lambda made: same and made == {"commit": "c", "dirty": False})
    row = {"kind": "good", "seed": 3, "value": "as it was", "git": {"commit": "c", "dirty": False}, "error": 0.01}
    wrong = row | {"seed": 4, "error": "it failed"}
    cell_files.sections.save(tmp_path / "results/planted_cells.json", "x", "planted_cells", {"rows": [row, wrong]})
    args = SimpleNamespace(jobs=1, limit=20, development=False, overwrite=False)
    rows = benchmark.run({"good_3": ("good", 3), "good_4": ("good", 4)}, args)["rows"]
    assert [r["value"] for r in rows] == ["as it was" if same else ["good", 3], ["good", 4]] and "error" not in rows[1]
    args.overwrite = True
    assert benchmark.run({"good_3": ("good", 3)}, args)["rows"][0]["value"] == ["good", 3]


def test_code_is_the_same_where_measurements_alone_have_written(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance.paths, "ROOT", tmp_path)

    def committed(name: str, text: str) -> dict:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        for words in (["add", "."], ["-c", "user.email=a@b.c", "-c", "user.name=a", "commit", "-qm", "x"]):
            subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
        return provenance.provenance("x", {}, {}, 0.0)["git"]

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = committed("a.py", "1")
    assert provenance.same_code(first) and not provenance.same_code(first | {"dirty": True})
    for name in ("results/a.json", "docs/a.md", "README.md", "tests/test_a.py", "experiments/energy_parts.py"):
        committed(name, "{}")
    assert provenance.same_code(first)
    other = committed("experiments/sweep.py", "1")
    assert provenance.same_code(other) and not provenance.same_code(first)
    first = other
    other = committed("tests/faults_kills.py", "1")  # measures
    assert provenance.same_code(other) and not provenance.same_code(first)
    first = other
    (tmp_path / "a.py").write_text("2")
    assert not provenance.same_code(first)  # what is here now is of no commit
    second = committed("a.py", "3")
    assert provenance.same_code(second) and not provenance.same_code(first)
    assert not provenance.same_code({"commit": "0" * 40, "dirty": False}) and not provenance.same_code({})
