"""Messages against true forces, and splines without a network."""

from dataclasses import dataclass
from functools import cached_property

from distill.files import records
from distill.files.kinds import LinearFit, LookCurve, LookRecord
from distill.files.names import run_name_of
from distill.results.base import Result
from distill.shell import paths
from distill.shell.stage import name_of


class FitResult(Result):
    """How far the messages of a run are linear in the true forces."""

    KIND = "messages against forces"

    @classmethod
    def load(cls, run: str) -> "FitResult":
        """That of ``run``, or of messages made elsewhere that are called so, as it was measured before."""
        run = run_name_of(name_of(run))
        path = paths.OUTPUTS / run / "linear_fit.json"
        record = records.load(LinearFit, path)
        return cls(record.stage, run, path, record.seconds)

    @cached_property
    def record(self) -> LinearFit:
        """outputs/<run>/linear_fit.json."""
        return records.load(LinearFit, self.path)

    @property
    def r2_all(self) -> float:
        """R² of the most important message components with the true pair force, over all edges."""
        return self.record.r2_all

    @property
    def r2_trim90(self) -> float:
        """The same, fitted to the best 90 % of the edges."""
        return self.record.r2_trim90

    @property
    def r2(self) -> dict[str, float]:
        """That of ``r2_all`` by what messages are compared with: force, acceleration, ..."""
        return {name: one.r2_all for name, one in self.record.targets.items()}

    @property
    def coefficients(self) -> list[list[float]]:
        """Of the best linear fit to the true pair force: a row for each component, its last number the intercept."""
        return self.record.targets["force"].coefficients

    @property
    def read_out_r2_all(self) -> float:
        """R² of the force that is read from all components without any true pair force."""
        return self.record.read_out.r2_all

    @property
    def splines_r2_all(self) -> float | None:
        """R² of the force that splines have without a network; None where a former version measured."""
        return self.record.splines and self.record.splines.r2_all

    @property
    def quick(self) -> bool:
        return self.record.quick

    def facts(self):
        from distill.report.words import r2_text  # PyTorch takes seconds

        out = {f"R² with the true {k.replace('_', ' ')}": r2_text(v) for k, v in self.r2.items()}
        out["R² of the read-out"] = f"{r2_text(self.read_out_r2_all)} (all components, by net forces alone)"
        if self.record.splines:
            out["R² of splines"] = f"{r2_text(self.splines_r2_all)} (no network)"
        return out | {"Edges": f"{self.record.n_edges:,} of the {self.record.split} split"}

    def brief(self):
        from distill.report.words import r2_text  # PyTorch takes seconds

        return f"R² {r2_text(self.r2_all)} (all), {r2_text(self.r2_trim90)} (best 90 %)"

    @cached_property
    def drawn(self) -> dict:
        """What ``plot`` draws, measured again: ``message``, ``fitted`` [edge, dim], and the ``forces`` by read-out and
        splines against the true ones.
        """
        from distill.law import message_scores as own  # scipy and SymPy take a second

        asked = self.record.arguments
        which = {name: asked[name] for name in ("split", "messages")}
        files = own.files_of(self.record.run, **which)
        loaded = own.load(self.record.run, files, which["messages"])
        return own.scores(self.record.run, loaded, **which, **{k: asked[k] for k in ("cutoff", "seed")})[1]

    def plot(self):
        """Message components against their best combinations of true forces, and forces read without these."""
        from distill.report import plots  # matplotlib takes a second

        return plots.linear_fit(**self.drawn)


@dataclass(frozen=True, repr=False, eq=False)
class LookResult(Result):
    """A first look at a dataset: splines of the pair force, without a network or a search; ``lines`` say what they
    found. It is made again each time that it is asked for.
    """

    figure: object = None

    KIND = "first look"

    @cached_property
    def record(self) -> LookRecord:
        """outputs/<dataset>__splines/look.json."""
        return records.load(LookRecord, self.path.with_suffix(".json"))

    @property
    def left(self) -> float:
        """Mean |a - a_splines| / (c + |a_splines|) on trajectories left out, c the typical |a|."""
        return self.record.left

    @property
    def finds_force(self) -> bool:
        """Whether the splines predict better than no acceleration at all."""
        return self.record.finds_force

    @property
    def curves(self) -> list[LookCurve]:
        """The pair force is the sum of ``function`` times ``force`` at the distances ``r``."""
        return self.record.curves

    @property
    def assumptions(self) -> dict[str, bool]:
        """Of recipes and laws: whether the data allow them."""
        return {name: bool(told["holds"]) for name, told in self.record.assumptions.items()}

    @property
    def quick(self) -> bool:
        return self.record.quick

    def facts(self):
        said: dict[str, list[str]] = {}
        for line in self.lines:
            label, _, text = line.partition(" ")
            said.setdefault(label or list(said)[-1], []).append(text.strip())
        return {label.capitalize(): "; ".join(texts) for label, texts in said.items()}

    def brief(self):
        curves = ", ".join(one.function for one in self.curves)
        return f"curves of r times {curves}, {100 * self.left:.2g} % of the accelerations left"

    def plot(self):
        """The curves, accelerations by splines against those seen, and what is left."""
        return self.figure
