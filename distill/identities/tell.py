"""What was learnt of bodies, in words and lines of a terminal."""

from collections.abc import Mapping, Sequence

import numpy as np

from distill.identities.bilinear import BOTH, RESPONSE, SAME, SOURCE
from distill.identities.learn import Learnt

MOST_LINES = 30
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
    if found.alike is not None:
        out.append(
            f"where bodies may answer differently, their answers differ by {100 * found.alike:.2g} % (noise included)"
        )
    errors = sorted(found.roles.items(), key=lambda item: item[1])
    out.append("relative errors: " + ", ".join(f"{name} {error:.2g}" for name, error in errors))
    if found.kinds is not None:
        count = int(found.kinds.number.max()) + 1
        out.append(
            f"{count} kind{'s' * (count > 1)} of bodies foretell what is left out as well as a value of each body's own"
        )
    out.append(f"scale: {found.gauge}")
    return out


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
