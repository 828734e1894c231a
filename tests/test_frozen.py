"""Every published table has a command that measures it again, and a stopped call goes on."""

import importlib
import json
import subprocess
from pathlib import Path

import demo
import frozen
import pytest
import recovery

from distill.files.provenance import provenance
from distill.shell import paths
from distill.shell.errors import UserError

# frozen.ini says why; what is no .json is a folder of cells
ELSEWHERE = {"gpu", "pysr", "faults", "extending", "single_runs", "pipeline_paper", "cells", "argon"}
WITHOUT_SEEDS = {"speed", "demo", "scale"}  # costs, and the demo that everybody runs
UNSEEN = 3000  # no seed beyond was used before


def test_every_file_of_results_is_written_by_a_command():
    there = {path.stem for path in (paths.ROOT / "results").iterdir()}
    assert there - ELSEWHERE == there & {one.results for one in frozen.tables()}
    said = [line for line in frozen.FILE.read_text(encoding="utf-8").splitlines() if line.startswith(";")]
    assert all(f"results/{name}" in " ".join(said) for name in ELSEWHERE)


def test_every_matrix_of_recovery_is_measured_and_lands_in_a_section_with_a_page():
    found = {}
    for one in frozen.tables():
        for command in one.commands:
            script, *words = command.split()
            if script == "benchmarks/recovery.py":
                args = recovery.parse(words)
                assert args.jobs == 1, command  # as many processes as --jobs of frozen.py says
                todo = {"planted": recovery.planted, "pipeline": recovery.pipeline, "near-misses": recovery.near_misses}
                section, cells = todo[args.kind](args)
                assert cells and section != "custom", command
                found.setdefault(args.kind, []).append(section)
    assert sorted(found.pop("pipeline")) == sorted(recovery.MATRICES)
    assert found == {"planted": ["operon"], "near-misses": ["all"]}


def test_figures_of_all_rows_are_drawn_before_the_pages_are_filled():
    assert frozen.LAST[-1] == "experiments/pages.py"
    assert all((paths.ROOT / command.split()[0]).is_file() for command in frozen.LAST)


def test_optional_packages_that_are_not_there_are_told(monkeypatch):
    optional = {one.name: one.optional for one in frozen.tables() if one.optional}
    assert optional == {"speed of simulation": ("heyoka",), "other tools": ("trajectorytools",)}
    monkeypatch.setattr(frozen.importlib.util, "find_spec", lambda name: None if name == "heyoka" else name)
    assert frozen.missing(frozen.tables()) == ["heyoka (speed of simulation)"]


@pytest.mark.parametrize("one", frozen.tables(), ids=lambda one: one.name)
def test_commands_are_understood(one, monkeypatch):
    assert one.minutes > 0 and one.commands
    for command in one.commands:
        understood(command, one, monkeypatch)


def understood(command: str, one: frozen.Table, monkeypatch) -> None:
    script, *flags = command.split()
    assert (paths.ROOT / script).is_file()
    seeds = [int(word) for flag, word in pairwise(flags_of(flags)) if "seed" in flag or flag in SEEDS]
    drawn = script == "experiments/figures.py"  # from what the command before has made
    assert all(seed > UNSEEN for seed in seeds) and (seeds or drawn or one.results in WITHOUT_SEEDS)
    monkeypatch.syspath_prepend(str((paths.ROOT / script).parent))
    module = importlib.import_module(Path(script).stem)
    parse = next((getattr(module, name) for name in ("parse_arguments", "parse") if hasattr(module, name)), None)
    if parse is not None and not drawn:
        parse(flags)  # a usage error would exit


SEEDS = ("--train", "--test", "--planted")


def flags_of(words: list[str]) -> list[str]:
    """Every word with the flag that it belongs to before it."""
    out, flag = [], ""
    for word in words:
        flag = word if word.startswith("--") else flag
        out += [] if word.startswith("--") else [flag, word]
    return out


def pairwise(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no table 'bodys'"):
        frozen.chosen(frozen.tables(), ["bodys"])


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Function: scripts by name, and sections of frozen.ini by name -> a small repository that holds them."""
    root, file = tmp_path / "clone", tmp_path / "frozen.ini"

    def made(scripts: dict[str, str], tables: dict[str, str]) -> Path:
        for name, text in ({command.split()[0]: "" for command in frozen.LAST} | scripts).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (root / "results").mkdir()
        git = ["git", "-c", "user.email=a@b.c", "-c", "user.name=a"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
            subprocess.run([*git, *words], cwd=root, check=True)
        file.write_text("\n".join(f"[{k}]\nresults = {k}\nminutes = 1\n{more}" for k, more in tables.items()))
        return root

    monkeypatch.setattr(frozen, "FILE", file)
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "OUTPUTS", root / "outputs")
    return made


def test_what_has_ended_is_not_run_again_and_a_failure_stops_nothing(clone, capsys):
    root = clone(
        {
            "good.py": "open('counted', 'a').write('x')",
            "more.py": "open('after', 'a').write(open('counted').read())",
            "bad.py": "raise SystemExit(1)",
        },
        {k: f"command = {k}.py\n    more.py\nalone = {alone}" for k, alone in (("good", "no"), ("bad", "yes"))},
    )
    old = {name: root / "results" / f"{name}.json" for name in ("good", "bad")}
    for path in old.values():
        path.write_text("{}")
    assert frozen.main([]) == 1 and frozen.main(["--jobs", "2"]) == 1
    assert (root / "counted").read_text() == (root / "after").read_text() == "x"
    (kept,) = (root / "outputs" / "frozen").rglob("*.json")
    assert json.loads(kept.read_text())["commands"] == ["good.py", "more.py"]
    assert all(path.is_file() for path in old.values())
    assert frozen.main(["--list"]) == 0 and "left: 1 tables" in capsys.readouterr().out
    (root / "good.py").write_text("import sys")
    with pytest.raises(UserError, match="not committed"):
        frozen.main([])


WRITES = """
import json, os, subprocess
head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
cell = os.path.join(os.environ["DISTILL_OUTPUTS"], "KIND", "cell.json")  # what a cell that has ended leaves
os.makedirs(os.path.dirname(cell), exist_ok=True)
if not os.path.exists(cell):
    json.dump({"error": None if os.path.exists("mended") else "no such thing"}, open(cell, "w"))
row = json.load(open(cell)) | ROW
old = {"error": "of other code", "commit": "0" * 40, "git": {"commit": "0" * 40}}
section = {"command_line": "python benchmarks/x.py", "rows": [row, {"error": 0.5, "commit": head}, old]}
json.dump({"sections": {"one": section}}, open("results/KIND.json", "w"))
"""
ROWS = {"cells": '{"git": {"commit": head, "dirty": False}}', "recovery": '{"commit": head}'}


@pytest.mark.parametrize("kind", ROWS)
def test_a_table_whose_cells_hold_an_error_has_failed_and_is_tried_again(clone, capsys, kind):
    script = WRITES.replace("KIND", kind).replace("ROW", ROWS[kind])
    root = clone({"write.py": script}, {kind: "command = write.py"})
    assert frozen.main([]) == 1
    told = capsys.readouterr().out
    assert f"cells of results/{kind}.json with an error: 1" in told and "tables 0  failed 1" in told
    assert not list((root / "outputs" / "frozen").glob("*/*.json"))
    (root / "mended").touch()
    assert frozen.main([]) == 0 and "tables 1  failed 0" in capsys.readouterr().out
    assert len(list((root / "outputs" / "frozen").glob("*/*.json"))) == 1


def test_errors_of_another_command_s_section_are_not_its_own(clone):
    root = clone({}, {"both": "command = benchmarks/x.py --a 'b c'"})
    about = provenance("x", {}, {}, 0.0)["git"]
    sections = {k: {"command_line": f"python benchmarks/x.py --{k} 'b c'", "git": about, "rows": []} for k in "ab"}
    sections["b"]["rows"].append({"error": "wrong"})  # its commit is that of its section

    def count() -> int:
        (root / "results" / "both.json").write_text(json.dumps({"sections": sections}))
        return frozen.errors_in(frozen.tables()[0])

    assert count() == 0
    sections["a"]["rows"].append({"error": "wrong"})
    assert count() == 1
    sections["a"]["command_line"] = "python benchmarks/x.py"  # whose rows these are nobody knows
    assert count() == 2


def test_pages_that_cannot_be_filled_are_a_failure(clone, capsys):
    clone({"experiments/pages.py": "raise SystemExit(2)", "good.py": ""}, {"good": "command = good.py"})
    assert frozen.main([]) == 1
    told = capsys.readouterr().out
    assert "pages: FAILED" in told and "tables 1  failed 0" in told


def test_tables_of_one_file_run_one_after_the_other(clone):
    """They share datasets, of which no two processes may make the same at a time."""
    script = "import os, time\nos.mkdir('at work')\ntime.sleep(0.3)\nos.rmdir('at work')"
    clone({"a.py": script}, {k: "command = a.py" for k in ("one", "two")})
    text = frozen.FILE.read_text()
    frozen.FILE.write_text(text.replace("results = two", "results = one"))
    assert frozen.main(["--jobs", "2"]) == 0


def test_with_changes_nothing_is_kept(clone):
    root = clone({"good.py": "open('counted', 'a').write('x')"}, {"good": "command = good.py"})
    (root / "good.py").write_text("open('counted', 'a').write('y')")
    assert frozen.main(["--allow-dirty"]) == frozen.main(["--allow-dirty"]) == 0
    assert (root / "counted").read_text() == "yy" and not list((root / "outputs").rglob("*.json"))


# ---------------------------------------------------------------- the demo


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    for name in ("datasets", "model_weights", "outputs"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / "frozen" / "abc" / name)
    return tmp_path / "frozen" / "abc"


def test_the_demo_begins_anew_where_a_former_run_is(elsewhere):
    gone = [elsewhere / "datasets" / f"{demo.DATASET}.{end}" for end in ("npz", "json")]
    gone += [elsewhere / "model_weights" / demo.RUN / "checkpoint.safetensors", elsewhere / "outputs" / demo.RUN / "x"]
    others = [elsewhere / "datasets" / f"{demo.DATASET}1.npz", elsewhere / "outputs" / f"{demo.RUN}1" / "x"]
    for file in (*gone, *others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    demo.begin_anew()
    assert not any(file.exists() for file in gone) and all(file.exists() for file in others)
    demo.begin_anew()  # nothing is there
    assert "--resume" not in [word for words in demo.demo.commands(demo.ARGUMENTS) for word in words]


def test_the_demo_names_folders_as_a_user_sees_them(elsewhere, monkeypatch):
    for folder, usual in ((paths.DATASETS, "datasets"), (paths.MODEL_WEIGHTS, "model_weights")):
        line = f"simulate  r2  4.0 s  -> {paths.relative(folder / 'r2.npz')}"
        assert demo.as_usual(line) == f"simulate  r2  4.0 s  -> {usual}/r2.npz"
    monkeypatch.setattr(paths, "DATASETS", paths.ROOT / "datasets")
    line = "simulate  r2  4.0 s  -> datasets/r2.npz"
    assert demo.as_usual(line) == line and demo.as_usual("no path") == "no path"
