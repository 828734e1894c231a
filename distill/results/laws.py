"""A law: formulas, forces, verdict, and programs of others that it is written for."""

from functools import cached_property
from pathlib import Path

import numpy as np
import sympy as sp

from distill.export import programs
from distill.export.numpy_module import properties_used
from distill.export.registry import PROGRAMS
from distill.files import records
from distill.files.arrays import indicators
from distill.files.kinds import Constant, LawRecord, PairLaw, Verdict
from distill.files.names import run_name_of, splines_name
from distill.files.properties import categories, level_of
from distill.physics.law import Law, law_of
from distill.physics.terms.state import TIME
from distill.physics.terms.values import names_in
from distill.report import words
from distill.results.base import Result
from distill.shell import paths
from distill.shell.errors import UserError, near_miss
from distill.shell.processes import alone_making
from distill.shell.stage import name_of


class LawResult(Result):
    """The law that was found for a run, for a dataset without a network, or for messages made elsewhere."""

    KIND = "law"

    @classmethod
    def load(cls, run: str | None = None, *, dataset: str | None = None) -> "LawResult":
        """That of ``run``, or of messages made elsewhere that are called so; or that of a ``dataset`` without a
        network.
        """
        if (run is None) == (dataset is None):
            raise UserError("a law is that of a run or of a dataset", "give one of them")
        run = run_name_of(name_of(run)) if dataset is None else splines_name(Path(name_of(dataset)).stem)
        path = paths.OUTPUTS / run / "law.json"
        record = records.load(LawRecord, path, None if dataset is None else f"run search_law(dataset={dataset!r})")
        return cls(record.stage, run, path, record.seconds)

    @cached_property
    def record(self) -> LawRecord:
        """outputs/<run>/law.json: everything that is known of the law."""
        return records.load(LawRecord, self.path)

    @cached_property
    def law(self) -> Law:
        """The law as the project computes with it (``distill.physics.law``)."""
        return law_of(self.record)

    # ---------------------------------------------------------------- formulas

    @property
    def text(self) -> str:
        """The radial pair force f, positive where it repels: F_i = f (x_i - x_j)/r."""
        return self.record.pair.text

    @property
    def latex(self) -> str:
        """The same in LaTeX."""
        return self.record.pair.latex

    @property
    def equation(self) -> str:
        """The whole law with all its terms, as text."""
        return self.law.equation()["text"]

    @property
    def equation_latex(self) -> str:
        return self.law.equation()["latex"]

    @property
    def sympy(self) -> sp.Expr:
        """f in SymPy's symbols r, m_i, m_j, ... without assumptions, as ``sympy.Symbol`` makes them."""
        f = self.law.pair
        return f.xreplace({symbol: sp.Symbol(symbol.name) for symbol in f.free_symbols})

    @property
    def constants(self) -> list[Constant]:
        """Symbol, value and standard error of every constant of f that was fitted; ``record.form`` is f with them."""
        return self.record.constants

    # ---------------------------------------------------------------- numbers

    def force(self, r, **properties) -> np.ndarray:
        """f at distances ``r``, in the unit of the data, of the shape of all together: arrays or numbers.

        ``properties``: those that f depends on by their names in formulas, ``m_i`` and ``m_j``, ``q_i``, ..., and the
        time ``t`` where it does. ``UserError`` for one that is missing, or that no law of these data has.
        """
        known, used = {*self.law.variables, TIME} - {"r"}, set(names_in(self.law.pair)) - {"r"}
        if unknown := sorted(set(properties) - known):
            found = f"no law of these data depends on '{unknown[0]}'{near_miss(unknown[0], sorted(known))}"
            raise UserError(found, f"f depends on {', '.join(sorted(used | {'r'}))}")
        if missing := sorted(used - set(properties)):
            found = f"f = {self.text} depends on {', '.join(missing)}"
            raise UserError(found, f"give {'it' if len(missing) == 1 else 'them'}:  force(r, {missing[0]}=...)")
        given = {name: np.asarray(value, float) for name, value in properties.items()}
        r, *rest = np.broadcast_arrays(np.asarray(r, float), *given.values())
        return self.law.radial(r, **dict(zip(given, rest, strict=True)))

    def acceleration(self, pos, vel=None, t=0.0, *, box=None, **properties) -> np.ndarray:
        """Accelerations [..., particle, dim] of particles at ``pos`` with velocities ``vel``, of that shape (None: at
        rest), at the time ``t``, in a periodic ``box`` [dim] where the law has a cutoff.

        ``properties``: ``mass``, and those that the law depends on by name, [..., particle] or a number; of a category
        the names or numbers of its levels. ``UserError`` for one that is missing.
        """
        pos = np.asarray(pos, float)
        own = self._with_levels(properties)
        if missing := [name for name in properties_used(self.law) if name not in own]:
            raise UserError(f"the law depends on {', '.join(missing)}", f"give it:  {missing[0]}=...")
        vel = np.zeros_like(pos) if vel is None else vel
        return self.law.acceleration(pos, vel, own, box, t)

    def _with_levels(self, properties: dict) -> dict:
        """``properties`` with indicators in place of categories."""
        out = dict(properties)
        for category, names in categories(self.law.properties).items():
            if category in out:
                levels, given = [level_of(name) for name in names], np.asarray(out.pop(category))
                if given.dtype.kind == "U":
                    if strange := sorted(set(given.ravel().tolist()) - set(levels)):
                        raise UserError(f"there is no {category} '{strange[0]}'", f"known: {', '.join(levels)}")
                    given = np.searchsorted(levels, given)  # levels are in the order of the alphabet
                out |= indicators(category, levels, given)
        return out

    # ---------------------------------------------------------------- how good it is

    @property
    def recovered(self) -> bool | None:
        """Whether it is the true law; None where that is not known."""
        return self.record.verdict.recovered

    @property
    def trusted(self) -> bool:
        """Whether the data alone, without the truth, speak for it."""
        return self.record.data_verdict.trusted

    @property
    def verdict(self) -> str:
        """How it stands to the true law, or where that is not known to the data, in a sentence."""
        judged = self.record.verdict
        if judged.recovered is None:
            return words.sentence(words.trust_words(self.record))
        return f"{words.sentence(words.verdict_word(judged))}: {judged.why}"

    @property
    def error(self) -> float | None:
        """Mean relative error of accelerations left out."""
        return self.record.acceleration_error.law

    @property
    def true_law(self) -> str | None:
        """The true pair force; None where it is not known as a formula."""
        return self.record.truth and self.record.truth.text

    @property
    def from_messages(self) -> str:
        """f before any refit on accelerations: what the messages, or the splines, say by themselves."""
        return self.record.from_messages.text

    @property
    def rivals(self) -> dict[str, str]:
        """f by other ways to a law from the same data, after the same refit."""
        return {name: rival.pair.text for name, rival in self.record.rivals.items()}

    @property
    def report(self) -> Path:
        """The page of the run, report.html, written again where it is older than what it tells."""
        from distill.report.document import report_of  # matplotlib takes a second

        return report_of(self.name)

    def export(self, *names: str) -> list[Path]:
        """Write the law for ``names`` of programs, "openmm" and "lammps", beside law.json; the paths, the first that of
        law.py, which needs NumPy alone. ``UserError`` for a program that cannot have this law.
        """
        if unknown := [name for name in names if name not in PROGRAMS]:
            raise UserError(f"no law is written for '{unknown[0]}'", f"known: {', '.join(PROGRAMS)}")
        folder = self.path.parent
        with alone_making(self.path):
            programs.brought_up(folder)
            if names:
                programs.export(folder, names, programs.data_of(self.record))
        return [folder / name for name in (programs.NUMPY, *(PROGRAMS[name] for name in names))]

    # ---------------------------------------------------------------- shown

    @property
    def quick(self) -> bool:
        return self.record.quick

    def above(self):
        from distill.report.page import formula  # matplotlib takes a second

        whole = self.equation_latex if words.further_terms(self.record) else f"f = {self.latex}"
        return f"<p>{formula(whole, 20.0, self.equation)}</p>"

    def facts(self):
        record, shown = self.record, words.shown
        out = {"Law": self.equation, "Verdict": self.verdict}
        if record.node.response:
            out["Response"] = words.response_words(record.node.response)
        out |= {"True law": words.pair_full(record.truth)} if record.truth else {}
        error = record.acceleration_error
        other = f"network {shown(error.gnn)}" if error.splines is None else f"splines {shown(error.splines)}"
        out["Error, held out"] = f"{shown(error.law)}, {other}; n {shown(error.n)}"
        whose = "messages" if error.splines is None else "splines"
        out[f"From the {whose} alone"] = self._judged(record.from_messages, record.from_messages.verdict)
        out |= {f"Rival: {one.label}": self._judged(one.pair, one.verdict) for one in record.rivals.values()}
        return out | {"Engine": record.engine}

    @staticmethod
    def _judged(pair: PairLaw, verdict: Verdict | None) -> str:
        """A law by another way, and how it stands to the true one."""
        said = words.pair_rounded(pair) if pair.cases else f"f = {words.pair_rounded(pair)}"
        if verdict is None or verdict.recovered is None:
            return said
        relation = verdict.equivalence.relation if verdict.equivalence else "different"
        near = "" if verdict.recovered or relation == "different" else f": {verdict.equivalence.text}"
        return f"{said} ({words.verdict_word(verdict)}{near})"

    def brief(self):
        known = self.recovered is not None
        word = words.verdict_word(self.record.verdict) if known else "trusted" if self.trusted else "not to be trusted"
        return f"{words.pair_words(self.record)}, {word}"

    def plot(self):
        """Loss against complexity of the formulas found, the chosen ones ringed; ``UserError`` where none were."""
        from distill.report import plots  # matplotlib takes a second

        if not self.record.targets:
            raise UserError(f"no fronts of formulas are there of the law of {self.name}")
        return plots.pareto(plots.fronts_of(self.record.targets), self.name)
