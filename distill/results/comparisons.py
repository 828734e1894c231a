"""A law against the network that it is from."""

from functools import cached_property
from pathlib import Path

from distill.files import records
from distill.files.kinds import Generalization, Rollouts, SetErrors, Skipped
from distill.files.names import run_dir, run_name_of
from distill.generalization.extrapolation import INTERPOLATION
from distill.report import words
from distill.report.material import Material, gather
from distill.results.base import Result
from distill.shell import paths
from distill.shell.stage import name_of


class ComparisonResult(Result):
    """Law and network on data like those of the training and unlike them, set by set, and rollouts."""

    KIND = "law against network"

    @classmethod
    def load(cls, run: str) -> "ComparisonResult":
        """That of ``run`` as it was measured before."""
        run = run_name_of(name_of(run))
        run_dir(run)  # tells of a name that is nearly right
        record = records.load(Generalization, paths.OUTPUTS / run / "generalization.json")
        return cls(record.stage, run, paths.OUTPUTS / run / "report.html", record.seconds)

    @cached_property
    def record(self) -> Generalization:
        """outputs/<run>/generalization.json."""
        return records.load(Generalization, self.path.with_name("generalization.json"))

    @cached_property
    def material(self) -> Material:
        """Everything that the stages of the run have written."""
        return gather(self.name)

    @property
    def sets(self) -> dict[str, SetErrors]:
        """Errors of network (``gnn``) and ``law`` on every set of data, by its name."""
        return self.record.sets

    @property
    def rollouts(self) -> Rollouts | Skipped | dict:
        return self.record.rollouts

    @property
    def mae_law(self) -> float | None:
        """Mean absolute error of an acceleration component by the law, on new data like those of the training."""
        return self.sets[INTERPOLATION].law.mae

    @property
    def mae_gnn(self) -> float | None:
        """The same by the network."""
        return self.sets[INTERPOLATION].gnn.mae

    @property
    def summary(self) -> list[str]:
        """What the script prints at its end, a line each."""
        m = self.material
        return words.summary(m.law, self.record, m.linear_fit, m.config.skill)

    @property
    def report(self) -> Path:
        """The page of the run, written again where it is older than what it tells."""
        from distill.report.document import report_of  # matplotlib takes a second

        return report_of(self.name)

    @property
    def quick(self) -> bool:
        return self.record.quick

    def facts(self):
        answer = {"Answer": words.answer(self.material.law, self.record)} if self.material.law else {}
        return answer | {name.replace("_", " ").capitalize(): self._set(one) for name, one in self.sets.items()}

    @staticmethod
    def _set(one: SetErrors) -> str:
        both = f"error of the law {words.shown(one.law.mae)}, of the network {words.shown(one.gnn.mae)}"
        return f"{both}: the law's is {words.ratio_words(one)}; n {one.law.n:,}"

    def brief(self):
        both = f"MAE of the law {words.shown(self.mae_law)}, of the network {words.shown(self.mae_gnn)}"
        return f"{both} on data like those of the training; {len(self.sets)} sets"

    def plot(self):
        """Errors of every set, and rollouts where there are any."""
        from distill.report import plots  # matplotlib takes a second

        return plots.generalization(self.sets, self.rollouts, self.name, self.record.force_unit)
