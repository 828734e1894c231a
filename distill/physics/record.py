"""A system as a dataset's JSON has it, and found again from there."""

import json
from dataclasses import asdict
from pathlib import Path

from distill.files.kinds import SystemRecord
from distill.physics.system import System
from distill.physics.systems import SYSTEMS
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative

_DESCRIBED = "name summary source law external_law dt softening neighbours_only charges masses held"


def describe(system: System) -> dict:
    """What a dataset's JSON says of its system (key ``"system"``); ``system_of`` reads it back."""
    about = {key: getattr(system, key) for key in _DESCRIBED.split()}
    about |= {
        "variables": f"f({', '.join(system.variables)}) on receiver i along x_i - x_j, positive: repulsive",
        "properties": list(system.properties),
        "external": system.external,
        "drag": system.drag,
        "terms": [acting.described() for acting in system.terms],
        "response": system.response and asdict(system.response) | {"properties": list(system.response.properties)},
        "conserves_energy": system.conserves_energy,
        "file": None if system.file is None else relative(system.file),
        "file_sha256": system.file_sha256,
    }
    return about | system.describe()


def system_of(about: SystemRecord) -> System | None:
    """The system on record in a dataset's JSON, or None where it is not known any more.

    A system of the table is found by name; a user's only if its file is still there,
    unchanged. The law on record must be the law found, or nothing is returned.
    """
    if about.file:
        system = _from_same_file(about)
    else:
        system = SYSTEMS.get(about.name)
    system = system and system.as_described(about)
    same = ("law", "drag", "neighbours_only")
    if about.terms is not None and system is not None and [asdict(t) for t in about.terms] != _told(system):
        return None
    if system is None or about.variant == "original" or any(getattr(about, k) != getattr(system, k) for k in same):
        return None  # "original": the slips of the authors' code, which former versions could simulate
    if _formulas(about.response) != _formulas(describe(system)["response"]):
        return None
    return system


def _told(system: System) -> list[dict]:
    """The terms beside the radial force as a file has them."""
    return json.loads(json.dumps(describe(system)["terms"]))


def _formulas(response: dict | None) -> dict | None:
    """What a response does, its name and summary apart."""
    return response and {k: v for k, v in response.items() if k not in ("name", "summary")}


def _from_same_file(about):
    from distill.physics.user_system import digest, read_system

    for path in (Path(about.file), paths.ROOT / about.file):
        if path.is_file() and digest(path) == about.file_sha256:
            try:
                return read_system(path)
            except UserError:
                return None
    return None
