"""What was measured on tables of positions and in foreign units, for docs/own_data.md: each part from its result file,
and nothing before that has been measured.
"""

import page_stamps
from evidence_parts import made

from distill.report.markdown import markdown

CONDITIONS = {
    "1%_every1": "1 % noise",
    "1%_gaps": "1 % noise, 10 % of the rows missing, uneven times",
    "10%_every1": "10 % noise",
    "0.1%_every1": "0.1 % noise",
    "50%_every1": "50 % noise",
    "1%_3d": "1 % noise, three dimensions",
    "1%_film": "1 % noise, one trajectory of 5,000 frames",
}


def tracks(stored: dict) -> str:
    """The table of recovered laws and of errors of accelerations."""
    found = stored["sections"]["tracks"]
    lines = []
    for name, label in CONDITIONS.items():
        told = found["counts"].get(name)
        if told:
            lines.append(_line(label, told))
    head = [
        "positions alone",
        "splines: before the refit, after",
        "messages: before, after",
        "either, asked for",
        "accelerations: splines, network",
        "of the law",
    ]
    what = (
        "Four systems (spring, r1, r2, charge), four particles, 200 trajectories of 100 frames as a CSV; noise in units"
        " of the median step between frames. A law is recovered if it has the true form, nothing beside it, and every"
        " constant that the data reach within 1 % (2 % at 10 % noise and more). Accelerations are compared on clean"
        " frames of other trajectories: median of |error|/|a|, the largest of the data sets."
    )
    about = f"`python benchmarks/tracks.py`. {_made(found)}"
    figure = (
        "![Recovered against noise and frame spacing, for four systems; errors of accelerations against noise]"
        "(tracks.png)"
    )
    return "\n\n".join([what, markdown(head, lines), about, figure])


def _line(label: str, told: dict) -> list[str]:
    ways = []
    for way in ("splines", "messages"):
        one = told.get(way)
        shown = f"{one['before_refit']['recovered']}, **{one['recovered']}** of {one['n']}" if one else "–"
        ways.append(shown)
    either, bar = told["either"], told["bar"]
    low, high = either["interval"]
    asked = f"; at least {bar} of 12" if bar else ""
    errors = [_largest(told, way, "fit_error") for way in ("splines", "messages")]
    laws = [_largest(told, way, "law_error") for way in ("splines", "messages") if way in told]
    return [
        label,
        *ways,
        f"**{either['recovered']}** of {either['n']} ({100 * low:.0f} to {100 * high:.0f} %){asked}",
        ", ".join(errors),
        ", ".join(laws),
    ]


def _largest(told: dict, way: str, key: str) -> str:
    spread = (told.get(way) or {}).get(key)
    return f"{100 * spread['largest']:.2g} %" if spread else "–"


def _made(found: dict) -> str:
    """Seeds, machine, dates and commits of the rows, which may come of several calls."""
    ways = [row[way] for row in found["rows"] for way in ("splines", "messages") if row.get(way)]
    seeds = {row["seed"] for row in found["rows"]}
    return page_stamps.made(ways, "tracks", seeds)


def units(stored: dict) -> str:
    """Whether units and origin change what is found."""
    lines, sections = [], stored["sections"]
    for name, label in (("splines", "law found without a network"), ("networks", "network")):
        one = sections.get(name, {}).get("summary")
        if not one:
            continue
        if "n_laws" in one:
            lines.append(
                [
                    label,
                    f"the same law turned back: {one['recovered']} of {one['n_laws']}",
                    f"{one['recovered_as_they_are']} of {one['datasets']} as they are",
                ]
            )
        if "n_networks" in one:
            low, high = one["smallest_ratio"], one["largest_ratio"]
            told = f"error within 10 % of that in the unit of the data: {one['within']} of {one['n_networks']}"
            lines.append([label, told, f"ratios {low:.5f} to {high:.5f}"])
    what = (
        "Length, time, mass and charge each in a unit of its own, drawn from 10^-12 to 10^12, and the origin 10^6"
        " typical distances away in a random direction:"
    )
    about = [f"`python benchmarks/units.py {k}`. {made(s['provenance'], 'units')}" for k, s in sections.items()]
    return "\n\n".join([what, markdown(["", "in other units", ""], lines), *about])


def coverage(stored: dict) -> str:
    """How often intervals of constants hold the truth."""
    parts = []
    for found in stored["sections"].values():
        lines = []
        for name, one in found["counts"].items():
            low, high = one["interval"]
            share = f"{100 * one['covered']:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
            lines.append([name, share, str(one["constants"]), str(one["cases"]), f"{one['rms_z']:.2f}"])
        head = [
            "cases",
            "in the nominal 95 % interval",
            "constants",
            "data sets",
            "root mean square of error / its standard error",
        ]
        parts += [markdown(head, lines), f"`python benchmarks/coverage.py`. {made(found, 'coverage')}"]
    what = (
        "Constants polished on the trajectories come with standard errors. Planted cases of the four systems, noise of"
        " .1 to 10 % of a step, every other one with a tenth of its positions missing; the constants of a case are one"
        " cluster."
    )
    return "\n\n".join([what, *parts])


OUTSIDE = {
    "three_body": "three-body forces",
    "hidden": "a moving source that was not recorded",
    "retarded": "retardation",
    "identities": "wrong particle identities",
    "noise": "pure noise",
    "fish": "real fish",
    "outside": "**all of these**",
    "springs": "springs",
    "gravity": "gravity",
    "charges": "charges",
    "gravity_with_drag": "gravity with drag",
    "charges_in_a_trap": "charges in a trap",
    "inside": "**all of these**",
}


def outside(stored: dict) -> str:
    """How many laws are trusted of systems that no term can say, and of others."""
    found, lines = stored["sections"]["outside"], []
    for name, label in OUTSIDE.items():
        if told := found["counts"].get(name):
            ways = [told.get(way) for way in ("accelerations", "positions")]
            lines.append([label, *(f"{w['trusted']} of {w['n']}" if w else "\u2013" for w in ways)])
    what = (
        "Laws trusted by the data alone: of systems that no term can say, each with a pair force of comparable size"
        " beside (none should be), and of systems that terms can say (all should be). Four or five particles in two"
        " dimensions, 200 trajectories of 50 frames; positions with noise of 1 % of a step."
    )
    about = f"`python benchmarks/outside.py`. {of_rows(found['rows'], 'outside')}"
    return "\n\n".join([what, markdown(["", "trusted, of exact accelerations", "of positions"], lines), about])


def of_rows(rows: list[dict], name: str) -> str:
    """Where and when the cells of a file were measured, each by itself."""
    return page_stamps.made((r for r in rows if "git" in r), name, {row["seed"] for row in rows} - {None})


DATA = {"clean": "exact accelerations", "noisy": "positions"}


def terms(stored: dict) -> str:
    """How many laws of many terms are found, kind by kind, and how many lines on assumptions are right."""
    found = stored["sections"]["terms"]
    rows, counts = found["rows"], found["counts"]
    lines = []
    for system in dict.fromkeys(r["system"] for r in rows):
        cells = [[r for r in rows if (r["system"], r["data"]) == (system, data)] for data in DATA]
        lines.append([system.replace("_", " "), *(_share(some) for some in cells), *(_worst(some) for some in cells)])
    for name in ("ten kinds", "others", "assumptions that hold", "assumptions that do not"):
        told = [counts.get(data, {}).get(name) for data in DATA]
        shares = [f"{t.get('recovered', t.get('right'))} of {t['n']}" if t else "\u2013" for t in told]
        lines.append([f"**{name}**", *shares, "", ""])
    what = (
        "Whole laws found without a network, a pair force in each, and the lines of `look.py` on assumptions: four"
        " particles in two dimensions, 200 trajectories of 100 frames; positions with noise of 1 % of a step. A law is"
        " recovered if it has every true term and no false one, the true forms, and every constant within 2 %; what"
        " acts on single particles has to make the true force within 2 % on the states seen and half as far out again."
    )
    head = [
        "",
        *(f"recovered, of {data}" for data in DATA.values()),
        *(f"largest error, of {d}" for d in DATA.values()),
    ]
    about = f"`python benchmarks/terms.py`. {of_rows(rows, 'terms')}"
    return "\n\n".join([what, markdown(head, lines), about])


def _share(rows: list[dict]) -> str:
    return f"{sum(bool(r.get('recovered')) for r in rows)} of {len(rows)}" if rows else "\u2013"


def _worst(rows: list[dict]) -> str:
    """The largest error of a constant or a force in laws that were recovered."""
    off = [r["off"] for r in rows if r.get("recovered") and r.get("off") is not None]
    return f"{100 * max(off):.2g} %" if off else "\u2013"
