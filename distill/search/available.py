"""Which symbolic-regression engine can run here, found out without starting (or downloading) Julia."""

import functools
import json
import os
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

from distill.shell.errors import UserError


def resolve_engine(name: str = "auto") -> tuple[str, str]:
    """(engine, reason in one line) for "auto", "pysr" or "operon"; ``UserError`` if it cannot run."""
    if name not in ("auto", "pysr", "operon"):
        raise UserError(f"unknown engine '{name}'; choose auto, pysr or operon")
    julia_missing = julia_problem() if name != "operon" else ""
    if name == "pysr":
        if julia_missing:
            raise UserError(f"PySR cannot run: {julia_missing}", "run  make pysr  or use  --engine operon")
        return "pysr", "asked for; PySR and Julia are ready"
    if name == "auto" and not julia_missing:
        return "pysr", "PySR and Julia are ready"
    operon_missing = operon_problem()
    if operon_missing:
        both = f"; PySR neither: {julia_missing}" if julia_missing else ""
        raise UserError(f"pyoperon cannot run: {operon_missing}{both}", "install one: make pysr")
    return "operon", "asked for" if name == "operon" else f"PySR cannot run ({julia_missing})"


@functools.cache
def operon_problem() -> str:
    """Why pyoperon cannot be used, or "". Imported in a process of its own: its wheels need AVX2, and a CPU
    without it kills the process.
    """
    if util.find_spec("pyoperon") is None:
        return "it is not installed (pip install pyoperon; no wheels for Windows, Intel macOS or ARM Linux)"
    try:
        done = subprocess.run([sys.executable, "-c", "import pyoperon"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"its import did not end ({type(exc).__name__})"
    if done.returncode < 0:
        return f"its import was killed by signal {-done.returncode} (a CPU without AVX2?)"
    return (done.stderr.strip().splitlines() or ["its import failed"])[-1] if done.returncode else ""


def julia_problem() -> str:
    """Why PySR cannot be used at once, or "". Reads juliapkg's files only; starts and downloads nothing."""
    if util.find_spec("pysr") is None:
        return "the package pysr is not installed"
    project = julia_project()
    try:
        meta = json.loads((project / "pyjuliapkg" / "meta.json").read_text(encoding="utf-8"))
        executable = str(meta.get("executable") or "")
    except (OSError, ValueError, AttributeError):
        return "no Julia environment has been resolved for it"
    if not shutil.which(os.environ.get("PYTHON_JULIAPKG_EXE") or executable):
        return "its Julia executable is gone"
    try:
        manifest = (project / "Manifest.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        manifest = ""
    return "" if "[[deps.SymbolicRegression]]" in manifest else "SymbolicRegression.jl is not installed in Julia"


def julia_project() -> Path:
    """Where juliapkg keeps (or would keep) the Julia environment, by its own rules."""
    if project := os.environ.get("PYTHON_JULIAPKG_PROJECT"):
        return Path(project)
    prefix = sys.prefix if sys.prefix != sys.base_prefix else os.environ.get("CONDA_PREFIX")
    if prefix:
        return Path(prefix) / "julia_env"
    depot = os.environ.get("JULIA_DEPOT_PATH", "").split(os.pathsep)[0] or Path.home() / ".julia"
    return Path(depot) / "environments" / "pyjuliapkg"
