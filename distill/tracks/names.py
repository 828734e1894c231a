"""What columns and arrays of foreign files are called, and what they are here.

A name is known by itself, by a usual synonym, or because the user says so (``--columns x=pos_x``). Case, blanks and a
unit in brackets do not matter: ``Position X [um]`` is ``x``.
"""

import re
from collections.abc import Iterable, Sequence

from distill.files.properties import KNOWN, TAKEN
from distill.shell.errors import UsageError, UserError, near_miss

AXES = "xyz"
KEYS = ("trajectory", "frame", "t", "particle")
POSITION, VELOCITY, ACCELERATION, FORCE = "pos", "vel", "acc", "force"
VECTORS = {POSITION: "", VELOCITY: "v", ACCELERATION: "a", FORCE: "f"}  # and the letter before the axis
SPLIT = "split"

_KEYS = {
    "trajectory": "traj trajectory_id traj_id trial run simulation sim sim_id simulation_id movie film video recording"
    " replicate experiment experiment_id series episode",
    "frame": "frames frame_id frame_number frameid frame_index framenr step timestep time_step image slice",
    "t": "time times time_s timestamp position_t seconds sec date datetime time_stamp ts",
    "particle": "id particle_id particleid pid track track_id trackid track_number object object_id body body_id atom"
    " atom_id label name identity agent agent_id bird fish cell cell_id bead index_of_particle planet",
    "mass": "m masses particle_mass",
    "charge": "q charges particle_charge",
}
_OF_AXIS = {
    POSITION: "{a} p{a} pos_{a} position_{a} {a}_pos {a}pos pos{a} {a}_position coord_{a} r{a} r_{a} {a}_coord"
    " center_{a} {a}_center centroid_{a} {a}_centroid {a}_m {a}_um {a}_mm {a}_px {a}_pix {a}u",
    VELOCITY: "v{a} v_{a} vel_{a} velocity_{a} {a}_vel {a}vel vel{a} {a}_velocity {a}dot d{a}dt v{a}_m_s",
    ACCELERATION: "a{a} a_{a} acc_{a} acceleration_{a} {a}_acc {a}acc acc{a} {a}_acceleration {a}ddot accel_{a}",
    FORCE: "f{a} f_{a} force_{a} {a}_force force{a}",
}
ARRAYS = {
    POSITION: "position positions x r coords coordinates xyz pos_unwrapped",
    VELOCITY: "velocity velocities v vels",
    ACCELERATION: "accel acceleration accelerations a accs",
    FORCE: "forces f",
    "mass": _KEYS["mass"],
    "charge": _KEYS["charge"],
    "t": _KEYS["t"],
    "box": "cell box_size box_length lattice",
    "data": "trajectories tracks states state",
    "seen": "mask visible valid",
    SPLIT: "",
    "cutoff": "r_cut rcut",
    "dt": "time_step timestep",
}
OF_OURS = ("noise", "window", "film", "energy_drift")  # arrays of our own datasets that are found out again


def plain(name: str) -> str:
    """A name without case, unit and punctuation: ``Position X [um]`` -> ``position_x``."""
    bare = re.sub(r"[\[({].*?[\])}]", "", str(name)).strip().lower()
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def vector_columns(kind: str) -> list[str]:
    """Our names of the components of a vector: ``["vx", "vy", "vz"]``."""
    return [VECTORS[kind] + axis for axis in AXES]


def _synonyms() -> dict[str, str]:
    out = {}
    for ours, words in _KEYS.items():
        out |= {word: ours for word in (ours, *words.split())}
    for kind, words in _OF_AXIS.items():
        for axis in AXES:
            out |= {word.format(a=axis): VECTORS[kind] + axis for word in words.split()}
    return out


SYNONYMS = _synonyms()
OWN = (*KEYS, *KNOWN, *(c for kind in VECTORS for c in vector_columns(kind)))


def pairs(given: Sequence[str] | None, flag: str = "--columns") -> dict[str, str]:
    """``["x=pos_x"]`` as {ours: theirs}; ``UsageError`` for what is no such pair."""
    out = {}
    for word in given or []:
        ours, equals, theirs = word.partition("=")
        if not equals or not ours or not theirs:
            raise UsageError(f"argument {flag}: '{word}', expected OURS=THEIRS, as in x=pos_x")
        if theirs in out.values() or ours.strip() in out:
            raise UsageError(f"argument {flag}: '{theirs}' and '{ours}', expected each name once")
        out[ours.strip()] = theirs
    return out


def of_columns(theirs: Sequence[str], asked: dict[str, str], where: str, free: str = "") -> dict[str, str]:
    """{ours: theirs} of a long table with these column names; a column that is nothing of ours keeps its own name, as
    a property. ``UserError`` if one that is needed is not there; ``free``: one that need not be.
    """
    for name in asked.values():
        if name not in theirs:
            hint = near_miss(name, theirs)
            raise UserError(f"{where} has no column '{name}'{hint}", f"it has: {', '.join(map(str, theirs))}")
    found, owner = dict(asked), {name: ours for ours, name in asked.items()}
    for exact in (True, False):  # a column that bears our name goes before a synonym of it
        for name in theirs:
            ours = (name if name in OWN else None) if exact else SYNONYMS.get(plain(name))
            if name in owner or ours is None or ours in found:
                continue
            found[ours], owner[name] = name, ours
    for name in theirs:
        if name not in owner:
            ours = property_name(name, found)
            found[ours], owner[name] = name, ours
    need(found, theirs, where, free)
    return found


_WIDE = re.compile(r"(?P<what>[vaf]?[xyz]|mass|charge|[mq])_?(?P<who>\d+)|(?P<who2>\w+?)_(?P<what2>[vaf]?[xyz])")


def of_wide(theirs: Sequence[str]) -> dict[str, dict[str, str]]:
    """{particle: {ours: theirs}} of columns of all particles beside each other: x1, y1, x2, y2 or sun_x, sun_y, ...

    Nothing where there are not at least two particles with the same columns, or where a column is a particle's label.
    """
    found: dict[str, dict[str, str]] = {}
    for name in theirs:
        if SYNONYMS.get(plain(name)) in ("particle", "x"):
            return {}
        if match := _WIDE.fullmatch(plain(name)):
            what = match["what"] or match["what2"]
            found.setdefault(match["who"] or match["who2"], {})[{"m": "mass", "q": "charge"}.get(what, what)] = name
    kinds = {frozenset(columns) for columns in found.values()}
    return found if len(found) > 1 and len(kinds) == 1 and "x" in next(iter(kinds)) else {}


def need(found: dict, theirs: Sequence[str], where: str, free: str = "") -> None:
    """``UserError`` unless there are places, particles and times."""
    lacking = [one for one in ("x", "particle") if one not in found and one != free]
    lacking += ["t"] if not {"t", "frame"} & set(found) else []
    if lacking:
        told = {"x": "the positions (x, y)", "particle": "the particle", "t": "the time (t or frame)"}
        what = f"{where}: no column is known as {' nor as '.join(told[one] for one in lacking)}"
        raise UserError(
            f"{what}; its columns: {', '.join(map(str, theirs))}",
            f"say which it is:  --columns {' '.join(f'{one}=NAME' for one in lacking)}",
        )
    for kind in VECTORS:
        names = [c for c in vector_columns(kind) if c in found]
        if names != vector_columns(kind)[: len(names)]:
            raise UserError(f"{where} has {' and '.join(names)} but not {vector_columns(kind)[0]}", "see --columns")
    dim = dim_of(found)
    for kind in (VELOCITY, ACCELERATION, FORCE):
        count = sum(c in found for c in vector_columns(kind))
        if count not in (0, dim):
            raise UserError(
                f"{where} has {dim} coordinates of the positions but {count} of the {kind}",
                f"name all of them, or leave them out:  --leave-out {' '.join(vector_columns(kind)[:count])}",
            )


def dim_of(found: Iterable[str]) -> int:
    return sum(axis in found for axis in AXES)


def property_name(name: str, taken: Iterable[str] = ()) -> str:
    """A name that formulas can hold for a column called ``name``: ``radius (um)`` -> ``radius``."""
    out = re.sub(r"[^A-Za-z0-9_]+", "_", re.sub(r"[\[({].*?[\])}]", "", str(name)).strip()).strip("_") or "column"
    out = re.sub(r"_+", "_", out)  # "__" stands before the level of a category
    out = (out if out[0].isalpha() else "p_" + out)[:28]
    out = out + "_" if out in TAKEN or out in OWN else out
    while out in taken:
        out += "_"
    return out


def of_arrays(theirs: Sequence[str], asked: dict[str, str], where: str) -> dict[str, str]:
    """{ours: theirs} of arrays by name (``.npz``, HDF5); further ones keep their names."""
    for name in asked.values():
        if name not in theirs:
            fix = f"it holds: {', '.join(theirs)}"
            raise UserError(f"{where} has no array '{name}'{near_miss(name, theirs)}", fix)
    found, taken = dict(asked), set(asked.values())
    for ours, words in ARRAYS.items():
        for word in (ours, *words.split()):
            name = next((n for n in theirs if n not in taken and n.lower() == word.lower()), None)
            if name is not None and ours not in found:
                found[ours] = name
                taken.add(name)
    for name in theirs:
        if name not in taken:
            found[name if name not in found else name + "_"] = name
    return found
