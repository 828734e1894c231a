"""The units in which the inside works, so that what is found does not depend on those of the data.

A typical length, time and size of each property, taken from the training data: multiplying all lengths of a dataset by
a number multiplies its typical length by the same number, so that the scaled data stay what they were, bit for bit
where the number is a power of two. Files hold the unit of the data; a network's scales stand in its ``config.json``
(absent: 1, it was trained on the data as they are).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from distill.files.dataset import Dataset
from distill.files.properties import category_of, in_messages, property_named

FRAMES, PAIRS = 256, 2_000_000  # of the training data, at most, for a typical distance
WIDE = 3.0  # decades between the 1 % and the 99 % quantile: more, and one typical size does not stand for all
FAR = 1e3  # times away from 1 (or from the origin, in typical distances): far, for what works on data as they are


@dataclass(frozen=True)
class Scales:
    """Units of length and time, and of each property by name; 1 where nothing is said."""

    length: float = 1.0
    time: float = 1.0
    properties: Mapping = field(default_factory=dict)
    target: float = 0.0  # of the number that is learnt; 0: accelerations are

    @property
    def speed(self) -> float:
        return self.length / self.time

    @property
    def acceleration(self) -> float:
        return self.length / self.time / self.time

    @property
    def output(self) -> float:
        """The unit of what networks say."""
        return self.target or self.acceleration

    @property
    def force(self) -> float:
        return self.of("mass") * self.acceleration

    def of(self, name: str) -> float:
        """The unit of a property."""
        return self.properties.get(name, 1.0)

    @property
    def variables(self) -> dict[str, float]:
        """Variable of a formula -> its unit: distance, speed, and the properties of both ends."""
        out = {"r": self.length, "v": self.speed}
        for name, unit in self.properties.items():
            out |= dict.fromkeys(property_named(name).variables, unit)
        return out


ONE = Scales()


def scales_of_model(model: Mapping) -> Scales:
    """Those of a network as its ``config.json`` has them (``RunConfig.model``)."""
    units = dict(zip(model["properties"], model["units"], strict=True)) if model.get("units") else {}
    return Scales(model.get("length", 1.0), model.get("time", 1.0), units, model.get("target", 0.0))


def scales_of(dataset: Dataset) -> Scales:
    """The scales of a dataset's training split: median distance of pairs (in a box: the spacing of evenly spread
    particles), the time in which the median acceleration moves a particle that far from rest (of order one), or, where
    none was measured, the median speed; median size of every property. What is zero everywhere has the unit 1.
    """
    train = dataset.trajectories("train")
    length = _spacing(dataset) if dataset.periodic else _median(_distances(dataset, train)) or 1.0
    own = {name: _size(name, values[train]) for name, values in dataset.properties.items()}
    target = (_median(np.abs(dataset.target[train])) or 1.0) if dataset.has_target else 0.0
    return Scales(length, _time(dataset, train, length), own, target)


def scales_of_messages(messages: Mapping) -> Scales:
    """As ``scales_of``, of the arrays of a messages file where there is neither dataset nor network."""
    length = _median(messages["r"].astype(float)) or 1.0
    size = _median(np.linalg.norm(messages["acc_i"].astype(float), axis=1))
    own = {name: _size(name, messages[f"{name}_i"].astype(float)) for name in in_messages(messages)}
    return Scales(length, float(np.sqrt(length / size)) if size > 0 else 1.0, own)


def far_from_one(dataset: Dataset, scales: Scales) -> list[str]:
    """What of a dataset is so far from 1, or from the origin, that a network on data as they are will not learn it."""
    sizes = {"lengths": scales.length, "times": scales.time} | {f"{k}": v for k, v in scales.properties.items()}
    out = [f"{name} like {size:.3g}" for name, size in sizes.items() if not 1 / FAR < size < FAR]
    away = np.linalg.norm(centre_of(dataset)) if not dataset.periodic else 0.0
    return out + (
        [f"positions {away / scales.length:.3g} distances from the origin"] if away > FAR * scales.length else []
    )


def centre_of(dataset: Dataset) -> np.ndarray:
    """Median position over the training split [dim]."""
    pos = dataset.pos[dataset.trajectories("train")]
    return np.nanmedian(pos.reshape(-1, pos.shape[-1]).astype(float), axis=0)


def over_decades(dataset: Dataset) -> list[str]:
    """What of a dataset ranges over so many decades that small ones hardly count beside the large."""
    values = {f"'{name}'": np.abs(v) for name, v in dataset.properties.items()}
    if not dataset.periodic:
        values["distances"] = _distances(dataset, dataset.trajectories("train"))
    out = []
    for name, size in values.items():
        size = size[np.isfinite(size) & (size > 0)]
        decades = float(np.diff(np.log10(np.quantile(size, [0.01, 0.99])))[0]) if size.size else 0.0
        out += [f"{name} over {decades:.1f} decades"] if decades > WIDE else []
    return out


def _distances(dataset: Dataset, train: np.ndarray) -> np.ndarray:
    """Distances of pairs in some frames."""
    frames, n = dataset.pos.shape[1:3]
    total = len(train) * frames
    count = max(1, min(total, FRAMES, PAIRS // n**2))
    number = np.linspace(0, total - 1, count).astype(int)
    pos = dataset.pos[train[number // frames], number % frames].astype(float)
    apart = [np.linalg.norm(p[:, None] - p[None], axis=-1)[np.triu_indices(n, 1)] for p in pos]
    return np.concatenate(apart)


def _spacing(dataset: Dataset) -> float:
    box = np.asarray(dataset.box, float) * np.ones(dataset.dim)
    return float(np.exp(np.log(box / dataset.n ** (1 / dataset.dim)).mean()))


def _time(dataset: Dataset, train: np.ndarray, length: float) -> float:
    for name, power in (("acc", 0.5), ("vel", 1.0)):
        if name in dataset.arrays:
            size = _median(np.linalg.norm(dataset.arrays[name][train].astype(float), axis=-1))
            if size > 0:
                return float((length / size) ** power)
    step = np.diff(dataset.pos[train].astype(float), axis=1)
    t = np.broadcast_to(np.asarray(dataset.t, float), (len(dataset.pos), dataset.pos.shape[1]))[train]
    with np.errstate(all="ignore"):
        speed = _median(np.linalg.norm(step, axis=-1) / np.diff(t)[..., None])
    return length / speed if speed > 0 else 1.0


def _size(name: str, values: np.ndarray) -> float:
    """Of a property; an indicator has no unit."""
    return 1.0 if category_of(name) else _median(np.abs(values)) or 1.0


def _median(values: np.ndarray) -> float:
    """Of the positive ones; 0 without any."""
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if values.size else 0.0
