"""Running the scripts as a user does, with their folders in a temporary place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forked

from distill.pipeline.runs.cells import places

ROOT = Path(__file__).resolve().parent.parent


def environment(folder: Path | None, **extra) -> dict:
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # the code beside these tests, wherever another copy is installed
    if folder is None:
        return here
    return {**here, **places(folder), "OMP_NUM_THREADS": "1", **extra}


def run(folder: Path, script: str, *arguments, cwd=None, start=False, ending=None, **extra):
    """Run ``script`` with its datasets, weights and outputs below ``folder``, from another directory.

    ``start``: by a new interpreter, as a user does, which shows imports that are missing and what depends on the order
    of sets. Else it is forked from one that has imported the libraries, where that is safe (``forked``), and may be
    sent a signal, ``ending``.
    """
    script, env = ROOT / script, environment(folder, **extra)
    if sys.platform == "linux" and not start:
        return forked.run(script, arguments, cwd or folder, env, 300, ending)
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=cwd or folder,
        capture_output=True,
        text=True,
        env=env,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def ok(result) -> str:
    """Standard output of a run that has to succeed."""
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def refused(result, *words, code=1) -> str:
    """The single line on stderr of a run that has to fail; it must hold all ``words``."""
    assert result.returncode == code, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


def undigested(path: Path, **changes) -> None:
    """Make of a JSON one that somebody else might have written: without digests, and with ``changes``."""
    content = json.loads(path.read_text())
    gone = ("content_sha256", "arrays_sha256", "weights_sha256")
    path.write_text(json.dumps({k: v for k, v in content.items() if k not in gone} | changes))
