"""The parts of docs/bodies.md: ``benchmarks/solar_system.py``, ``bodies.py``, ``bodies_network.py`` and
``dusty_plasma.py``.
"""

from own_data_parts import of_rows
from page_stamps import made

from distill.report.markdown import markdown

DATA = {"exact": "exact accelerations", "positions": "positions alone", "noisy": "positions, 1 km of noise"}
PLANTED = {"clean": "exact accelerations", "noisy": "positions with noise of 1 % of a step"}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def percent(value: float) -> str:
    """A relative difference with its sign."""
    return f"{100 * value:+.2g} %"


def solar_system(stored: dict) -> str:
    """Masses by the data they were learnt from, the law with them, and how far predictions go."""
    found = stored["sections"]["de421"]
    rows, ahead = found["rows"], found["ahead"]
    bodies = [body for body in rows["exact"]["masses"] if body != "sun"]
    bodies.sort(key=lambda body: -rows["exact"]["masses"][body]["true"])
    lines = []
    for body in bodies:
        cells = []
        for data in DATA:
            one = rows[data]["masses"][body]
            relative = one["half_width"] / one["true"]
            held = "" if one["inside"] else ", outside its interval"
            sure = f"{percent(one['off'])} \u00b1 {100 * relative:.2g} %{held}"
            cells.append(sure if one["determined"] else f"not determined{held}")
        lemos = found["lemos_off_percent"].get(body)
        lines.append([body, *cells, "\u2013" if lemos is None else f"{lemos:+g} %"])
    head = ["mass against the ephemeris' own", *DATA.values(), "arXiv 2202.02306"]
    parts = [markdown(head, lines)]
    laws = [
        [
            label,
            f"`{rows[data]['law']}`",
            f"{rows[data]['exponent'][0]:.7g} to {rows[data]['exponent'][1]:.7g}",
            percent(rows[data]["G"] / found["G_true"] - 1),
            "yes" if rows[data]["trusted"] else "no",
            f"{rows[data]['seconds']:.0f} s",
        ]
        for data, label in DATA.items()
    ]
    parts.append(
        markdown(["learnt from", "law, on i from j", "exponent", "G", "trusted", "time, masses and law"], laws)
    )
    ways = list(ahead)
    least = {body: ahead["network"]["rms"][body] for body in ahead["network"]["rms"]}
    lines = []
    for body in ["sun", *bodies]:
        lines.append([body, *(f"{ahead[way]['rms'][body]:.2g}" for way in ways)])
    where = f"AU from the ephemeris, root mean square over the {found['years']} years after 2000"
    parts.append(markdown([where, *ways], lines))
    better = [body for body in bodies if all(ahead[w]["rms"][body] <= least[body] / 10 for w in ways if w != "network")]
    parts.append(
        "± is half the width of the 95 % interval, of the true mass; a mass is determined where its interval does not"
        " hold zero. All start from the ephemeris' own places and velocities of 2000. Each law's distance is at most"
        " a tenth of the network's for"
        f" {len(better)} of {len(bodies)} planets, Pluto among them. The network learnt from the exact accelerations,"
        " with the masses learnt from them"
        f" (error {100 * found['network_error']:.2g} % of accelerations left out). The figures of arXiv 2202.02306 are"
        " medians over the runs that its authors published; they learnt from other data, of other length."
    )
    more = f"{found['seconds']:.0f} s"
    parts.append(f"`{found['command_line']}`. {made([found], 'solar_system', more=more)}")
    parts.append("![Errors of the masses, and of what is foretold](solar_system.png)")
    return "\n\n".join(parts)


def bodies(stored: dict) -> str:
    """Planted bodies: values, intervals and laws."""
    found = stored["sections"]["bodies"]
    what = (
        "Sixteen bodies, of which each of 300 trajectories of 40 frames has four, in two dimensions; the value of one"
        " of them, the one that is largest, is told. *Values right*: data sets in which every value is within 2 % of"
        " the true one (of a tenth of"
        " the typical one, where that is more). *Law*: the true form, every constant within 2 %. *Refused*: no value"
        " was told."
        " *CPU-s*: of the slowest."
    )
    told = []
    for data, label in PLANTED.items():
        if count := found["counts"].get(data):
            told.append(
                f"of {label}: laws {count['laws']} of {count['n']}, values right in {count['values']}, kinds and who is"
                f" of which in {count['kinds']}, {count['inside']} of {count['intervals']} nominal 95 % intervals hold"
                " the true value"
            )
    about = f"`python benchmarks/bodies.py --seeds ...`. {of_rows(found['rows'], 'bodies')}"
    return "\n\n".join([what, found["table"], _sentence("; ".join(told)), about])


def network(stored: dict) -> str:
    """Planted bodies: values that a network learns, and laws read from it, beside those of splines."""
    found = stored["sections"]["bodies_network"]
    what = (
        "The data sets of *planted bodies* below, the value of one of sixteen bodies told: values learnt beside the"
        " weights of a network and the law from its messages, and the same of `learn_properties.py` with splines."
        " *Largest error*: of the true value (of a tenth of the typical one, where that is more). *Law*: the true"
        " form, every constant within 2 %."
    )
    about = f"`python benchmarks/bodies_network.py --seeds ...`. {of_rows(found['rows'], 'bodies_network')}"
    return "\n\n".join([what, found["table"], about])


def dusty(stored: dict) -> str:
    """A dusty plasma: values, forces and the law from one film."""
    found = stored["sections"]["dusty_plasma"]
    bars, met = found["bars"], found["met"]
    what = (
        "*Masses*, *charges*: the largest error of a grain, in the scale of their geometric mean; by splines, and"
        " fitted"
        " once more with the law found, where that foretells as well (*not taken*: it does not, and values stay"
        " those of"
        " the splines). *R²*: of the accelerations by pairs, wakes included, of all pairs in frames left out."
        " *Screening length*: of the screened force that is nearest to the radial one found; of the wakes it is asked"
        " for in R² alone."
    )
    names = {"force_r2": f"R² at least {bars['force_r2']:g}"}
    names |= {k: f"{k} within {100 * bars[k]:g} %" for k in ("screening", "masses", "trap", "drag")}
    told = []
    for data in dict.fromkeys(row["data"] for row in found["rows"]):
        some = [one for one, row in zip(met, found["rows"], strict=True) if row["data"] == data]
        told.append(
            f"{data}: "
            + ", ".join(f"{label} in {sum(one[bar] for one in some)} of {len(some)}" for bar, label in names.items())
        )
    about = f"`python benchmarks/dusty_plasma.py --seeds ...`. {of_rows(found['rows'], 'dusty_plasma')}"
    return "\n\n".join([what, found["table"], _sentence("; ".join(told)), about])
