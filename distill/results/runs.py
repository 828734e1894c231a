"""A trained network, from which all results of its run can be reached."""

from functools import cached_property
from pathlib import Path

from distill.files import records
from distill.files.kinds import RunConfig, Skill
from distill.files.names import run_dir, run_name_of
from distill.report.material import history
from distill.report.words import shown, skill_words, stopped_words
from distill.results.base import Result
from distill.results.comparisons import ComparisonResult
from distill.results.datasets import DatasetResult
from distill.results.fits import FitResult
from distill.results.laws import LawResult
from distill.results.messages import MessagesResult
from distill.shell.stage import name_of


class RunResult(Result):
    """A run: a network trained on a dataset, and what was made of it since."""

    KIND = "run"

    @classmethod
    def load(cls, run: str) -> "RunResult":
        """The run of that name in model_weights/; ``UserError`` that names the near miss where there is none."""
        run = run_name_of(name_of(run))
        folder = run_dir(run)
        config = records.load(RunConfig, folder / "config.json")
        return cls(config.stage, run, folder, config.seconds)

    @cached_property
    def config(self) -> RunConfig:
        """model_weights/<run>/config.json: the network and how it was trained."""
        return records.load(RunConfig, self.path / "config.json")

    @property
    def variant(self) -> str:
        """Head and penalty of the messages."""
        return self.config.variant

    @property
    def recipe(self) -> str:
        return self.config.recipe

    @property
    def skill(self) -> Skill | None:
        """Relative errors of accelerations of the validation split: by the network, by predicting zero, or the mean."""
        return self.config.skill

    @property
    def error(self) -> float | None:
        """The network's."""
        return self.skill and self.skill.network

    @property
    def validation_mae(self) -> float:
        """Mean absolute error of an acceleration component on the validation split."""
        return self.config.validation_mae

    @property
    def steps(self) -> int:
        """Of the optimiser."""
        return self.config.steps

    @property
    def active(self) -> int:
        """Message components left at the end."""
        return self.config.active

    @property
    def history(self) -> dict[str, list[float]]:
        """``epoch``, ``train_loss``, ``validation_loss`` and ``validation_mae``."""
        return history(self.name)

    # ---------------------------------------------------------------- what was made of it

    @property
    def dataset(self) -> DatasetResult:
        """That it was trained on, as it lies there now."""
        return DatasetResult.load(self.config.dataset_path)

    def messages(self, split: str = "test") -> MessagesResult:
        """As ``distill.load_messages``; likewise the following. ``UserError`` where a stage was not run yet."""
        return MessagesResult.load(self.name, split)

    @property
    def fit(self) -> FitResult:
        return FitResult.load(self.name)

    @property
    def law(self) -> LawResult:
        return LawResult.load(self.name)

    @property
    def comparison(self) -> ComparisonResult:
        return ComparisonResult.load(self.name)

    @property
    def report(self) -> Path:
        """The page that tells of all that was made, written again where it is older than that."""
        from distill.report.document import report_of  # matplotlib takes a second

        return report_of(self.name)

    # ---------------------------------------------------------------- shown

    @property
    def quick(self) -> bool:
        return self.config.quick

    def facts(self):
        from distill.report.stages import priors_of  # matplotlib takes a second

        c, known = self.config, priors_of(self.config)
        out = {"Network": f"variant {c.variant}, recipe {c.recipe}, width {c.options['hidden']}, seed {c.seed}"}
        out |= {"Accelerations": skill_words(self.skill)} if self.skill else {}
        out["Validation MAE"] = f"{shown(c.validation_mae)} of a component, n {c.validation_graphs:,} frames"
        out["Messages"] = f"{c.model['message_dim']} components, {c.active} active"
        out["What is assumed"] = ", ".join(known) or "nothing beyond the paper's architecture"
        out["Training"] = f"{c.steps:,} steps on {c.train_graphs:,} frames, {shown(c.seconds)} s on {c.device}"
        return out | ({"Patience": stopped_words(c.stopped)} if c.stopped else {})

    def brief(self):
        against = "" if self.skill is None else f"error {self.error:.4g} (of zero {self.skill.zero:.4g}), "
        return f"{against}{self.active} active components, {self.steps:,} steps"

    def plot(self):
        """Losses and validation error against epochs."""
        from distill.report import plots  # matplotlib takes a second

        return plots.training_curve(self.history, self.name)
