"""What ``law.json`` says of a polished law, and the finding that goes on with it."""

from dataclasses import replace

from distill.formulas.text import to_text
from distill.law.account import Finding
from distill.law.joint import known_error
from distill.physics.terms.cases import with_coefficients
from distill.shooting.pieces import observed_in
from distill.shooting.polish import CLUSTERS, MOST, Polished, polish

QUICK = 2_000  # stretches between frames
SHOWN = (
    "noise",
    "noise_before",
    "chi2",
    "excess",
    "excess_error",
    "structured",
    "freedom",
    "trajectories",
    "left_out",
    "pieces",
    "cuts",
    "stretches",
    "converged",
    "cpu_seconds",
)


def polished(found: Finding, dataset, seed: int, unit_charges: bool, quick: bool) -> tuple[Finding, dict, list[str]]:
    """(``found`` with the constants of its law polished on the ``observed`` positions of a dataset, ``kinds.Polish`` as
    JSON, what speaks against the law).
    """
    held = tuple(dataset.meta.system.held)
    made = polish(found.law, observed_in(dataset), seed, held, unit_charges, QUICK if quick else MOST)
    told = {"text": words(made), "why_not": made.why_not, "pair_before": to_text(found.law.pair), "form": made.form}
    told |= {"constants": made.constants, "node": made.node} | {k: getattr(made, k) for k in SHOWN}
    if made.why_not:
        return found, told, []
    thresholds = [c for c in found.known["constants"] if "gap" in c]
    kept = ("symbol", "value", "standard_error", "snapped_from")
    constants = [{k: c[k] for k in kept} for c in made.constants] + thresholds
    known = {"form": made.form, "constants": constants, "constants_note": note(made)}
    errors = {t["name"]: t["standard_error"] for t in made.node if known_error(t["standard_error"])}
    beside = found.beside | {"standard_errors": errors}
    law = replace(made.law, pair=with_coefficients(made.law.pair))
    return replace(found, law=law, known=known, beside=beside), told, made.doubts


def note(made: Polished) -> str:
    """How constants and their errors were found."""
    whose, tells = f"{made.trajectories} trajectories", "what the positions tell"
    if made.recordings < made.trajectories:
        whose += f" cut from {made.recordings} recording{'s' * (made.recordings > 1)}"
    if made.recordings >= CLUSTERS:
        tells = f"the larger of {tells} and of the scatter between recordings"
    else:
        tells += "; of too few recordings to see what differs between them"
    out = f"fitted to the positions of {whose}; standard errors: {tells}"
    unknown = [c["symbol"] for c in made.constants if not c["determined"]]
    rounded = [f"{c['symbol']} from {c['snapped_from']:.6g}" for c in made.constants if c["snapped_from"] is not None]
    out += f"; rounded: {', '.join(rounded)}" if rounded else "; nothing was rounded"
    return out + (f"; not determined, left as before: {', '.join(unknown)}" if unknown else "")


def words(made: Polished) -> str:
    """In a sentence."""
    if made.why_not:
        return f"constants were not fitted to the positions themselves: {made.why_not}"
    whose = f"{made.trajectories} trajectories"
    whose += f" ({made.left_out} more could not be followed)" if made.left_out else ""
    left = "nothing but noise is left" if not made.structured else "more than noise is left"
    text = f"constants fitted to the positions of {whose}; {left}: chi2 {made.chi2:.3g} a degree of freedom"
    if made.excess is not None:
        text += f", {made.excess:.3g} times that of short runs"
    return text + ("" if made.converged else "; the fit had not converged")
