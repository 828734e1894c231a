"""Reader of the argon set of GAMD: one file a frame, ``data_{seed}_{t}.npz`` with pos, vel and forces.

Written by ``generate_lj_data.py`` of the GAMD repository (Z. Li et al., arXiv:2112.03383): ``pos [particle, 3]`` in A,
wrapped, ``vel`` in m/s, ``forces`` in kJ/mol/nm. A seed becomes a trajectory, so that the split is by trajectory;
GAMD's own shuffles frames 0.1 ps apart. The files do not hold the box: it has to be told.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from distill.files.arrays import DAMAGE, arrays_of
from distill.fluid.lennard_jones import LennardJones
from distill.fluid.md import TOLERANCE, closest_of, labelled
from distill.physics.neighbours import wrap
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import progress

NAME = re.compile(r"data_(\d+)_(\d+)\.npz")
FIELDS = ("pos", "vel", "forces")
METRES_PER_SECOND = 0.01  # in A/ps
FIX = "copy or make the files again"


def frames_of(folder: Path, most: int | None = None) -> dict[int, list[Path]]:
    """The files of every seed in order of time, at most ``most``; ``UserError`` if there are none or one is missing."""
    if not folder.is_dir():
        raise UserError(f"{relative(folder)} is not a folder", "give the one with GAMD's data_{seed}_{t}.npz")
    found: dict[int, dict[int, Path]] = {}
    for path in folder.iterdir():
        if match := NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[int(match[2])] = path
    if not found:
        raise UserError(f"{relative(folder)} holds no file named data_{{seed}}_{{t}}.npz", "give GAMD's lj_data")
    last = max(max(times) for times in found.values())
    last = last if most is None else min(last, most - 1)
    lost = [f"data_{seed}_{t}.npz" for seed in sorted(found) for t in range(last + 1) if t not in found[seed]]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        where, seeds = folder.resolve().name, ", ".join(map(str, sorted(found)))
        there = next(t for t in range(last + 2) if any(t not in times for times in found.values()))
        fix = f"read the first {there} of every seed:  --n-frames {there}" if there else FIX
        raise UserError(
            f"{where} lacks {lost[0]}{more}: expected frames 0 to {last} of seeds {seeds}",
            f"{fix}; or take the frames that are there:  python import_tracks.py {relative(folder)} --box SIDE",
        )
    return {seed: [found[seed][t] for t in range(last + 1)] for seed in sorted(found)}


def size_of(folder: Path, most: int | None = None) -> tuple[int, int, int, int]:
    """Trajectories, frames (at most ``most``), particles and dimensions of the folder, the particles of one file."""
    paths = list(frames_of(folder, most).values())
    n = len(read_frame(paths[0][0])[0])
    if n < 2:
        raise UserError(f"{relative(folder)} holds {n} atoms, expected at least 2")
    return len(paths), len(paths[0]), n, 3


def digest(folder: Path, most: int | None = None) -> str:
    """SHA-256 over the names and contents of all the frames in ``folder``, or of the first ``most``."""
    total = hashlib.sha256()
    for paths in frames_of(folder, most).values():
        for path in paths:
            total.update(path.name.encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_frame(path: Path, n: int | None = None) -> list[np.ndarray]:
    """``pos, vel, forces [particle, 3]`` of one file, in its own units; ``UserError`` for whatever is wrong."""
    where = relative(path)
    try:
        arrays = list(arrays_of(path, FIELDS).values())
    except KeyError as exc:
        raise UserError(f"{where} lacks {exc.args[0]}", FIX) from None
    except DAMAGE:
        raise UserError(f"{where} is damaged or half-written", FIX) from None
    expected = (len(arrays[0]) if n is None and arrays[0].ndim else n, 3)
    for name, array in zip(FIELDS, arrays, strict=True):
        if array.shape != expected:
            raise UserError(f"{where}: '{name}' has shape {array.shape}, expected {expected}", FIX)
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise UserError(f"{where}: '{name}' holds what is not a finite number", FIX)
    return [array.astype(float) for array in arrays]


def read(folder: Path, box, system: LennardJones, spacing: float, most: int | None = None) -> dict:
    """The arrays of a dataset from GAMD's ``folder``, with ``report``; units of ``distill.fluid.lennard_jones``.

    box [3] in A; ``spacing`` of the frames in ps; at most the first ``most`` frames are read. The accelerations
    are the files' forces over the mass. ``UserError`` where those differ from the law of ``system`` in that box
    by more than ``TOLERANCE`` of the largest: then the box, a parameter or the cutoff is not that of the data.
    """
    files = frames_of(folder, most)
    box = np.broadcast_to(np.asarray(box, dtype=float), 3).copy()
    if system.cutoff > box.min() / 2:
        raise UserError(
            f"the cutoff of {system.cutoff:g} A is more than half the shortest side of --box, {box.min():g} A",
            "give the --box and --cutoff of the simulation",
        )
    _, count, n, _ = size_of(folder, most)
    pos, vel, force = np.empty((3, len(files), count, n, 3))
    with progress(total=len(files) * count, desc="reading", unit="frame") as bar:
        for k, paths in enumerate(files.values()):
            for t, path in enumerate(paths):
                pos[k, t], vel[k, t], force[k, t] = read_frame(path, n)
                bar.update()
    pos = wrap(pos, box)
    report = {"seeds": list(files), "positions": "wrapped into [0, box)", "labels": "the files' forces over the mass"}
    report |= _against_law(system, folder, box, pos, force)
    return {
        "pos": pos,
        "vel": vel * METRES_PER_SECOND,
        "acc": force / system.mass,
        **{name: np.tile(value, (len(files), 1)) for name, value in system.particles(n).items()},
        "t": spacing * np.arange(count),
        "box": box,
        "cutoff": np.float64(system.cutoff),
        "report": report,
    }


def _against_law(system, folder, box, pos, force) -> dict:
    found = [labelled(system, x, box, f) for x, f in zip(pos, force, strict=True)]
    largest, off = float(np.abs(force).max()), max(row["deviation"] for row in found)
    if not off <= TOLERANCE * largest:
        raise UserError(
            f"the forces in {relative(folder)} differ by up to {off:.3g} kJ/mol/nm from the Lennard-Jones law (largest"
            f" force {largest:.3g})",
            "give the --box, --sigma, --epsilon and --cutoff of the simulation (no switching function)",
        )
    return {
        "largest_force_kJ_per_mol_nm": largest,
        "largest_deviation_from_the_law_kJ_per_mol_nm": off,
        "largest_deviation_relative_to_largest_force": off / largest if largest else 0.0,
        "smallest_distance_A": closest_of(found),
    }
