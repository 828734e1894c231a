"""Every benchmark and experiment says how it is called."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = [
    path
    for folder in ("benchmarks", "experiments")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if all(word in path.read_text("utf-8") for word in ("run_script(main)", "Parser("))
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_help_ends_well(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert not end.value.code and "usage:" in capsys.readouterr().out
