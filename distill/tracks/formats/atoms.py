"""Frames of molecular dynamics, one after the other in a text file: extended XYZ and dumps of LAMMPS.

Read as text, a frame at a time. Periodic boxes with right angles are kept; positions are followed through their sides.
Any other format that ``ase`` knows is read by it, where it is installed.
Formats: https://github.com/libAtoms/extxyz and https://docs.lammps.org/dump.html.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import progress
from distill.tracks import names
from distill.tracks.formats.tables import named
from distill.tracks.formats.text import DAMAGE, lines_of, opened
from distill.tracks.rows import Rows
from distill.tracks.tracks import Asked, Tracks

GATHER = 200_000  # rows that are handed on together
SAME_BOX = 1e-6  # relative change of a side that is rounding


def read_lammps(paths: Sequence[Path], asked: Asked) -> Tracks:
    return _read(paths, asked, lammps_frames)


def read_extxyz(paths: Sequence[Path], asked: Asked) -> Tracks:
    return _read(paths, asked, extxyz_frames)


def read_ase(paths: Sequence[Path], asked: Asked) -> Tracks:
    """Any file that ``ase`` reads."""
    try:
        import ase.io
    except ImportError:
        raise UserError(
            f"{relative(paths[0])} is of a kind that only the package ase may read", "pip install ase, or write a CSV"
        ) from None
    return _read(paths, asked, lambda path: _ase_frames(path, ase.io))


def _read(paths: Sequence[Path], asked: Asked, frames) -> Tracks:
    """``frames(path)`` gives (time or None, number, box or None, {column: values}) of every frame of a file."""
    rows = Rows(named(paths))
    for path in paths:
        gathered: list[dict] = []
        label, first, found, timed = path.name if len(paths) > 1 else None, None, None, None
        for time, number, box, columns in progress(_told(frames(path), path), desc="reading", unit="frame"):
            where = f"{relative(path)}, frame {number}"
            columns = {k: v for k, v in columns.items() if k not in asked.leave_out}
            count = len(next(iter(columns.values())))
            if found is None:
                first, timed = count, time is not None
                ours = names.of_columns(
                    [*columns, "#frame"], asked.columns | {"frame": "#frame"}, where, free="particle"
                )
                found = {k: v for k, v in ours.items() if v != "#frame"}
            if "particle" not in found and count != first:
                raise UserError(
                    f"{where} has {count} particles, the first has {first}, and no column 'id' says which are which",
                    "write ids, or cut the file into parts with the same particles",
                )
            if missing := [v for v in found.values() if v not in columns]:
                raise UserError(f"{where} lacks the column '{missing[0]}' of the first frame")
            part = {k: columns[v] for k, v in found.items()}
            part.setdefault("particle", np.arange(count))
            part["t" if timed else "frame"] = np.full(count, float(time if timed else number))
            rows.box = _same_box(rows.box, box, where, rows.count + len(gathered) > 0)
            gathered.append(part)
            if sum(len(p["x"]) for p in gathered) >= GATHER:
                rows.add(_together(gathered), label)
                gathered = []
        if gathered:
            rows.add(_together(gathered), label)
    out = rows.tracks(asked.cut, asked.dt or 1.0, asked.same_bodies)
    if not out.spaced and asked.dt:
        out.spaced = True
    return out


def _told(frames: Iterator[tuple], path: Path) -> Iterator[tuple]:
    """The same frames; ``UserError`` for whatever a damaged file makes of the one after the last that is good."""
    good = 0
    try:
        for frame in frames:
            good += 1
            yield frame
    except (ValueError, IndexError, NameError, TypeError, OverflowError, RuntimeError, *DAMAGE) as exc:
        why = f"{str(exc)[:80]}" if isinstance(exc, DAMAGE) else "a line is not what it should be"
        raise UserError(f"{relative(path)}, frame {good}, is damaged or cut off ({why})", "copy it again") from None


def _together(parts: list[dict]) -> dict:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _same_box(known, box, where: str, later: bool):
    if not later:
        return box
    if (known is None) != (box is None) or (box is not None and not np.allclose(known, box, rtol=SAME_BOX, atol=0)):
        raise UserError(
            f"{where}: the box differs from that of the frames before", "a box that changes is not supported"
        )
    return known


def _columns(lines: Sequence[str], labels: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Columns of lines of words: numbers where they are."""
    words = [line.split() for line in lines]
    for number, row in enumerate(words, 1):
        if len(row) != len(labels):
            found = f"{where}: row {number} has {len(row)} columns, expected {len(labels)}"
            raise UserError(found, "it may be cut off: copy it again")
    out = {}
    for name, column in zip(labels, zip(*words, strict=True), strict=True):
        try:
            out[name] = np.array(column, dtype=float)
        except ValueError:
            out[name] = np.array(column, dtype=object)
    return out


# ---------------------------------------------------------------- LAMMPS


def lammps_frames(path: Path) -> Iterator[tuple]:
    """Frames of a text dump: (None or time, time step, box or None, columns)."""
    with opened(path) as text:
        file, time, step, box = lines_of(text, path), None, None, None
        while line := next((line for line in file if line.strip()), None):
            if not line.startswith("ITEM:"):
                raise UserError(
                    f"{relative(path)} is no dump of LAMMPS: {line.strip()[:40]!r}", "expected ITEM: TIMESTEP"
                )
            item = line[5:].split()
            if item[0] == "TIMESTEP":
                step, time = int(next(file)), None
            elif item[0] == "TIME":
                time = float(next(file))
            elif item[:3] == ["NUMBER", "OF", "ATOMS"]:
                count = int(next(file))
            elif item[:2] == ["BOX", "BOUNDS"]:
                bounds = [[float(w) for w in next(file).split()] for _ in range(3)]
                box = _lammps_box(item[2:], bounds, f"{relative(path)}, time step {step}")
            elif item[0] == "ATOMS":
                where = f"{relative(path)}, time step {step}"
                lines = list(itertools.islice(file, count))
                if len(lines) < count:
                    raise UserError(f"{where} ends after {len(lines)} of {count} atoms", "it is cut off: copy it again")
                yield time, step, box[0], _places(_columns(lines, item[1:], where), box, where)
            else:
                next(file, None)  # UNITS and the like


def _lammps_box(flags: list[str], bounds: list, where: str) -> tuple:
    """(side lengths or None where nothing is periodic, lower corner, side lengths)."""
    if any(len(b) > 2 and b[2] for b in bounds):
        raise UserError(f"{where}: the box is tilted", "only boxes with right angles are supported")
    corner, sides = np.array([b[0] for b in bounds]), np.array([b[1] - b[0] for b in bounds])
    kinds = [f for f in flags if len(f) == 2][-3:]
    return _periodic([k == "pp" for k in kinds], sides, where), corner, sides


def _periodic(flags: Sequence[bool], sides, where: str):
    """The box, or None: three sides that are periodic, or two and a third that is flat in the end."""
    if not any(flags):
        return None
    if not all(flags[:2]):
        raise UserError(
            f"{where}: the box is periodic along some axes only", "write unwrapped positions, and a box without periods"
        )
    return np.asarray(sides, dtype=float)


def _places(columns: dict, box: tuple, where: str) -> dict:
    """Columns with x, y, z as one kind of place: unwrapped where there are such, from scaled ones and image flags."""
    _, corner, sides = box
    out = dict(columns)
    for axis, low, side in zip("xyz", corner, sides, strict=True):
        if f"{axis}u" in out:
            out[axis] = out.pop(f"{axis}u")
        elif f"{axis}su" in out:
            out[axis] = low + side * out.pop(f"{axis}su")
        else:
            if f"{axis}s" in out:
                out[axis] = low + side * out.pop(f"{axis}s")
            if axis in out and f"i{axis}" in out:
                out[axis] = out[axis] + side * out[f"i{axis}"]
        out.pop(f"i{axis}", None)
        for left in (f"{axis}s", f"{axis}su"):
            out.pop(left, None)
    if "x" not in out:
        raise UserError(f"{where} holds no positions, only {', '.join(columns)}", "dump x y z, or xu yu zu")
    return out


# ---------------------------------------------------------------- extended XYZ

_PAIR = re.compile(r"""(\w[\w-]*)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\S+)""")
_RENAMED = {
    "forces": "f",
    "force": "f",
    "velo": "v",
    "vel": "v",
    "velocities": "v",
    "velocity": "v",
    "pos": "",
    "R": "",
}
_RENAMED |= {"acc": "a", "accelerations": "a", "acceleration": "a", "positions": ""}


def extxyz_frames(path: Path) -> Iterator[tuple]:
    """Frames of (extended) XYZ: (time or None, number, box or None, columns)."""
    with opened(path) as text:
        file = lines_of(text, path)
        for number in itertools.count():
            line = next((line for line in file if line.strip()), None)
            if line is None:
                return
            where = f"{relative(path)}, frame {number}"
            try:
                count = int(line)
            except ValueError:
                raise UserError(f"{where} starts with {line.strip()[:40]!r}, expected the number of atoms") from None
            about = {k: v.strip("\"'{}") for k, v in _PAIR.findall(next(file, ""))}
            lines = list(itertools.islice(file, count))
            if len(lines) < count:
                raise UserError(f"{where} ends after {len(lines)} of {count} atoms", "it is cut off: copy it again")
            labels = _labels(about.get("Properties"), lines, where)
            time = next((about[k] for k in about if k.lower() in ("time", "t")), None)
            yield _time(time), number, _extxyz_box(about, where), _columns(lines, labels, where)


def _time(text):
    try:
        return None if text is None else float(text.split()[0])
    except ValueError:
        return None


def _labels(properties: str | None, lines: list[str], where: str) -> list[str]:
    """Names of the columns: ``species:S:1:pos:R:3:forces:R:3``; plain XYZ has a name and three coordinates."""
    if properties is None:
        width = len(lines[0].split())
        if width < 4:
            raise UserError(f"{where}: {width} columns, expected a name and x y z")
        return ["species", "x", "y", "z", *(f"column_{k}" for k in range(5, width + 1))]
    parts = properties.split(":")
    if len(parts) % 3:
        raise UserError(f"{where}: Properties={properties} is no list of name:kind:columns")
    out, width = [], len(lines[0].split())
    if not all(0 < int(columns) <= width for columns in parts[2::3]):
        raise UserError(f"{where}: Properties={properties[:80]} is not of lines with {width} columns")
    for name, _, columns in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if int(columns) in (2, 3) and name in _RENAMED:
            out += [_RENAMED[name] + axis for axis in "xyz"[: int(columns)]]
        else:
            out += [name] if int(columns) == 1 else [f"{name}_{k + 1}" for k in range(int(columns))]
    return out


def _extxyz_box(about: dict, where: str):
    if "Lattice" not in about:
        return None
    flags = [w in ("T", "True", "1") for w in about.get("pbc", "T T T").split()]
    cell = np.array([float(w) for w in about["Lattice"].split()]).reshape(3, 3)
    if not any(flags):
        return None
    if (cell - np.diag(np.diag(cell))).any():
        raise UserError(f"{where}: the box is tilted", "only boxes with right angles are supported")
    return _periodic(flags, np.diag(cell), where)


# ---------------------------------------------------------------- whatever ase reads


def _ase_frames(path: Path, io) -> Iterator[tuple]:
    try:
        for number, atoms in enumerate(io.iread(path, index=":")):
            columns = dict(zip("xyz", atoms.get_positions().T, strict=True))
            if atoms.has("momenta"):
                columns |= dict(zip(("vx", "vy", "vz"), atoms.get_velocities().T, strict=True))
            if atoms.calc is not None and "forces" in atoms.calc.results:
                columns |= dict(zip(("fx", "fy", "fz"), atoms.calc.results["forces"].T, strict=True))
            columns["mass"] = atoms.get_masses()
            where = f"{relative(path)}, frame {number}"
            box = None
            if atoms.pbc.any():
                cell = np.asarray(atoms.cell)
                if (np.abs(cell - np.diag(np.diag(cell))) > 1e-9).any():
                    raise UserError(f"{where}: the box is tilted", "only boxes with right angles are supported")
                box = _periodic(atoms.pbc.tolist(), np.diag(cell), where)
            yield None, number, box, columns
    except UserError:
        raise
    except Exception as exc:  # each of ase's readers has errors of its own
        raise UserError(f"{relative(path)}: ase cannot read it ({str(exc)[:90]})", "write a CSV") from None


READERS = {".lammpstrj": read_lammps, ".dump": read_lammps, ".extxyz": read_extxyz, ".xyz": read_extxyz}
READERS |= {suffix: read_ase for suffix in (".traj", ".gro", ".pdb", ".db", ".xsf", ".cif", ".nc", ".xdatcar")}
