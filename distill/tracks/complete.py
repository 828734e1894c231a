"""From what a file held to what a dataset needs: dimensions, boxes, masses, forces, velocities, what is missing.

Everything that was not measured is said in ``derived``; nothing is made up but equal masses where there are none.
"""

from dataclasses import dataclass, field

import numpy as np

from distill.files.arrays import numbered
from distill.physics.neighbours import minimum_image
from distill.shell.errors import UserError
from distill.tracks.tracks import Tracks

SPOILT = 0.2  # most of the trajectories that are left out because numbers in them are missing
FEWEST_FRAMES = 3  # with the same particle: without, positions say nothing of accelerations
FILLED = 3  # most frames in a row without a particle whose accelerations were measured that are filled in


@dataclass
class Completed:
    """``arrays`` of a dataset, what of them was ``measured`` and what ``derived``, and ``held`` particles."""

    arrays: dict[str, np.ndarray]
    measured: list[str]
    derived: dict[str, str]
    held: list[int]
    lines: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)  # name -> its levels


def complete(tracks: Tracks, where: str, mass: float | None = None, cutoff: float | None = None, box=None) -> Completed:
    """``mass``: of every particle, where the file has none; ``box``: side lengths, where the file has none; ``cutoff``:
    reach of the force in a box, half the shortest side where nobody says. ``UserError`` for what makes no dataset.
    """
    lines = list(tracks.lines)
    if box is not None:
        tracks.box = _given_box(box, tracks.size[3])
    lines += flattened(tracks)
    lines += without_spoilt(tracks)
    lines += without_the_lonely(tracks, where)
    enough_frames(tracks, where)
    derived: dict[str, str] = {}
    lines += masses(tracks, derived, mass, where)
    if tracks.force is not None and tracks.acc is None:
        tracks.acc = tracks.force / tracks.properties["mass"][:, None, :, None]
        derived["acc"] = "force over mass"
    measured = ["pos", *(name for name in ("vel", "acc") if getattr(tracks, name) is not None and name not in derived)]
    measured += [name for name in tracks.properties if name not in derived]
    measured += ["t"] * tracks.spaced
    arrays = {"t": tracks.t}
    if not tracks.spaced:
        derived["t"] = "numbers of the frames"
    if tracks.box is not None:
        unwrapped(tracks)
        derived["pos"] = "unwrapped: a particle is followed through the sides of the box"
        arrays["box"] = tracks.box
    lines += reach(tracks, arrays, derived, cutoff, where)
    seen = tracks.seen
    if tracks.acc is None:
        pos = arrays["observed"] = tracks.pos  # they are smoothed, and gaps filled in, afterwards
    elif seen.all():
        pos = tracks.pos
    else:
        pos = filled(tracks, FILLED)
    if (count := int(np.isfinite(pos[..., 0]).sum() - seen.sum())) > 0:
        lines.append(f"{count:,} places of particles not seen for at most {FILLED} frames are filled in")
        derived["pos"] = (derived.get("pos", "") + "; short gaps filled in by a cubic through their neighbours").strip(
            "; "
        )
    if tracks.acc is not None and tracks.vel is None and tracks.size[1] > 1:
        tracks.vel = velocities(pos, tracks.acc, tracks.times)
        derived["vel"] = "from places and accelerations of neighbouring frames"
        lines.append(
            "velocities were not measured: they are taken from places and accelerations of neighbouring frames"
        )
    if tracks.acc is not None and tracks.vel is not None:
        alone = seen & ~np.isfinite(tracks.vel).all(-1)
        if alone.any():  # without a velocity it is no observation
            lines.append(f"{int(alone.sum()):,} places are seen too much alone for a velocity: taken as filled in")
            seen = seen & ~alone
    arrays["pos"] = pos
    for name in ("vel", "acc"):
        if (value := getattr(tracks, name)) is not None:
            arrays[name] = np.where(seen[..., None], value, np.nan) if not seen.all() else value
    if tracks.acc is not None and tracks.vel is None:
        arrays["vel"], derived["vel"] = np.zeros_like(pos), "zeros: one frame says nothing of velocities"
    if not seen.all():
        arrays["seen"] = seen
    arrays |= tracks.properties
    if tracks.who is not None:
        arrays["id"] = np.nan_to_num(tracks.who, nan=0).astype(np.int32)
    categories = {}
    for name in tracks.categories.keys() & tracks.properties.keys():
        names, arrays[name] = numbered(tracks.categories[name], tracks.properties[name])
        categories[name] = list(names)
    lines += [f"'{name}' is a category: {', '.join(levels)}" for name, levels in categories.items()]
    if tracks.split is not None:
        arrays["split"] = tracks.split
    if tracks.film is not None and len(np.unique(tracks.film)) < len(tracks.film):
        arrays["film"] = tracks.film
    held = held_particles(tracks)
    if held:
        who = ", ".join(map(str, held[:5])) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
        lines.append(f"particles {who} never move: taken as held, no law is asked of them")
    lines += coincident(pos, tracks.box)
    return Completed(arrays, measured, derived, held, lines, categories)


def _given_box(box, dim: int) -> np.ndarray:
    if len(box) not in (1, dim):
        raise UserError(f"--box: {len(box)} side lengths for {dim} dimensions", "give one, or one a dimension")
    return np.broadcast_to(np.asarray(box, dtype=float), (dim,)).copy()


def reach(tracks: Tracks, arrays: dict, derived: dict, cutoff: float | None, where: str) -> list[str]:
    """Put the ``cutoff`` of a periodic box into ``arrays``: as given, as in the file, or half the shortest side."""
    if tracks.box is None:
        if cutoff is not None:
            found = f"{where}: --cutoff is how far forces reach in a periodic box, and no box is known"
            raise UserError(found, "give its sides too:  --box L, or leave --cutoff out")
        return ["the file's 'cutoff' is left out: it holds for a periodic box, and no box is known"] * bool(
            tracks.cutoff
        )
    given, half = tracks.cutoff if cutoff is None else cutoff, float(tracks.box.min()) / 2
    arrays["cutoff"] = np.float64(half if given is None else given)
    if not 0 < arrays["cutoff"] <= half:
        found = f"{where}: forces reach {given:g}, expected at most half the shortest side of the box, {half:g}"
        raise UserError(found, f"--cutoff {half:g}, or less")
    if given is not None:
        return []
    derived["cutoff"] = "half the shortest side of the box"
    return [f"how far forces reach is not known: half the shortest side of the box, {half:g}; --cutoff says otherwise"]


def enough_frames(tracks: Tracks, where: str) -> None:
    """``UserError`` for positions alone where no particle is seen in three frames."""
    most = int(tracks.seen.sum(1).max())
    if tracks.acc is None and tracks.force is None and most < FEWEST_FRAMES:
        found = f"{where}: no particle is seen in more than {most} frame{'s' * (most > 1)} of a trajectory, expected"
        fix = "give longer recordings, or the accelerations (ax, ay or fx, fy) if they were measured"
        raise UserError(f"{found} {FEWEST_FRAMES} to tell an acceleration from positions", fix)


def flattened(tracks: Tracks) -> list[str]:
    """Leave out last dimensions in which nothing happens."""
    lines = []
    while tracks.size[3] > 1:
        last = tracks.pos[..., -1]
        value = last[np.isfinite(last)]
        if len(value) and (value != value[0]).any():
            break
        if any((v[..., -1][np.isfinite(v[..., -1])] != 0).any() for k, v in tracks.vectors().items() if k != "pos"):
            break
        for name, value in tracks.vectors().items():
            setattr(tracks, name, np.ascontiguousarray(value[..., :-1]))
        if tracks.box is not None:
            tracks.box = tracks.box[:-1]
        dim = tracks.size[3]
        lines.append(f"{'xyz'[dim]} is the same everywhere: the data are taken in {dim} dimension{'s' * (dim > 1)}")
    return lines


def without_spoilt(tracks: Tracks) -> list[str]:
    """Leave out trajectories with velocities or accelerations that are no numbers where particles were seen; where
    these are many, only the places.
    """
    seen, lines = tracks.seen, []
    for name, value in tracks.vectors().items():
        bad = seen & ~np.isfinite(value).all(-1)
        if name == "pos" or not bad.any():
            continue
        which = np.flatnonzero(bad.any((1, 2)))
        if bad.all(where=seen):
            setattr(tracks, name, None)
            lines.append(f"'{name}' holds no numbers: left out")
        elif len(which) <= SPOILT * len(bad):
            shown = ", ".join(map(str, which[:5])) + (" ..." if len(which) > 5 else "")
            word = f"trajector{'y' if len(which) == 1 else 'ies'} {shown}"
            number = int((~np.isfinite(value) & seen[..., None]).sum())
            lines.append(f"{number} values of '{name}' are no numbers: {word} left out")
            keep(tracks, np.setdiff1d(np.arange(len(bad)), which))
            return lines + without_spoilt(tracks)
        else:
            tracks.pos[bad] = np.nan
            lines.append(f"{int(bad.sum()):,} places without '{name}' are taken as not seen")
            seen = tracks.seen
    return lines


def without_the_lonely(tracks: Tracks, where: str) -> list[str]:
    """Leave out trajectories in which no two particles are ever seen together."""
    together = tracks.seen.sum(2).max(1) >= 2
    if together.all():
        return []
    if not together.any():
        raise UserError(f"{where}: no two particles are seen in the same frame", "a pair force needs at least two")
    keep(tracks, np.flatnonzero(together))
    return [f"{int((~together).sum())} trajectories without two particles in the same frame are left out"]


def keep(tracks: Tracks, which: np.ndarray) -> None:
    """Only the trajectories ``which``."""
    for name, value in tracks.vectors().items():
        setattr(tracks, name, value[which])
    tracks.properties = {k: v[which] for k, v in tracks.properties.items()}
    tracks.who = None if tracks.who is None else tracks.who[which]
    tracks.t = tracks.t[which] if tracks.t.ndim == 2 else tracks.t
    for name in ("film", "split"):
        if (value := getattr(tracks, name)) is not None:
            setattr(tracks, name, value[which])


def masses(tracks: Tracks, derived: dict, mass: float | None, where: str) -> list[str]:
    """Equal masses where there are none; a value for places in the arrays that no particle fills."""
    lines, there = [], tracks.seen.any(1)
    if "mass" not in tracks.properties or mass is not None:
        tracks.properties["mass"] = np.full(there.shape, 1.0 if mass is None else mass)
        derived["mass"] = "equal ones" if mass is None else f"{mass:g}, as given"
        told = "no masses" if mass is None else f"masses of {mass:g} as given"
        then = ": equal ones are taken, a force is then a force over mass" if mass is None else ""
        lines.append(told + then)
    if "charge" not in tracks.properties:
        lines.append("no charges: none are taken")
    for name, value in list(tracks.properties.items()):
        known = value[there & np.isfinite(value)]
        if name == "mass" and ((bad := there & ~(value > 0)).any()):
            k, i = np.argwhere(bad)[0]
            raise UserError(
                f"{where}: the mass of particle {i} of trajectory {k} is {value[k, i]:g}, expected a positive number",
                "--leave-out its column, or give --mass",
            )
        if not np.isfinite(value).all():
            filling = known.min() if name in tracks.categories else np.median(known)
            tracks.properties[name] = np.where(np.isfinite(value), value, filling)
        if name not in ("mass", "charge") and (known == known[0]).all():
            lines.append(f"'{name}' is {known[0]:g} for every particle: left out, nothing can depend on it")
            del tracks.properties[name]
    return lines


def unwrapped(tracks: Tracks) -> None:
    """Follow every particle through the sides of the box, by nearest images from where it was seen last."""
    pos, box = tracks.pos, tracks.box
    last = np.full(pos.shape[::2][:1] + pos.shape[2:], np.nan)
    for f in range(pos.shape[1]):
        here = pos[:, f]
        known = np.isfinite(last)
        pos[:, f] = np.where(known, last + minimum_image(here - np.where(known, last, 0.0), box), here)
        last = np.where(np.isfinite(pos[:, f]), pos[:, f], last)


def filled(tracks: Tracks, most: int) -> np.ndarray:
    """Places with gaps of at most ``most`` frames filled in by the cubic through the two that were seen on either
    side, or with the velocities where these are known.
    """
    pos, seen, t = tracks.pos, tracks.seen, tracks.times
    out = pos.copy()
    for k, i in zip(*np.nonzero(~seen.all(1) & (seen.sum(1) >= 4)), strict=True):
        at = np.flatnonzero(seen[k, :, i])
        gone = np.flatnonzero(~seen[k, :, i])
        after = np.searchsorted(at, gone)
        gone, after = gone[(after > 0) & (after < len(at))], after[(after > 0) & (after < len(at))]
        short = at[after] - at[after - 1] - 1 <= most
        gone, after = gone[short], after[short]
        if not len(gone):
            continue
        first = np.clip(after - 2, 0, len(at) - 4)
        points = at[first[:, None] + np.arange(4)]
        s, x = t[k, points], pos[k, points, i]
        out[k, gone, i] = _through(s, x, t[k, gone])
    return out


def _through(s: np.ndarray, x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Polynomials through ``x`` [row, point, dim] at times ``s`` [row, point], at ``at`` [row] (Lagrange)."""
    total = np.zeros(x[:, 0].shape)
    for a in range(s.shape[1]):
        weight = np.ones(len(s))
        for b in range(s.shape[1]):
            if b != a:
                weight *= (at - s[:, b]) / (s[:, a] - s[:, b])
        total += weight[:, None] * x[:, a]
    return total


def velocities(pos: np.ndarray, acc: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Velocities from places and accelerations [trajectory, frame, particle, dim] of neighbouring frames.

    In an interval h with an acceleration that changes evenly, v = (x' - x)/h - h (2 a + a')/6; the mean of that to
    both sides, which is off by the third power of h. Where only the place of a neighbour is known, its acceleration is
    taken as the same. NaN where neither place is.
    """
    here, there = acc[:, :-1], acc[:, 1:]
    here, there = np.where(np.isfinite(here), here, there), np.where(np.isfinite(there), there, here)
    h = np.diff(t, axis=1)[:, :, None, None]
    slope = np.diff(pos, axis=1) / h
    ahead = slope - h * (2 * here + there) / 6
    behind = slope + h * (2 * there + here) / 6
    both = np.full((2, *pos.shape), np.nan)
    both[0, :, :-1], both[1, :, 1:] = ahead, behind
    count = np.isfinite(both).sum(0)
    return np.where(count > 0, np.nansum(both, 0) / np.maximum(count, 1), np.nan)


def held_particles(tracks: Tracks) -> list[int]:
    """Particles that stay where they are in every trajectory, and whose accelerations, where measured, are zero."""
    first = np.take_along_axis(tracks.pos, np.argmax(tracks.seen, 1)[:, None, :, None], 1)
    still = ((tracks.pos == first) | ~tracks.seen[..., None]).all((0, 1, 3)) & (tracks.seen.sum((0, 1)) > 1)
    if tracks.acc is not None:
        still &= ((tracks.acc == 0) | ~np.isfinite(tracks.acc)).all((0, 1, 3))
    return [int(k) for k in np.flatnonzero(still)] if not still.all() else []


def coincident(pos: np.ndarray, box) -> list[str]:
    """A line that names the first frame in which two particles are at the same place, and how many there are."""
    order = np.argsort(pos[..., 0], axis=2, kind="stable")
    sorted_ = np.take_along_axis(pos, order[..., None], 2)
    same = (sorted_[:, :, 1:] == sorted_[:, :, :-1]).all(-1)
    if not same.any():
        return []
    k, f, i = np.argwhere(same)[0]
    a, b = sorted(order[k, f, i : i + 2])
    frames = int(same.any(2).sum())
    return [
        f"particles {a} and {b} of trajectory {k}, frame {f} are at the same place"
        f" ({frames} of {same.shape[0] * same.shape[1]:,} frames have such pairs)"
    ]
