"""What an exported law says of itself: the law, its units, how it was found and how far it can be trusted."""

import textwrap

from distill.files.kinds import LawRecord
from distill.files.properties import categories, level_of
from distill.physics.law import law_of
from distill.report.words import pair_full, shown, trust_words, verdict_word

WIDTH, LABEL = 118, 11


def about(record: LawRecord, units: dict[str, str], usage: str) -> str:
    """A page of text; ``units``: quantity -> unit of the data, {} where they are not known or dimensionless."""
    error, law = record.acceleration_error, law_of(record)
    said = [f"The law of {record.run}, written by symbolic_reg.py.", ""]
    said += _told("law", law.equation()["text"] if law.response is None else record.node.text, *_pairs(record))
    for category, names in categories(law.properties).items():
        levels = [level_of(name) for name in names]
        said += _told(category, ", ".join(f"{k} {level}" for k, level in enumerate(levels)) + ", or these names")
    numbers = [f"{c.symbol} = {c.value!r}" + _error(c.standard_error) for c in record.constants]
    said += _told("constants", f"{record.form}: {', '.join(numbers)}" if numbers else "none that were fitted")
    own = ", ".join(f"{quantity} {unit}" for quantity, unit in units.items())
    said += _told("units", own or "those of the data that it was found in, which name none")
    commit = f", commit {record.git.commit[:10]}" if record.git.commit else ""
    said += _told("found", f"in {record.source}, by the engine {record.engine}{commit}", record.refinement.why)
    other = ("network", error.gnn) if error.splines is None else ("splines", error.splines)
    held = f"of accelerations left out: law {shown(error.law)}, {other[0]} {shown(other[1])}, n {shown(error.n)}"
    said += _told("error", held + (f" ({error.what})" if error.what else ""))
    judged = record.verdict.recovered is not None
    said += _told("verdict", f"{verdict_word(record.verdict)}: {record.verdict.why}" if judged else trust_words(record))
    said = "\n".join([*said, "", *usage.strip("\n").splitlines()])
    return said.replace("×10", "e").translate(PLAIN)


# 4.3×10⁻⁷ as 4.3e-7: programs of others may not know these letters
PLAIN = str.maketrans({raised: sign for sign, raised in zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True)} | {"’": "'"})


def _pairs(record: LawRecord) -> list[str]:
    further = [f"and {one.convention.partition('= ')[2]}, {name}: {one.text}" for name, one in record.pairs.items()]
    told = f"f = {record.pair.text}"
    if record.pair.cases:
        told = f"{pair_full(record.pair)}, receiver first"
    return [f"{record.pair.convention}, {told}", *further, _reach(record)]


def _reach(record: LawRecord) -> str:
    if record.cutoff is not None:
        return f"pairs up to r = {record.cutoff!r}"
    return "neighbours in the order of the particles only" if record.chain else "all pairs"


def _error(value: float | None) -> str:
    return "" if value is None else f" +- {value:.2g}"


def _told(label: str, *lines: str) -> list[str]:
    out = []
    for line in lines:
        out += textwrap.wrap(line, WIDTH - LABEL, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label if k == 0 else '':<{LABEL}}{one}" for k, one in enumerate(out)]
