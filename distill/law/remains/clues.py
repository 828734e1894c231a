"""What the residuals of a law may follow: accelerations that some missing piece of physics would make.

Each clue is a list of vector fields, linear in what is not known, over the rows of a ``Scene``. They need not be the
missing terms, only be correlated with them: a fit to the residuals of some trajectories has to predict those of the
others. Vectors, so that what is found does not depend on the axes; positions about their mean, distances in their
logarithm and times in parts of the whole, so that it does not depend on origin or units either.

The last three are what no term of a law can say: forces of more than two bodies, of where others were before, of a
source that is not among the particles.
"""

import itertools

import numpy as np

from distill.files.properties import property_named
from distill.law.remains.scene import Scene
from distill.statistics.metrics import typical_size

KNOTS, FEW_KNOTS = 10, 5  # of functions of the distance
TIMES = 10  # parts of the time observed
NEAREST = 3  # particles whose angles are looked at
SIDES, TRIANGLES, CORNERS = 3, 600_000, 5  # knots along a side of a triangle; triangles, of the nearest particles
FARTHEST_PAST = 0.25  # of the frames of a stretch
PAST_KNOTS = 6
# names of clues: what is said of them elsewhere goes by these
OF_PLACE, OF_VELOCITY, OF_TIME = "position", "velocity", "time"
OF_PAIRS, OF_MANY = "distance and properties", "several neighbours at once"
SIDEWAYS = "velocity of the others, or across the line of centres"
OF_TRIANGLES, OF_PAST = "the triangles that particles form", "where the others were before"
OF_A_SOURCE = "a place of its own in every frame"


def clues(scene: Scene, law: np.ndarray, left: np.ndarray) -> dict[str, list[tuple[dict, np.ndarray]]]:
    """Name -> alternatives, of which the best one counts: (what it is of, accelerations [row, dim, column]).

    ``law`` [row, dim]: accelerations that the law predicts, ``left``: what it leaves, of which a clue may only use what
    is of other particles in other frames.
    """
    made = {
        OF_PLACE: _position(scene),
        OF_VELOCITY: _velocity(scene),
        OF_TIME: _time(scene, law),
        OF_PAIRS: _distance(scene),
        SIDEWAYS: _sideways(scene),
        OF_MANY: _company(scene, law),
        OF_TRIANGLES: _triangles(scene),
        OF_A_SOURCE: _one_place(scene, left),
    }
    out: dict[str, list] = {name: [({}, np.stack(fields, -1))] for name, fields in made.items() if len(fields)}
    past = [({"lag": lag * scene.pace}, np.stack(_past(scene, lag), -1)) for lag in _lags(scene)]
    return out | ({OF_PAST: past} if past else {})


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
    return _hats_at(r, r, count, inner)


def _hats_at(r: np.ndarray, usual: np.ndarray, count: int, inner: float = 0.002) -> list[np.ndarray]:
    """The same at distances ``r``, with the knots of the ``usual`` ones."""
    x = np.log(np.maximum(r, 1e-300))  # particles may coincide
    low, high = np.quantile(np.log(np.maximum(usual, 1e-300)), [inner, 1 - inner])
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


# ---------------------------------------------------------------- what no term of a law says


def _triangles(scene: Scene) -> list[np.ndarray]:
    """Sums over triples of functions of the three sides along the sides that meet in the receiver: in these every force
    lies whose potential is one of the sides of triangles.
    """
    if scene.moment is None or scene.box is not None or not len(scene.receiver):
        return []
    r, dx = scene.features["r"], scene.unit * scene.features["r"][:, None]
    number, order = scene.moment, np.lexsort((r, scene.moment))
    count = np.bincount(number)
    first = np.cumsum(count) - count
    groups = np.flatnonzero(count >= 2)
    if not len(groups):
        return []
    corners = min(CORNERS, int(count.max()))
    every = max(1, -(-len(groups) * corners * (corners - 1) // TRIANGLES))  # of a window's frames one in so many
    groups, weight = groups[::every], np.ones(len(r)) if scene.weight is None else every * scene.weight
    near = order[first[groups][:, None] + np.minimum(np.arange(corners), count[groups][:, None] - 1)]
    there = np.arange(corners) < count[groups][:, None]
    row, size, side = scene.receiver[near[:, 0]], SIDES**3, _knots(r)
    found: list[tuple] = []  # (edge, column, what it counts there)
    for a, b in itertools.permutations(range(corners), 2):
        both = there[:, a] & there[:, b]
        j, k = near[both, a], near[both, b]
        third = np.linalg.norm(dx[j] - dx[k], axis=1)
        for (p, wp), (q, wq), (s, ws) in itertools.product(side(r[j]), side(r[k]), side(third)):
            found.append((j, row[both] * size + (p * SIDES + q) * SIDES + s, wp * wq * ws * weight[j]))
    edge, column, value = map(np.concatenate, zip(*found, strict=True))
    strengths = [np.ones(len(r)), *(own * other for own, other in _ends(scene))]
    sums = [
        [np.bincount(column, (value * (strength * along)[edge]), len(scene.acc) * size) for along in scene.unit.T]
        for strength in strengths
    ]
    mass, out = scene.state.mass[:, None], []
    for whole in sums:
        columns = np.reshape(whole, (scene.acc.shape[1], len(scene.acc), size))
        out += [columns[:, :, c].T / mass for c in range(size) if columns[:, :, c].any()]
    return out


def _ends(scene: Scene) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every property that differs from particle to particle its values at both ends [edge]."""
    names = [name for name, v in scene.state.properties.items() if np.ptp(v) > 0]
    return [tuple(scene.features[v] for v in property_named(name).variables) for name in names]


def _knots(r: np.ndarray):
    """Distances -> the two of the ``SIDES`` hats that are not zero there, as (number [distance], value)."""
    low, middle, high = np.log(np.quantile(r, [0.05, 0.5, 0.95]))
    knots = np.array([low, middle, high]) + np.array([0.0, 1e-9, 2e-9])

    def hats(at: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        x = np.interp(np.log(np.maximum(at, 1e-300)), knots, np.arange(SIDES))
        k = np.minimum(x.astype(int), SIDES - 2)
        return [(k, 1 - (x - k)), (k + 1, x - k)]

    return hats


def _lags(scene: Scene) -> list[int]:
    """Numbers of frames that a past is looked for in: doubled until too few frames have one."""
    if scene.past is None or not len(scene.receiver):
        return []
    out, lag = [], 1
    while lag <= 16 and np.isfinite(scene.past(lag)).all(1).mean() >= 1 - FARTHEST_PAST:
        out.append(lag)
        lag *= 2
    return out


def _past(scene: Scene, lag: int) -> list[np.ndarray]:
    """What central forces change by if they come from where the other was ``lag`` frames ago."""
    if scene.past is None:
        return []
    dx = scene.past(lag)
    r = np.linalg.norm(dx, axis=1)
    there = np.isfinite(r) & (r > 0)
    unit = np.where(there[:, None], dx / np.where(there, r, 1.0)[:, None], 0.0)
    now = scene.features["r"]
    hats, then = _hats(now, PAST_KNOTS), _hats_at(np.where(there, r, now), now, PAST_KNOTS)
    changes = [h[:, None] * unit - (g * there)[:, None] * scene.unit for h, g in zip(then, hats, strict=True)]
    return _summed(scene, changes, _pair_factors(scene))


def _one_place(scene: Scene, left: np.ndarray) -> list[np.ndarray]:
    """Forces along the line from the place that what is left of the other particles' forces points to or from, just
    before and after: what a source that was not recorded does, wherever it moves.
    """
    stretches, frames, n = scene.shape
    dim = scene.acc.shape[1]
    if scene.pos is None or scene.box is not None or frames < 2 or n < 4 or dim < 2:
        return []
    pos = scene.pos - np.median(scene.pos, axis=0)
    force = left * scene.state.mass[:, None]
    size = np.linalg.norm(force, axis=1)
    along = force / np.where(size > 0, size, 1.0)[:, None]
    weight = size / (size + typical_size(size))
    across = (np.eye(dim) - along[:, :, None] * along[:, None, :]) * weight[:, None, None]
    shape = (stretches, frames, n)
    matrix, vector = across.reshape(*shape, dim, dim), np.einsum("kab,kb->ka", across, pos).reshape(*shape, dim)
    matrix, vector = matrix.sum(2, keepdims=True) - matrix, vector.sum(2, keepdims=True) - vector

    def beside(values):
        out = np.zeros_like(values)
        out[:, 1:] += values[:, :-1]
        out[:, :-1] += values[:, 1:]
        return out

    matrix, vector = beside(matrix), beside(vector)
    little = 1e-3 * np.trace(matrix, axis1=-2, axis2=-1)[..., None] + 1e-12
    middle = pos.reshape(*shape, dim).mean(2, keepdims=True)
    source = np.linalg.solve(matrix + little[..., None] * np.eye(dim), (vector + little * middle)[..., None])[..., 0]
    d = pos - source.reshape(-1, dim)
    r = np.linalg.norm(d, axis=1)
    unit = d / np.where(r > 0, r, 1.0)[:, None]
    return _times(_times([unit], _hats(r, FEW_KNOTS, 0.05)), factors(scene))
