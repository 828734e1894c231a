"""Every published table has a command that measures it again, and a stopped call goes on."""

import importlib
import json
import subprocess
from pathlib import Path

import frozen
import pytest

from distill.shell import paths
from distill.shell.errors import UserError

ELSEWHERE = {"gpu", "pysr", "faults", "extending", "single_runs", "pipeline_paper"}  # frozen.ini says why
WITHOUT_SEEDS = {"speed", "demo", "scale"}  # costs, and the demo that everybody runs
UNSEEN = 3000  # no seed beyond was used before


def test_every_file_of_results_is_written_by_a_command():
    there = {path.stem for path in (paths.ROOT / "results").glob("*.json")}
    assert there - ELSEWHERE == there & {one.results for one in frozen.tables()}


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


def test_what_has_ended_is_not_run_again_and_a_failure_stops_nothing(tmp_path, monkeypatch, capsys):
    root = tmp_path / "clone"
    for words in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        root.mkdir(exist_ok=True)
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / "experiments").mkdir()
    (root / "experiments" / "pages.py").write_text("print('pages')")
    (root / "good.py").write_text("open('counted', 'a').write('x')")
    (root / "more.py").write_text("open('after', 'a').write(open('counted').read())")
    (root / "bad.py").write_text("raise SystemExit(1)")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "a"], cwd=root, check=True)
    file = tmp_path / "frozen.ini"
    sections = (("good", "alone = no"), ("bad", "alone = yes"))
    file.write_text(
        "\n".join(f"[{k}]\ncommand = {k}.py\n    more.py\nresults = {k}\nminutes = 1\n{more}" for k, more in sections)
    )
    old = {name: root / "results" / f"{name}.json" for name in ("good", "bad")}
    (root / "results").mkdir()
    for path in old.values():
        path.write_text("{}")
    monkeypatch.setattr(frozen, "FILE", file)
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "OUTPUTS", root / "outputs")
    assert frozen.main([]) == 1 and frozen.main(["--jobs", "2"]) == 1
    assert (root / "counted").read_text() == (root / "after").read_text() == "x"
    (kept,) = (root / "outputs" / "frozen").rglob("*.json")
    assert json.loads(kept.read_text())["commands"] == ["good.py", "more.py"]
    assert all(path.is_file() for path in old.values())
    assert frozen.main(["--list"]) == 0 and "left: 1 tables" in capsys.readouterr().out
    (root / "good.py").write_text("import sys")
    with pytest.raises(UserError, match="not committed"):
        frozen.main([])
