"""Catalogues that others made: friends-of-friends files ``group_tab``, and tables with a column of overdensities.

``group_tab`` files are what P-FoF of Gadget writes and the Quijote simulations publish (groups_004 is z = 0): without a
header's name, little-endian, of N groups in one of several files,

    int32 N, int32 of all files, int32 particles, uint64 of all files, uint32 files;
    int32 Len [N], int32 Offset [N], float32 Mass [N] (1e10 Msun/h), float32 Pos [N, 3] (kpc/h), float32 Vel [N, 3]
    (km/s, times 1 + z to be peculiar), int32 TypeLen [N, 6], float32 TypeMass [N, 6].

They hold no overdensities: these need the particles, or come from a file of their own.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.files.storage import read_file
from distill.halos.catalogue import MASS, Catalogue
from distill.shell.errors import UserError
from distill.shell.paths import relative

HEADER = np.dtype([("here", "<i4"), ("all", "<i4"), ("ids", "<i4"), ("all_ids", "<u8"), ("files", "<u4")])
GROUP = (("len", "<i4", ()), ("offset", "<i4", ()), ("mass", "<f4", ()), ("pos", "<f4", (3,)), ("vel", "<f4", (3,)))
GROUP += (("type_len", "<i4", (6,)), ("type_mass", "<f4", (6,)))
BYTES = sum(np.dtype(kind).itemsize * int(np.prod(shape)) for _, kind, shape in GROUP)
TENTH, KPC = 1e10, 1e-3  # Msun/h; Mpc
MOST_FILES = 100_000
# column: what tables call it
NAMES = {
    "x": ("x", "pos_x", "x_mpc"),
    "y": ("y", "pos_y", "y_mpc"),
    "z": ("z", "pos_z", "z_mpc"),
    "vx": ("vx", "vel_x", "v_x"),
    "vy": ("vy", "vel_y", "v_y"),
    "vz": ("vz", "vel_z", "v_z"),
    "mass": ("mass", "m", "m200c", "m_fof"),
    "delta": ("delta", "overdensity", "target"),
    "box": ("box", "simulation", "realisation", "realization"),
}
NEEDED = ("x", "y", "z", "mass")


def read_group_tab(path: Path, side: float, redshift: float = 0.0, least: int = 20) -> Catalogue:
    """The groups of at least ``least`` particles in ``path``, the first file ``group_tab_NNN.0`` (or its folder) of a
    box of ``side`` Mpc/h; ``delta`` is NaN. ``UserError`` for a file that is missing, cut off, or none such.
    """
    parts, first = [], _first(Path(path))
    number = 0
    while True:
        file = first.with_suffix(f".{number}")
        head, groups = _one(file)
        if number == 0:
            total, files = int(head["all"]), int(head["files"])
            if not 0 < files <= MOST_FILES:
                raise UserError(
                    f"{relative(file)} tells of {files} files: it is no group_tab", "give a group_tab_NNN.0"
                )
        parts.append(groups)
        number += 1
        if number >= files:
            break
    found = {name: np.concatenate([part[name] for part in parts]) for name, _, _ in GROUP}
    if len(found["len"]) != total:
        raise UserError(f"{relative(first)} and the files beside it hold {len(found['len'])} groups, expected {total}")
    keep = found["len"] >= least
    pos = found["pos"][keep].astype(float) * KPC
    if keep.any() and not (-1e-3 * side <= pos.min() and pos.max() <= side * (1 + 1e-3)):
        told = f"{relative(first)}: places reach from {pos.min():g} to {pos.max():g} Mpc/h"
        raise UserError(f"{told}, expected 0 to {side:g}", "give the side of the box: --side")
    mass = found["mass"][keep].astype(float) * TENTH / MASS
    vel = found["vel"][keep].astype(float) * (1 + redshift)
    return Catalogue(float(side), np.mod(pos, side), vel, mass, np.full(len(mass), np.nan))


def _first(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("group_tab_*.0"))
        if len(found) != 1:
            raise UserError(f"{relative(path)} holds {len(found)} files group_tab_NNN.0", "give one of them")
        return found[0]
    if not re.fullmatch(r".*\.0", path.name):
        raise UserError(f"{relative(path)} is not the first file of a group_tab", "give group_tab_NNN.0")
    return path


def _one(file: Path) -> tuple[np.void, dict[str, np.ndarray]]:
    """Header and groups of one file."""
    if not file.is_file():
        raise UserError(f"{relative(file)} does not exist", "put all files of the catalogue in one folder")
    content = file.read_bytes()
    if len(content) < HEADER.itemsize:
        raise UserError(f"{relative(file)} has {len(content)} bytes: it is no group_tab, or cut off")
    head = np.frombuffer(content, HEADER, 1)[0]
    count = int(head["here"])
    if count < 0 or len(content) != HEADER.itemsize + count * BYTES:
        told = f"{relative(file)} has {len(content)} bytes, expected {HEADER.itemsize + max(count, 0) * BYTES}"
        raise UserError(f"{told} for {count} groups", "it is cut off, of another version, or no group_tab")
    out, at = {}, HEADER.itemsize
    for name, kind, shape in GROUP:
        size = count * int(np.prod(shape))
        out[name] = np.frombuffer(content, kind, size, at).reshape(count, *shape)
        at += size * np.dtype(kind).itemsize
    return head, out


def with_delta(catalogue: Catalogue, delta, where: str = "the overdensities") -> Catalogue:
    """The catalogue with overdensities [halo]; ``UserError`` if they are not as many, or not finite."""
    delta = np.asarray(delta, dtype=float).reshape(-1)
    if len(delta) != len(catalogue) or not np.isfinite(delta).all():
        bad = int((~np.isfinite(delta)).sum())
        raise UserError(
            f"{where}: {len(delta)} numbers, {bad} of them not finite, for {len(catalogue)} haloes",
            "give one for every halo, in the order of the catalogue",
        )
    return replace(catalogue, delta=delta)


def read_table(path: Path, side: float, mass: float = MASS) -> list[Catalogue]:
    """The boxes of a CSV file of haloes, one halo a line below a head, with columns ``NAMES`` in any order: x, y, z in
    Mpc/h, mass in units of ``mass`` Msun/h, delta; vx, vy, vz (km/s) and box may be absent. ``UserError`` in one line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{relative(path)} does not exist")
    head, rows, numbers = _rows(path)
    place = _columns(head, path)
    columns: dict[str, np.ndarray] = {}
    for name, k in place.items():
        try:
            columns[name] = np.array([float(row[k]) for row in rows])
        except (ValueError, IndexError):
            bad = next(n for n, row in zip(numbers, rows, strict=True) if not _number(row, k))
            raise UserError(f"{relative(path)}, line {bad}: no number in the column of {name}") from None
    if len(rows) < 2:
        raise UserError(f"{relative(path)} holds {len(rows)} haloes")
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise UserError(f"{relative(path)}: {int((~np.isfinite(values)).sum())} values of {name} are not finite")
    if not (columns["mass"] > 0).all():
        raise UserError(f"{relative(path)}: masses are not all positive")
    pos = np.stack([columns[k] for k in "xyz"], axis=1)
    if not (pos.min() >= 0 and pos.max() <= side):
        told = f"{relative(path)}: places reach from {pos.min():g} to {pos.max():g}"
        raise UserError(f"{told}, expected 0 to {side:g} Mpc/h", "give the side of the box: --side")
    still = np.zeros(len(pos))
    vel = np.stack([columns.get(f"v{k}", still) for k in "xyz"], axis=1)
    delta = columns.get("delta", np.full(len(pos), np.nan))
    box = columns.get("box", still)
    which = [box == number for number in np.unique(box)]
    return [Catalogue(float(side), pos[k], vel[k], columns["mass"][k] * mass / MASS, delta[k]) for k in which]


def _rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Head, rows below it, and the number in the file of the line of each; lines that are empty or begin with # are
    left out, but for a head: the last of those before a first line that is all numbers, as numpy writes it.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{relative(path)} is no text", "give a table, such as a CSV, in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    told = next((k for k, (_, line) in enumerate(lines) if not line.startswith("#")), len(lines))
    given = [(number, line) for number, line in lines[told:] if not line.startswith("#")]
    if not given:
        raise UserError(f"{relative(path)} is empty")
    try:
        kind = csv.Sniffer().sniff(given[0][1], ",;\t ")
        kind.skipinitialspace = True
        rows = list(csv.reader([line for _, line in given], kind))
    except csv.Error as exc:
        raise UserError(f"{relative(path)} is no table ({exc})", "separate columns by commas") from None
    if told and all(_number(rows[0], k) for k in range(len(rows[0]))):
        head = next(csv.reader([lines[told - 1][1].lstrip("# ")], kind))
    else:
        head, rows, given = rows[0], rows[1:], given[1:]
    if len(rows) != len(given):
        raise UserError(f"{relative(path)}: a quoted field goes over several lines", "write a halo a line")
    return head, rows, [number for number, _ in given]


def _columns(head: list[str], path: Path) -> Mapping[str, int]:
    """Column -> its place."""
    said = [h.strip().lower() for h in head]
    place = {}
    for name, names in NAMES.items():
        found = [k for k, h in enumerate(said) if h in names]
        if len(found) > 1:
            raise UserError(f"{relative(path)}: {len(found)} columns are {name}: {', '.join(head[k] for k in found)}")
        if found:
            place[name] = found[0]
    if missing := [name for name in NEEDED if name not in place]:
        told = f"{relative(path)} has no column {', '.join(missing)}; it has {', '.join(head[:8])}"
        raise UserError(told, f"name it {NAMES[missing[0]][0]}")
    return place


def _number(row: list[str], k: int) -> bool:
    try:
        float(row[k])
    except (ValueError, IndexError):
        return False
    return True
