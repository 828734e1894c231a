"""A dataset, and one with values of bodies that were learnt."""

from functools import cached_property

import numpy as np

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.fields import SPLITS
from distill.files.kinds import LearntRecord, SystemRecord
from distill.results.base import Result
from distill.shell import paths
from distill.shell.stage import name_of


class DatasetResult(Result):
    """A dataset: trajectories of particles, simulated, imported or completed."""

    KIND = "dataset"

    @classmethod
    def load(cls, name: str) -> "DatasetResult":
        """The dataset of that name in datasets/, or at that path; ``UserError`` where it is missing or wrong."""
        data = load_dataset(name_of(name))
        return cls._of(data)

    @classmethod
    def _of(cls, data: Dataset) -> "DatasetResult":
        own = data.path.resolve().parent == paths.DATASETS.resolve()
        made = cls(data.meta.stage or "dataset", data.name if own else str(data.path), data.path, data.meta.seconds)
        made.__dict__["data"] = data
        return made

    @cached_property
    def data(self) -> Dataset:
        """All of it, read and checked."""
        return load_dataset(str(self.path))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as docs/formats.md lists them: ``pos``, ``vel``, ``acc`` [trajectory, frame, particle, dim], ``t``
        [frame], ``mass``, ``charge`` and further properties [trajectory, particle] ...
        """
        return self.data.arrays

    @property
    def trajectories(self) -> int:
        return self.data.pos.shape[0]

    @property
    def frames(self) -> int:
        """Of a trajectory."""
        return self.data.pos.shape[1]

    @property
    def n(self) -> int:
        """Particles."""
        return self.data.n

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return self.data.dim

    @property
    def splits(self) -> dict[str, int]:
        """Trajectories to train on, to validate on and to test on."""
        return {name: int((self.data.split == k).sum()) for k, name in enumerate(SPLITS)}

    @property
    def system(self) -> SystemRecord:
        """What was simulated; without a name where it is not known."""
        return self.data.meta.system

    @property
    def true_law(self) -> str | None:
        """The true pair force as a formula; None where it is not known, or is the gradient of a potential."""
        return self.system.law

    @property
    def quick(self) -> bool:
        return self.data.meta.quick

    def facts(self):
        size = " · ".join(f"{name} {count:,}" for name, count in self.splits.items())
        out = {"Trajectories": f"{self.trajectories:,} ({size})", "Frames of each": f"{self.frames:,}"}
        out["Particles"] = f"{self.n:,} in {self.dim} dimensions"
        held = [f"{name} {list(array.shape)}" for name, array in self.arrays.items()]
        out["Arrays"] = ", ".join(held)
        named = f"{self.system.name}: {self.system.summary or ''}".rstrip(": ")
        out["System"] = named if self.system.name else "not known"
        return out | ({"True force": self.true_law} if self.true_law else {})

    def brief(self):
        size = f"{self.trajectories:,} trajectories of {self.frames:,} frames"
        return f"{size}, {self.n:,} particles in {self.dim} dimensions"

    def plot(self, count: int = 3):
        """Paths of ``count`` trajectories of the test split."""
        from distill.report.stages import example  # matplotlib takes a second

        return example(self.data, count)[0]


class LearntResult(DatasetResult):
    """A dataset with values of its bodies that were learnt from how they move."""

    KIND = "dataset with learnt values"

    @cached_property
    def record(self) -> LearntRecord:
        """outputs/<name>/properties.json."""
        return records.load(LearntRecord, paths.OUTPUTS / self.name / "properties.json")

    @property
    def values(self) -> dict[str, dict[str, float]]:
        """Property -> body -> its value, on a scale that ``record.gauge`` tells."""
        return {name: {one.body: one.value for one in told} for name, told in self.record.values.items()}

    @property
    def half_widths(self) -> dict[str, dict[str, float | None]]:
        """Property -> body -> half of the 95 % interval; None where the data say nothing."""
        return {name: {one.body: one.half_width for one in told} for name, told in self.record.values.items()}

    def facts(self):
        out = {name: self._told(name) for name in self.record.values}
        return out | {"Which means": ". ".join(self.record.says), "Scale": self.record.gauge} | super().facts()

    def _told(self, name: str) -> str:
        some = self.record.values[name]
        width = (f" ± {one.half_width:.2g}" if one.half_width is not None else "" for one in some[:12])
        told = [f"{one.body} {one.value:.5g}{half}" for one, half in zip(some[:12], width, strict=True)]
        return ", ".join(told) + (f" and {len(some) - 12} more" if len(some) > 12 else "")

    def brief(self):
        return "; ".join(f"{name} of {len(values)} bodies" for name, values in self.values.items())

    def plot(self):
        """The values with their intervals, and the force that they multiply."""
        from distill.report import plots  # matplotlib takes a second

        return plots.learnt(self.record.values, self.record.distance, self.record.curve, self.record.dataset)
