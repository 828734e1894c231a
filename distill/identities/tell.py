"""What was learnt of bodies, in words and lines of a terminal."""

from collections.abc import Mapping, Sequence

import numpy as np

from distill.identities.bilinear import BOTH, RESPONSE, SAME, SOURCE, Scaling
from distill.identities.learn import EQUIVALENCE, THIRD_LAW, Learnt

MOST_LINES = 30
AS_PAIRS = "in proportion to the values of both bodies, as the radial force"
ACCELERATIONS = {  # how bodies differ in what acts beside, where masses are learnt,
    Scaling(): "the same acceleration for all bodies",
    Scaling(1, 0): "in proportion to how a body answers",
    Scaling(1, -1): "the same force on all bodies, if action is reaction",
    Scaling(0, -1): "the same force on all bodies",
}
FORCES = {  # and where they are known, so that forces are what is fitted
    Scaling(): "the same force on all bodies",
    Scaling(1, 0): "a force in proportion to how a body answers",
    Scaling(1, -1): "a force in proportion to how a body answers over how it acts",
    Scaling(0, -1): "a force in inverse proportion to how a body acts",
}
DOUBTED, NEGLIGIBLE = 2.0, 2e-3  # times what errors make of a spread; a spread that curves may make
UNSEEN = 1e-5  # share of a term that only stood for what coarser curves could not say
TESTED = {
    EQUIVALENCE: "where bodies may answer differently, their answers differ",
    THIRD_LAW: "how bodies answer over how they act differs",
}
LEFT = 0.03  # of accelerations, beyond what noise makes of them, that says that something else acts
OF_ITS_OWN = "with a strength of every body's own"
BETWEEN = {
    BOTH: ": the values of one of them are in no scale of another's, and only those of one group are told",
    SAME: ": whether the signs of one are those of another nobody can say",
}
WORDS = {
    SOURCE: "a body's value is how strongly it acts on others; its own accelerations do not depend on it",
    RESPONSE: "a body's value is how strongly it answers; it does not matter for what it does to others",
    SAME: "a body acts and answers by one and the same value",
    BOTH: "a body has two values: how strongly it acts on others, and how strongly it answers",
}


def says(found: Learnt, unknown: str) -> list[str]:
    """Sentences on the part that the values play, the tests of it, and kinds of bodies."""
    out = [WORDS[found.role]]
    if unknown == "mass":
        out.append(
            {
                SOURCE: "the values are masses as gravity knows them: what pulls is in proportion to what resists",
                RESPONSE: "the values are inertial masses: the forces themselves do not know them",
                SAME: "with equal masses the values are charges; masses and charges cannot be told apart here",
                BOTH: "where action is reaction, the inertial mass is how it acts over how it answers",
            }[found.role]
        )
    for name, (spread, error) in found.tests.items():
        held = "holds" if spread <= DOUBTED * error or spread < NEGLIGIBLE else "is broken"
        out.append(f"{name} {held}: {TESTED[name]} by {100 * spread:.2g} %, of which errors make {100 * error:.2g} %")
    for one in told_beside(found, unknown):
        whole = "acceleration" if unknown == "mass" else "force"
        part = f"{one['name']}: {100 * one['share']:.2g} % of the typical {whole}, {one['scaling']}"
        at = f", from {', '.join(f'{c:.4g}' for c in one['centre'])} beside the sender" if one["centre"] else ""
        out.append(f"beside the pair force acts {part}{at}")
    if (left := np.sqrt(max(found.error**2 - found.expected**2, 0.0))) > max(LEFT, found.expected):
        out.append(
            f"NOT EXPLAINED: {100 * left:.2g} % of the accelerations left out, of which noise makes"
            f" {100 * found.expected:.2g} %: forces are not of a kind that is asked for here, and no interval holds"
            " what that makes of the values"
        )
    if found.untried:
        out.append(f"not asked for, as bodies meet too many others: {'; '.join(found.untried)}")
    if found.kept is not None:
        out.append(f"the given values are held; what the motion alone says is up to {100 * found.kept:.2g} % off them")
    if found.law is not None:
        one = found.law
        errors = f"(error {one.error:.2g} of what was left out, of the splines {one.error_of_splines:.2g})"
        out.append(
            f"values are those that go with the law {one.equation} {errors}"
            if one.taken
            else f"values are those of splines, which foretell better than the law {one.equation} {errors}"
        )
    if found.groups is not None:
        count = int(found.groups.max()) + 1
        out.append(f"{count} groups of bodies never meet those of another" + BETWEEN.get(found.role, ""))
    errors = sorted(found.roles.items(), key=lambda item: item[1])
    out.append("relative errors: " + ", ".join(f"{name} {error:.2g}" for name, error in errors))
    if found.kinds is not None:
        count = int(found.kinds.number.max()) + 1
        out.append(
            f"{count} kind{'s' * (count > 1)} of bodies foretell what is left out as well as a value of each body's own"
        )
    out.append(f"scale: {found.gauge}")
    return out


def acting_beside(found: Learnt) -> list[dict]:
    """JSON-ready: the fields of ``BesideRecord`` of what acts beside the radial force."""
    blocks = zip((*found.basis.pair, *found.basis.node), found.shares, strict=True)
    return [
        {"term": block.term, "over": block.over, "centre": list(getattr(block, "centre", ())) or None}
        for block, share in blocks
        if share > UNSEEN
    ]


def told_beside(found: Learnt, unknown: str) -> list[dict]:
    """JSON-ready: the fields of ``LearntTerm`` of what acts beside the radial force."""
    blocks = (*found.basis.pair, *found.basis.node)
    alike = ACCELERATIONS if unknown == "mass" else FORCES
    how = [AS_PAIRS] * len(found.basis.pair) + [alike.get(s, OF_ITS_OWN) for s in found.scalings]
    return [
        {"name": block.name, "scaling": words, "share": share, "centre": list(getattr(block, "centre", ())) or None}
        for block, words, share in zip(blocks, how, found.shares, strict=True)
        if share > UNSEEN
    ]


def value_lines(found: Learnt, names: Sequence[str], truth: Mapping) -> list[str]:
    """A line a body: value, half-width of its 95 % interval, kind, and what was known, in the same scale."""
    lines = []
    for key, told in found.told.items():
        lines.append(f"{key}, with 95 % intervals:")
        had = truth.get(key)
        for k, name in enumerate(names[:MOST_LINES]):
            text = f"  {name:12s} {interval(told.values[k], told.half[k])}"
            if found.kinds is not None:
                text += f"  kind {found.kinds.number[k] + 1}"
            lines.append(text + ("" if had is None else f"  (in the dataset: {had[k]:.6g})"))
        if len(names) > MOST_LINES:
            lines.append(f"  and {len(names) - MOST_LINES} more")
    return lines


def interval(value: float, half: float) -> str:
    """A value with no more digits than it has, or that it is not determined and how large it may be."""
    if half == 0:
        return f"{value:.8g} (given)"
    if not np.isfinite(half):
        return "not determined: the data say nothing of it"
    if abs(value) <= half:
        return f"not determined: between {value - half:.2g} and {value + half:.2g}"
    digits = int(np.clip(np.ceil(np.log10(abs(value) / half)) + 1, 2, 12))
    return f"{value:.{digits}g} +- {half:.2g}"
