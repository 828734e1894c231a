"""What the residuals of a law may follow: accelerations that some missing piece of physics would make.

Each clue is a list of vector fields, linear in what is not known, over the rows of a ``Scene``. They need not be the
missing terms, only be correlated with them: a fit to the residuals of some trajectories has to predict those of the
others. Vectors, so that what is found does not depend on the axes; positions about their mean, distances in their
logarithm and times in parts of the whole, so that it does not depend on origin or units either.
"""

import itertools

import numpy as np

from distill.files.properties import property_named
from distill.law.scene import Scene
from distill.statistics.metrics import typical_size

KNOTS, FEW_KNOTS = 10, 5  # of functions of the distance
TIMES = 10  # parts of the time observed
NEAREST = 3  # particles whose angles are looked at
OF_PAIRS, OF_MANY = "distance and properties", "several neighbours at once"  # two of the clues


def clues(scene: Scene, law: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> accelerations [row, dim, column]; ``law`` [row, dim] are those that the law predicts."""
    made = {
        "position": _position(scene),
        "velocity": _velocity(scene),
        "time": _time(scene, law),
        OF_PAIRS: _distance(scene),
        "velocity of the others, or across the line of centres": _sideways(scene),
        OF_MANY: _company(scene, law),
    }
    return {name: np.stack(fields, -1) for name, fields in made.items() if fields}


def factors(scene: Scene) -> list[np.ndarray]:
    """What a force of the receiver alone may be proportional to over its mass [row]: 1/m, and p/m of every property
    that differs from particle to particle.
    """
    mass = scene.state.mass
    return [1 / mass, *(v / mass for v in scene.state.properties.values() if np.ptp(v) > 0)] + (
        [np.ones_like(mass)] if np.ptp(mass) == 0 and mass[0] != 1 else []
    )


def _times(fields, numbers) -> list[np.ndarray]:
    return [field * number[:, None] for field, number in itertools.product(fields, numbers)]


def _axes(scene: Scene) -> list[np.ndarray]:
    return [np.broadcast_to(axis, scene.acc.shape) for axis in np.eye(scene.acc.shape[1])]


def _position(scene: Scene) -> list[np.ndarray]:
    if scene.pos is None:
        return []
    if scene.box is not None:
        angle = 2 * np.pi * scene.pos / scene.box
        at = [np.ones(len(angle)), *np.sin(angle).T, *np.cos(angle).T]
    else:
        x = scene.pos - np.median(scene.pos, axis=0)
        x = x / (np.sqrt((x**2).sum(1).mean()) or 1.0)
        x = x / np.maximum(1.0, np.linalg.norm(x, axis=1) / 3)[:, None]  # one that escapes must not decide
        at = [np.ones(len(x))]
        for degree in (1, 2, 3) if x.shape[1] < 3 else (1, 2):
            at += [x[:, list(k)].prod(1) for k in itertools.combinations_with_replacement(range(x.shape[1]), degree)]
    return _times(_times(_axes(scene), at), factors(scene))


def _velocity(scene: Scene) -> list[np.ndarray]:
    v = np.asarray(scene.state.vel, float)
    speed = np.linalg.norm(v, axis=1)
    fields = [v, v * speed[:, None]]
    if v.shape[1] == 2:
        fields.append(np.column_stack([-v[:, 1], v[:, 0]]))
    elif v.shape[1] == 3:
        fields += [np.cross(v, axis) for axis in np.eye(3)]
    return _times(fields, factors(scene))


def _time(scene: Scene, law: np.ndarray) -> list[np.ndarray]:
    if scene.time is None or np.ptp(scene.time) == 0:
        return []
    edges = np.quantile(scene.time, np.linspace(0, 1, TIMES + 1)[1:-1])
    part = np.searchsorted(edges, scene.time, side="right")
    during = [part == k for k in np.unique(part)]
    changes = [d - d.mean() for d in during[1:]]  # what is always there is no matter of time
    return _times([law, *_axes(scene)], changes)


def _hats(r: np.ndarray, count: int, inner: float = 0.002) -> list[np.ndarray]:
    """Piecewise linear functions of log r that add up to 1, ``count`` [edge]."""
    x = np.log(np.maximum(r, 1e-300))  # particles may coincide
    low, high = np.quantile(x, [inner, 1 - inner])
    place = np.clip((x - low) / ((high - low) or 1.0), 0, 1) * (count - 1)
    return [np.maximum(1 - np.abs(place - k), 0) for k in range(count)]


def _pair_factors(scene: Scene) -> list[np.ndarray]:
    """1, and p_i, p_j, p_i p_j of every property that differs from particle to particle [edge]."""
    out = [np.ones(len(scene.receiver))]
    for name in scene.state.properties:
        own, other = (scene.features[v] for v in property_named(name).variables)
        if np.ptp(own) > 0:
            out += [own, other, own * other]
    return out


def _summed(scene: Scene, fields, numbers) -> list[np.ndarray]:
    """Accelerations by sums over edges of ``fields`` [edge, dim] times ``numbers`` [edge]."""
    mass = scene.state.mass[:, None]
    return [scene.sum(f * n[:, None]) / mass for f, n in itertools.product(fields, numbers)]


def _distance(scene: Scene) -> list[np.ndarray]:
    if not len(scene.receiver):
        return []
    hats = _hats(scene.features["r"], KNOTS)
    return _summed(scene, [scene.unit], [h * p for h, p in itertools.product(hats, _pair_factors(scene))])


def _sideways(scene: Scene) -> list[np.ndarray]:
    fields = []
    if not len(scene.receiver):
        return []
    if scene.unit.shape[1] == 2:
        fields.append(np.column_stack([-scene.unit[:, 1], scene.unit[:, 0]]))
    if scene.moving is not None:
        fields += [scene.moving, (scene.moving * scene.unit).sum(1)[:, None] * scene.unit]
    own = scene.state.mass[scene.receiver]
    numbers = [np.ones(len(own))] + ([own] if np.ptp(own) > 0 else [])
    return _summed(scene, fields, [h * p for h, p in itertools.product(_hats(scene.features["r"], FEW_KNOTS), numbers)])


def _company(scene: Scene, law: np.ndarray) -> list[np.ndarray]:
    """The law's acceleration times functions of its size and of the density, and the angles between near particles."""
    if not len(scene.receiver):
        return []
    size = np.linalg.norm(law, axis=1)
    c = typical_size(size)
    r, start = scene.features["r"], None
    scale = np.median(r)
    density = [scene.sum(np.exp(-r / (s * scale))[:, None])[:, 0] for s in (0.3, 1.0)]
    out = [law * f[:, None] for f in (size / (c + size), (size / (c + size)) ** 2, c / (c + size), *density)]
    order = np.lexsort((r, scene.receiver))
    count = np.bincount(scene.receiver, minlength=len(law))
    start = np.cumsum(count) - count
    near = [order[np.minimum(start + k, len(order) - 1)] for k in range(NEAREST)]
    there = [(count > k)[:, None] for k in range(NEAREST)]
    mass = scene.state.mass[:, None]
    for a, b in itertools.combinations(range(NEAREST), 2):
        e1, e2 = scene.unit[near[a]], scene.unit[near[b]]
        both = there[a] & there[b]
        cosine = (e1 * e2).sum(1)[:, None]
        for s in (0.3, 1.0):
            strength = np.exp(-(r[near[a]] + r[near[b]]) / (s * scale))[:, None] * both / mass
            out += [strength * f for f in (e1 + e2, cosine * (e1 + e2), cosine**2 * (e1 + e2))]
    return out
