"""The house: folders in pipeline order, imports one way between them, no cycles, no facades."""

import ast
from pathlib import Path

import pytest
from scripts import ROOT

# A folder may import from those before it. ``fluid``, ``hamiltonian`` and ``halos`` are extensions, reached through
# registries only; ``pipeline`` holds the six calls that the scripts make, ``results`` what these return.
ORDER = (
    "shell",
    "files",
    "statistics",
    "formulas",
    "physics",
    "windows",
    "tracks",
    "network",
    "messages",
    "splines",
    "search",
    "law",
    "survey",
    "identities",
    "shooting",
    "response",
    "generalization",
    "report",
    "export",
    "fluid",
    "hamiltonian",
    "halos",
    "results",
    "pipeline",
)
MOST_MODULES = 14


def imports(path: Path) -> set[str]:
    """Modules of the project that ``path`` imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("distill", "models")}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file of every module in ``root``/distill, and of models.py."""
    out = {"models": root / "models.py"} if (root / "models.py").is_file() else {}
    for path in sorted((root / "distill").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return out


def against_the_order(root: Path) -> list[str]:
    """Imports from a folder further down the pipeline."""
    wrong = []
    for name, path in modules(root).items():
        own = name.split(".")[1:2]
        for other in sorted(imports(path)):
            above = other.split(".")[1:2]
            if above and above[0] not in ORDER:
                continue  # a stage of the API, ``distill.train``
            if own and above and ORDER.index(above[0]) > ORDER.index(own[0]):
                wrong.append(f"{name} imports {other}")
    return wrong


def cycles(root: Path) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    known = modules(root)
    edges = {name: {m for m in imports(path) if m in known and m != name} for name, path in known.items()}

    def reached(start):
        seen, todo = set(), [start]
        while todo:
            for other in edges[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        return seen

    reach = {name: reached(name) for name in known}
    groups = {tuple(sorted(m for m in known if m in reach[name] and name in reach[m])) for name in known}
    return [list(group) for group in sorted(groups) if len(group) > 1]


def test_every_folder_has_its_place():
    folders = {p.name for p in (ROOT / "distill").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == set(ORDER)


def test_imports_go_one_way():
    assert against_the_order(ROOT) == []


def test_no_file_cycles():
    assert cycles(ROOT) == []


@pytest.mark.parametrize("folder", [p for p in (ROOT / "distill").rglob("") if p.name != "__pycache__"])
def test_no_folder_is_crowded(folder):
    assert len([p for p in folder.glob("*.py") if p.name != "__init__.py"]) <= MOST_MODULES


def test_nothing_is_imported_only_to_be_imported_again():
    assert [str(p) for p in modules(ROOT).values() if "noqa: F401" in p.read_text(encoding="utf-8")] == []


def test_a_planted_import_is_found(tmp_path):
    for folder, text in (("files", "def f():\n    from distill.search import engine\n"), ("search", "import os\n")):
        place = tmp_path / "distill" / folder
        place.mkdir(parents=True)
        (place / "engine.py").write_text(text)
    assert against_the_order(tmp_path) == [
        "distill.files.engine imports distill.search",
        "distill.files.engine imports distill.search.engine",
    ]
    assert cycles(tmp_path) == []
    (tmp_path / "distill" / "search" / "engine.py").write_text("import distill.files.engine\n")
    assert cycles(tmp_path) == [["distill.files.engine", "distill.search.engine"]]
