"""What is printed of tracks that were read: how many, how even, how much is missing, how noisy, in what units."""

import numpy as np

from distill.physics.neighbours import minimum_image
from distill.tracks.complete import Completed
from distill.tracks.tracks import Tracks

EVEN = 1e-3  # relative differences of times between frames that still count as even
PAIRS = 20_000  # frames and pairs that are looked at for distances


def spacing(t: np.ndarray) -> tuple[float, float]:
    """Usual time between frames, and the widest relative difference from it."""
    steps = np.diff(t, axis=-1)
    if not steps.size:
        return 1.0, 0.0
    usual = float(np.median(steps))
    return usual, float(np.abs(steps / usual - 1).max()) if usual else 0.0


def displacement(pos: np.ndarray) -> float:
    """Median way of a particle from one frame to the next."""
    steps = np.linalg.norm(np.diff(pos, axis=1), axis=-1)
    return float(np.median(steps[np.isfinite(steps)])) if np.isfinite(steps).any() else 0.0


def distances(pos: np.ndarray, box=None, seed: int = 0) -> np.ndarray:
    """Distances of random pairs of particles in the same frame."""
    rng = np.random.default_rng([seed, 53])
    k, f = (rng.integers(0, size, PAIRS) for size in pos.shape[:2])
    i = rng.integers(0, pos.shape[2], PAIRS)
    j = (i + rng.integers(1, pos.shape[2], PAIRS)) % pos.shape[2]
    r = np.linalg.norm(minimum_image(pos[k, f, i].astype(float) - pos[k, f, j], box), axis=-1)
    return r[np.isfinite(r) & (r > 0)]


def summary(tracks: Tracks, done: Completed, noise: float) -> tuple[list[str], dict]:
    """(lines for the terminal, numbers for the record). ``noise``: estimated, of a coordinate of the positions."""
    pos, a = done.arrays["pos"], done.arrays
    count, frames, n, dim = pos.shape
    seen = a["seen"] if "seen" in a else np.ones((1, 1, 1), dtype=bool)
    usual, uneven = spacing(a["t"])
    move, r = displacement(pos), distances(pos, a.get("box"))
    missing = 1 - float(seen.mean())
    even = "evenly" if uneven < EVEN else f"unevenly, by up to {100 * uneven:.3g} %"
    size = f"{count:,} trajectories of {frames} frames, {n} particles, {dim}-D; {usual:.4g} from frame to frame, {even}"
    lines = [size]
    per_frame = a["seen"].sum(2) if "seen" in a else np.full((1, 1), n)
    if missing:
        lines.append(
            f"missing: {100 * missing:.3g} % of the places;"
            f" {int(per_frame.min())} to {int(per_frame.max())} particles in a frame"
        )
    numbers = {"spacing": usual, "unevenness": uneven, "missing_share": missing, "displacement": move}
    for label, key in (
        ("rows", "rows"),
        ("left out without a place", "rows_without_a_place"),
        ("doubled", "rows_doubled"),
    ):
        if key in tracks.counts:
            numbers[key] = tracks.counts[key]
            if tracks.counts[key] and key != "rows":
                lines.append(f"{tracks.counts[key]:,} rows {label}")
    numbers["noise"] = noise
    if frames > 1:
        share = f", {100 * noise / move:.3g} % of the median displacement between frames" if move else ""
        lines.append(f"noise of a coordinate, estimated: {noise:.3g}{share}")
    if len(r):
        low, middle, high = np.quantile(r, (0.01, 0.5, 0.99))
        numbers |= {
            "distance_1_percent": float(low),
            "distance_median": float(middle),
            "distance_99_percent": float(high),
        }
        lines.append(
            f"distances of pairs {low:.3g} to {high:.3g} (median {middle:.3g}); displacement between frames {move:.3g}"
        )
    for name, value in tracks.properties.items():
        if name not in done.derived and name not in done.categories:
            lines.append(f"{name}: {_range(value)}")
    lines.append(f"measured: {', '.join(done.measured)}")
    lines += [f"derived: {name}: {how}" for name, how in done.derived.items()]
    if "acc" not in a:
        lines.append("accelerations were not measured: laws are fitted to windows of the positions")
    if "split" in a:
        train, validation, test = np.bincount(a["split"], minlength=3)[:3]
        lines.append(f"split: {train} trajectories to train, {validation} to validate, {test} to test")
    return lines, numbers


def _range(value: np.ndarray) -> str:
    """Smallest and largest of a property, and over how many decades its sizes go."""
    if value.min() == value.max():
        return f"{value.min():.4g} for all"
    size = np.abs(value[value != 0])
    decades = f" over {np.log10(size.max() / size.min()):.1f} decades" if size.max() > 10 * size.min() else ""
    return f"{value.min():.4g} to {value.max():.4g}{decades}"
