"""Does a law leave anything behind that could still be predicted? A test that needs no truth.

What a right law leaves of the accelerations is measurement noise: it does not last from one frame to the next, and
nothing predicts it. That nothing tried here does is no proof. Two kinds of questions are asked of the residuals, each
relative to c + |a_law|:

lasting   the product of neighbouring means over 1, 2, 4, 8 frames along trajectories. Where frames are independent its
          sum has mean zero and the variance sum of its squares, whatever the size of the noise and however that
          depends on the state (sign flips of frames: the null is exact), nor does it matter whether particles share
          it. Errors of finite differences are negatively correlated and count as noise.
following a fit of what missing physics would make (``clues``) to the residuals of some trajectories, applied to the
          others: the sum of residual times prediction has mean zero if nothing predicts the residuals. Its variance
          is taken over particles of stretches and over frames, the larger of both, so that noise which is correlated in
          time, or shared by all particles of a frame, does not pass for physics.

Both are sums over their standard error, so that one bar ``SIGNIFICANT`` serves all. What other constants of the same
law would take away is taken away first: constants have errors. More than those errors explain is structure too.
"""

from dataclasses import replace

import numpy as np
from scipy.special import chdtri

from distill.formulas.tree import parametrise, with_constants, with_scales
from distill.law.remains.clues import OF_A_SOURCE, OF_MANY, OF_PAST, OF_TRIANGLES, clues
from distill.law.remains.scene import Scene
from distill.physics.law import Law
from distill.physics.terms.values import is_constant
from distill.statistics.metrics import typical_size

SIGNIFICANT = 4.0  # standard errors: by chance once in some 2,000 tests, of which a law has about ten
MATERIAL = 0.01  # share of the residuals' square that has to be predictable: a tenth of the size of the noise
NOTHING = 1e-5  # mean relative error of the accelerations below which nothing is looked for
CLIPPED = 0.99  # quantile beyond which a residual counts as one there: a few close encounters must not decide
BLOCKS = (1, 2, 4, 8)  # frames
FOLDS = 5
CLUSTERS = 100  # fewer particles of stretches than these: every row is one by itself
OVER_NOISE = 1.5  # times what noise leaves, medians: what is more is not noise,
OF_ACCELERATIONS = 0.02  # if it is so much of them: less may be what windows make of the motion between frames
CALLED = {  # what no term of a law can say, by the clue that it follows
    OF_TRIANGLES: "three-body forces?",
    OF_MANY: "forces of more than two bodies?",
    OF_PAST: "retardation?",
    OF_A_SOURCE: "a source that was not recorded?",
}
OTHER_CONSTANTS = 20.0  # times the share of the residuals that the errors of the constants explain


def structure(law: Law, scene: Scene, fitted_on: int | None = None) -> dict:
    """What ``law`` leaves on ``scene``, as ``kinds.Residuals``. ``fitted_on``: numbers (receivers times dimensions)
    that its constants were fitted to; None: as many as there are here.
    """
    with np.errstate(all="ignore"):
        found = scene.predict(law)
    rows, dim = scene.acc.shape
    told = {"structured": True, "left": None, "n": rows, "r2_held_out": None, "autocorrelation": None}
    told |= {"autocorrelation_error": None, "clues": {}, "follows": [], "over_noise": None}
    if not np.isfinite(found).all():
        return told | {"text": "the law is not finite everywhere"}
    size = np.linalg.norm(found, axis=1)
    typical = typical_size(np.linalg.norm(scene.acc, axis=1))  # not the law's: one that is zero has none
    weight = 1 / (typical + size)  # with noisy accelerations in their own weights residuals would follow them
    left = (scene.acc - found) * weight[:, None]
    told["left"] = float(np.mean(np.linalg.norm(left, axis=1)))
    if told["left"] < NOTHING:
        return told | {"structured": False, "text": f"the law leaves {_share(told['left'])} of the accelerations"}
    bar = np.quantile(np.abs(left), CLIPPED)
    u = np.clip(left, -bar, bar)
    design = tangent(law, scene, found) * weight[:, None, None]
    u, shifted = without(u, design)
    count, numbers = design.shape[-1], u.size
    tests: dict[str, dict] = {}
    if shifted > OTHER_CONSTANTS * count * (1 / numbers + 1 / (fitted_on or numbers)):
        tests["its own terms, with other constants"] = {"z": None, "r2": shifted}
    if (u**2).sum() > 0:
        tests |= following(scene, u, weight, found)
        lasts = lasting(u.reshape(*scene.shape, dim))
    else:
        lasts = None
    told["clues"] = tests
    told["r2_held_out"] = max((t["r2"] for t in tests.values()), default=0.0)
    told["follows"] = following_in(tests)
    if lasts:
        told |= {"autocorrelation": lasts["lag_1"], "autocorrelation_error": lasts["error"]}
    told["over_noise"], more = over_noise(scene, scene.acc - found)
    told["structured"] = bool(told["follows"] or (lasts and lasts["lasts"]) or more)
    return told | {"text": _sentence(told, lasts, more)}


def over_noise(scene: Scene, left: np.ndarray) -> tuple[float | None, bool]:
    """(the size of ``left`` [row, dim] over what noise alone would leave, medians of rows; whether that is more than
    noise), None where noise is not known.
    """
    if scene.noise is None:
        return None, False
    there = scene.acc.any(1) & (scene.noise > 0)
    if not there.any():
        return None, False
    size, dim = np.linalg.norm(left[there], axis=1), left.shape[1]
    ratio = float(np.median(size / scene.noise[there]) / np.sqrt(chdtri(dim, 0.5)))
    share = float(np.median(size)) / typical_size(np.linalg.norm(scene.acc[there], axis=1))
    return ratio, bool(ratio > OVER_NOISE and share * np.sqrt(1 - ratio**-2) > OF_ACCELERATIONS)


def _share(left: float) -> str:
    return "less than 0.001 %" if left < NOTHING else f"{100 * left:.2g} %"


def _sentence(told, lasts, more: bool) -> str:
    if told["structured"]:
        return told_of_left(told["left"], told["clues"], lasts, told["over_noise"] if more else None, "the law")
    seen = f"autocorrelation {told['autocorrelation']:.2f} between frames" if lasts else "single frames only"
    bar = f"{100 * MATERIAL:g} % of it at {SIGNIFICANT:g} standard errors"
    what = f"what the law leaves ({_share(told['left'])} of the accelerations)"
    return f"{what} looks like noise ({seen}, none of {len(told['clues'])} clues predicts {bar})"


def told_of_left(left: float, tests: dict, lasts: dict | None, over: float | None, whose: str = "the best law") -> str:
    """Why what a law leaves is no noise, empty where nothing says so. ``over``: how many times what noise leaves it is,
    None where it may be noise.
    """
    names, parts = following_in(tests), []
    for name in [*names[:1], *(n for n in names[1:] if n in CALLED and names[0] not in CALLED)][:2]:
        parts.append(f"follows {name} (held-out R2 {tests[name]['r2']:.2g})")
    called = next((CALLED[name] for name in names if name in CALLED), None)
    if lasting_so := lasts is not None and lasts["lasts"]:
        parts.append(f"lasts from frame to frame (autocorrelation {lasts['lag_1']:.2f})")
    if over is not None:
        parts.append(f"is {over:.2g} times what noise alone leaves")
    if not parts:
        return ""
    said = f"what {whose} leaves ({_share(left)} of the accelerations) {' and '.join(parts)}: the law is incomplete"
    if called:
        return f"{said} ({called})"
    if names or not lasting_so:
        return said
    return f"{said} (a source that was not recorded?), or the accelerations were smoothed in time"


def following_in(tests: dict) -> list[str]:
    """Names of the ``tests`` that what is left follows, best first."""
    names = [n for n, t in tests.items() if t["z"] is None or (t["z"] >= SIGNIFICANT and t["r2"] >= MATERIAL)]
    return sorted(names, key=lambda name: -tests[name]["r2"])


def tangent(law: Law, scene: Scene, found: np.ndarray) -> np.ndarray:
    """Derivatives of the law's accelerations ``found`` [row, dim] with respect to its constants, in their own units,
    and to the values of its node terms: [row, dim, constant].
    """
    form, symbols, values = parametrise(with_scales(law.pair))
    columns, step = [], 1e-6
    for k in range(len(values)):
        moved = np.array(values)
        moved[k] *= 1 + step
        with np.errstate(all="ignore"):
            columns.append((scene.predict(replace(law, pair=with_constants(form, symbols, moved))) - found) / step)
    for name, value in law.node.items():
        if not is_constant(value):
            continue
        for one in np.atleast_2d(np.eye(np.size(value))):
            change = step * (np.max(np.abs(value)) or 1.0)
            node = law.node | {name: value + change * (one if np.ndim(value) else one[0])}
            with np.errstate(all="ignore"):
                columns.append((scene.predict(replace(law, node=node)) - found) / change)
    kept = [c for c in columns if np.isfinite(c).all() and np.any(c != 0)]
    return np.stack(kept, -1) if kept else np.empty((*found.shape, 0))


def without(u: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, float]:
    """(``u`` [row, dim] less what ``design`` [row, dim, column] fits of it, the share of its square that that is)."""
    if not design.shape[-1]:
        return u, 0.0
    columns, total = _clipped(design.reshape(u.size, -1)), float((u**2).sum())
    fit = np.linalg.lstsq(columns, u.reshape(-1), rcond=1e-10)[0]
    rest = u - (columns @ fit).reshape(u.shape)
    return rest, 1 - float((rest**2).sum()) / total if total > 0 else 0.0


def _clipped(columns: np.ndarray) -> np.ndarray:
    """``columns`` [number, column] with a mean square of 1 and without their largest values."""
    scale = np.sqrt((columns**2).mean(0))
    columns = columns / np.where(scale > 0, scale, 1.0)
    columns = np.clip(columns, -5, 5)
    scale = np.sqrt((columns**2).mean(0))
    return columns / np.where(scale > 0, scale, 1.0)


def _error(terms: np.ndarray, together: np.ndarray) -> float:
    """Standard error of the sum of ``terms``, each with mean zero: by itself, or, where that is more, all that have one
    number ``together`` as one, as the particles of a frame are if what measures them shakes. Not where these are so few
    that no sum could be significant.
    """
    each, groups = np.sqrt((terms**2).sum()), np.bincount(together, terms)
    return float(max(each, np.sqrt((groups**2).sum())) if len(groups) >= 2 * SIGNIFICANT**2 else each)


# ---------------------------------------------------------------- do they last?


def lasting(u: np.ndarray) -> dict | None:
    """``lag_1``: autocorrelation of ``u`` [stretch, frame, particle, dim] between neighbouring frames, with its
    ``error``; ``lasts``: whether, over any of ``BLOCKS``, the sum of neighbouring blocks' products is significant and
    their correlation material. None where there are no neighbouring frames.
    """
    frames = u.shape[1]
    out: dict | None = None
    for length in BLOCKS:
        count = frames // length
        if count < (2 if length == 1 else 4):
            break
        block = u[:, : count * length].reshape(len(u), count, length, *u.shape[2:]).mean(2)
        product = (block[:, 1:] * block[:, :-1]).sum(-1)
        error = _error(product.reshape(-1), np.arange(product[..., 0].size).repeat(product.shape[2]))
        power = np.sqrt((block[:, 1:] ** 2).sum() * (block[:, :-1] ** 2).sum())
        if not power > 0:
            break
        found = float(product.sum() / power), float(error / power)
        out = out or {"lag_1": found[0], "error": found[1], "lasts": False}
        out["lasts"] |= found[0] >= max(SIGNIFICANT * found[1], MATERIAL)
    return out


# ---------------------------------------------------------------- do they follow anything?


def following(scene: Scene, u: np.ndarray, weight: np.ndarray, found: np.ndarray) -> dict:
    """Name of a clue -> ``z`` of residual times cross-validated prediction and ``r2`` of the latter."""
    fold, cluster = folds(scene), clusters(scene)
    frame = np.arange(len(u)) // scene.shape[2]
    out = {}
    for name, alternatives in clues(scene, found, u / weight[:, None]).items():
        tried = []
        for about, fields in alternatives:
            predicted = cross_fitted(u, fields * weight[:, None, None], fold)
            terms = np.bincount(cluster, (u * predicted).sum(1))
            error = max(np.sqrt((terms**2).sum()), _error((u * predicted).sum(1), frame))
            r2 = 1 - float(((u - predicted) ** 2).sum() / (u**2).sum())
            tried.append({"z": float(terms.sum() / error) if error > 0 else 0.0, "r2": r2} | about)
        out[name] = max(tried, key=lambda one: one["r2"])
    return out


def folds(scene: Scene) -> np.ndarray:
    """[row] the fold that a row is predicted in: whole trajectories, or stretches where these are too few."""
    known, number = np.unique(scene.trajectory, return_inverse=True)
    if len(known) < FOLDS:
        number, known = np.arange(len(number)), np.arange(len(number))
    shuffled = np.random.default_rng(len(known)).permutation(len(known))[number]
    return np.repeat(shuffled * FOLDS // max(len(known), FOLDS), scene.shape[1] * scene.shape[2])


def clusters(scene: Scene) -> np.ndarray:
    """[row] rows that may share their noise: one particle in one stretch; a row where these are few."""
    stretches, frames, particles = scene.shape
    if stretches * particles < CLUSTERS:
        return np.arange(stretches * frames * particles)
    number = np.arange(stretches * particles).reshape(stretches, 1, particles)
    return np.broadcast_to(number, scene.shape).reshape(-1)


def cross_fitted(u: np.ndarray, fields: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """``u`` [row, dim] predicted from ``fields`` [row, dim, column] by ridge regression on the other folds."""
    dim = u.shape[1]
    columns, y = _clipped(fields.reshape(u.size, -1)), u.reshape(-1)
    of = np.repeat(fold, dim)
    parts = [of == k for k in range(FOLDS)]
    gram = [columns[p].T @ columns[p] for p in parts]
    right = [columns[p].T @ y[p] for p in parts]
    out, ridge = np.zeros_like(y), columns.shape[1] * np.eye(columns.shape[1])
    for part, own, mine in zip(parts, gram, right, strict=True):
        out[part] = columns[part] @ np.linalg.solve(sum(gram) - own + ridge, sum(right) - mine)
    return out.reshape(u.shape)
