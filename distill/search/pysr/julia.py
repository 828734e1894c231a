"""Julia and PySR's packages in it, found out from files: nothing is started, nothing downloaded."""

import json
import os
import re
import shutil
import sys
from importlib import metadata, util
from pathlib import Path

BACKEND = "SymbolicRegression"


def julia_problem() -> str:
    """Why PySR cannot be used at once, or ""."""
    spec = util.find_spec("pysr")
    if spec is None:
        return "the package pysr is not installed"
    try:
        meta = json.loads((julia_project() / "pyjuliapkg" / "meta.json").read_text(encoding="utf-8"))
        executable = str(meta.get("executable") or "")
    except (OSError, ValueError, AttributeError):
        return "no Julia environment has been resolved for it"
    if not shutil.which(os.environ.get("PYTHON_JULIAPKG_EXE") or executable):
        return "its Julia executable is gone"
    found = julia_versions().get(BACKEND)
    if found is None:
        return f"{BACKEND}.jl is not installed in Julia"
    wanted = _wanted(spec)
    if wanted and not fits(found, wanted):
        return f"PySR {pysr_version()} needs {BACKEND}.jl {wanted}, its Julia environment has {found}"
    return ""


def julia_versions() -> dict[str, str]:
    """Versions of Julia and SymbolicRegression.jl in PySR's environment, where its ``Manifest.toml`` says so."""
    try:
        manifest = (julia_project() / "Manifest.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    package = re.search(rf"^\[\[deps\.{BACKEND}\]\]$(.*?)(?=^\[\[|\Z)", manifest, re.MULTILINE | re.DOTALL)
    found = {
        "julia": re.search(r'^julia_version = "([^"]+)"', manifest, re.MULTILINE),
        BACKEND: package and re.search(r'^version = "([^"]+)"', package.group(1), re.MULTILINE),
    }
    return {name: version.group(1) for name, version in found.items() if version}


def julia_project() -> Path:
    """Where juliapkg keeps (or would keep) the Julia environment, by its own rules."""
    if project := os.environ.get("PYTHON_JULIAPKG_PROJECT"):
        return Path(project)
    prefix = sys.prefix if sys.prefix != sys.base_prefix else os.environ.get("CONDA_PREFIX")
    if prefix:
        return Path(prefix) / "julia_env"
    depot = os.environ.get("JULIA_DEPOT_PATH", "").split(os.pathsep)[0] or Path.home() / ".julia"
    return Path(depot) / "environments" / "pyjuliapkg"


def fits(version: str, wanted: str) -> bool:
    """Whether ``version`` is one that Julia's package manager takes for ``wanted`` ("~1.2.3", "^1.2", "=1.2.3", several
    after commas). True where ``wanted`` is written in another way: it is for Julia to refuse it then.
    """
    given, ranges = _numbers(version), []
    for part in wanted.split(","):
        found = re.fullmatch(r"\s*([=~^]?)\s*(\d+(?:\.\d+){0,2})(?:[-+][\w.-]+)?\s*", part)
        if not found:
            return True
        least, written = _numbers(found.group(2)), found.group(2).count(".") + 1
        # "^" or nothing: the first number that is not 0 stays
        fixed = {"=": 3, "~": 2}.get(found.group(1)) or next((k for k, n in enumerate(least, 1) if n), 3)
        fixed = fixed if found.group(1) == "=" else min(fixed, written)
        ranges.append(given[:fixed] == least[:fixed] and given >= least)
    return any(ranges)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.findall(r"\d+", re.split(r"[-+]", version)[0])][:3]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _wanted(spec) -> str:
    """What the installed pysr asks of its backend, "" where it does not say."""
    try:
        content = json.loads((Path(spec.origin).parent / "juliapkg.json").read_text(encoding="utf-8"))
        return str(content["packages"][BACKEND]["version"])
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return ""


def pysr_version() -> str | None:
    """Of the package that is installed."""
    try:
        return metadata.version("pysr")
    except metadata.PackageNotFoundError:
        return None
