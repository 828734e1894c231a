"""What stands beside the networks, for README.md and docs/results.md: each part from its result file, and nothing
before that has been measured.
"""

from collections.abc import Callable
from statistics import median

import page_stamps

from distill.files.storage import load_json
from distill.report.markdown import markdown
from distill.report.numbers import rate, shown_rate
from distill.shell import paths

NOISES = {"none": "no noise", "multiplied": "noise multiplied", "added": "noise added"}


def stored(name: str) -> dict | None:
    """results/NAME.json; None if that has not been measured."""
    path = paths.ROOT / "results" / f"{name}.json"
    return load_json(path) if path.is_file() else None


def made(about: dict, name: str) -> str:
    """Seeds, machine, date and commit of a measurement."""
    seeds = about["arguments"].get("seeds") or [about["arguments"]["seed"]]
    return page_stamps.made([about], name, seeds)


def of(name: str, part: Callable[[dict], str], missing: str = "") -> Callable[[], str]:
    """``part`` of results/NAME.json, or what is said where that is ``missing``."""

    def text() -> str:
        found = stored(name)
        return part(found) if found else missing

    return text


def below_one(value: float) -> str:
    """An R² rounded down, so that nothing short of 1 is shown as 1."""
    digits = next((d for d in range(3, 9) if value < 1 - 10.0**-d), 9)
    return "1" if value >= 1 else f"{int(value * 10**digits) / 10**digits:.{digits}f}" if value > 0 else f"{value:.3g}"


# ---------------------------------------------------------------- splines


def splines(found: dict) -> str:
    lines = []
    rows = found["rows"]
    for system, dim, noise in dict.fromkeys((r["system"], r["dim"], r["noise"]) for r in rows):
        some = [r for r in rows if (r["system"], r["dim"], r["noise"]) == (system, dim, noise)]
        worst = [below_one(min(r[k] for r in some)) for k in ("r2_all_min", "r2_trim90_min")]
        error, cpu = max(r["median_relative_error_max"] for r in some), max(r["cpu_seconds"] for r in some)
        lines.append([f"{system}, {dim}-D, {NOISES[noise]}", str(len(some)), *worst, f"{error:.2g}", f"{cpu:.1f}"])
    head = [
        "",
        "data sets",
        "worst R², all edges",
        "worst R², best 90 %",
        "largest median relative error",
        "most CPU-s",
    ]
    bars = "; ".join(
        f"{NOISES[noise]}: all draws at least {s['bar']:g} in {s['reach_bar']} of {s['fits']} fits, worst "
        f"{below_one(s['worst_r2_all'])}, most CPU-s {s['cpu_seconds_max']:.1f}"
        for noise, s in found["summary"].items()
    )
    what = (
        "Splines of the pair force fitted to net accelerations, **no network**: `python benchmarks/splines.py`. Each"
        " fit is compared with the true pair force on several draws of test edges; worst of all draws and seeds. They"
        " assume that forces superpose, that they are central, and that the properties of the particles are known."
    )
    return "\n\n".join(
        [
            "## Without a network: splines",
            what,
            markdown(head, lines),
            f"By noise: {bars}.",
            made(found["provenance"], "splines"),
        ]
    )


def against_networks(found: dict, networks: list[dict]) -> str:
    """One sentence: splines and networks on the same data sets, by R² with the true pair force on all edges."""
    best: dict[tuple, float] = {}
    for r in networks:
        if r.get("r2_all") is not None:
            key = r["system"], r["dim"], r["seed"]
            best[key] = max(best.get(key, -1e9), r["r2_all"])
    own = {(r["system"], r["dim"], r["seed"]): r["r2_all_min"] for r in found["rows"] if r["noise"] == "none"}
    both = sorted(best.keys() & own.keys())
    if not both:
        return ""
    won = [key for key in both if own[key] > best[key]]
    lost = sorted({f"`{s}`" for s, _, _ in set(both) - set(won)})
    worst, middling = (below_one(v) for v in (min(own[k] for k in both), median(best[k] for k in both)))
    told = (
        f"**Splines without a network gave the pair force with a higher R² than the best network in {len(won)} of the"
        f" {len(both)} data sets that both were fitted to** (worst draw of edges {worst}, median of the best networks"
        f" {middling})"
    )
    return told + (f"; not in some of {', '.join(lost)}." if lost else ".")


# ---------------------------------------------------------------- masses, residuals


def masses(found: dict) -> str:
    lines, notes = [], []
    for kind, section in found["sections"].items():
        for r in section["rows"]:
            numbers = [f"{r[k]:.2g}" for k in ("network", "read_out", "ratio", "G_off_most")]
            lines.append([f"{kind}, seed {r['seed']}", *numbers, f"`{r['law']}`"])
        notes.append(made(section, "masses"))
    head = "|network's error|read-out's error|ratio|G, off by at most|law".split("|")
    what = (
        "Gravity where masses span four decades (*gravity*) and nine (*solar*: the Sun, the planets and Pluto by JPL's"
        " DE421, masses given). Errors of accelerations on the test split by the network and by what is read from its"
        " messages; the law's constant over all edges of that split."
    )
    return "\n\n".join(["## Masses over many decades", what, markdown(head, lines), *notes])


def residual_test(found: dict) -> str:
    words = {"missing": "physics is missing: structure is called", "complete": "the law is right: noise is called"}
    lines, notes = [], []
    for section in found["sections"].values():
        for name, one in section["counts"].items():
            where, _, group = name.rpartition("_")
            label = words[group] + (", accelerations by finite differences" if where else "")
            low, high = (f"{100 * v:.0f}" for v in one["interval"])
            lines.append([label, f"{one['right']}/{one['n']} [{low}, {high}]"])
        notes.append(made(section, "residual_test"))
    what = (
        "What a law leaves of the accelerations is tested for what lasts along trajectories and for what predicts it,"
        " without knowing the true law. Each run is a data set of its own; brackets: 95 % intervals in per cent."
    )
    return "\n\n".join(
        ["## Is missing physics noticed without the truth?", what, markdown(["runs in which", "right"], lines), *notes]
    )


# ---------------------------------------------------------------- responses that are not a = F/m


def nonlinear(found: dict) -> str:
    """Counts with intervals, of the law read through the network and of every rival."""
    lines, notes = [], []
    rivals = sorted({name for s in found["sections"].values() for r in s["rows"] for name in r.get("rivals", {})})
    for title, section in found["sections"].items():
        rows = [flat(r) | {"dim": title} for r in section["rows"]]
        for system in [*dict.fromkeys(r["system"] for r in rows), "all"]:
            part = [r for r in rows if system in (r["system"], "all")]
            counts = [shown_rate(rate(part, k)) for k in ("from_messages_recovered", "recovered")]
            counts += [shown_rate(rate(part, f"{name}_recovered")) for name in rivals]
            errors = [middle(part, k) for k in ("error_law", "error_network", *(f"{name}_error" for name in rivals))]
            lines.append([f"{system}, {title}", str(len(part)), *counts, " · ".join(errors)])
        recovered = section["recovered_is"]
        notes.append(" ".join(filter(None, [made(section, "nonlinear"), section.get("note")])))
    names = [name.replace("_", " ") for name in rivals]
    head = ["", "networks", "from the messages, before the refit", "after the refit", *names]
    head.append("held-out error: " + " · ".join(["law", "network", *names]))
    what = (
        "Here the sum of the forces is not the acceleration: `saturating` m a = F/(1 + |F|/F0), `relativistic`"
        " a = (F - v(v·F)/c²)/(γm), `mond` a ~ √|F| along F. A pair force can be read from the sums only through the"
        f" function behind them, which the network learns with it. Recovered: {recovered}. Rivals are given a = S/m and"
        " cannot have these laws, all but `response control`: the composition of pair law and response without a"
        " network, from fixed starts. Brackets: 95 % intervals in per cent."
    )
    return "\n\n".join(["## Where accelerations are not sums of pair forces", what, markdown(head, lines), *notes])


def flat(row: dict) -> dict:
    """A row with its rivals' verdicts and errors beside its own."""
    out = dict(row)
    for name, one in row.get("rivals", {}).items():
        out |= {f"{name}_recovered": one["recovered"], f"{name}_error": one["error"]}
    return out


def middle(rows: list[dict], key: str) -> str:
    known = [r[key] for r in rows if r.get(key) is not None]
    return f"{median(known):.2g}" if known else "–"


def needed(found: dict) -> str:
    """The counts of all systems in one sentence."""
    rows = [flat(r) | {"dim": title} for title, s in found["sections"].items() for r in s["rows"]]
    rivals = sorted({name for r in found["sections"].values() for row in r["rows"] for name in row.get("rivals", {})})
    counts = {"through the network": rate(rows, "recovered")}
    counts |= {name.replace("_", " "): rate(rows, f"{name}_recovered") for name in rivals}
    told = ", ".join(f"{who} {c['successes']}/{c['n']}" for who, c in counts.items())
    return f"**Where the response to the net force is not a = F/m, the law is recovered**: {told}."


def refused(rates: dict) -> str:
    """How many wrong laws were called recovered, as given and refitted, and right ones refused."""
    given, refitted = rates["given"], rates["refitted"]
    wrong, passed = (given[k] + refitted[k] for k in ("wrong", "wrong_called_recovered"))
    if "right" not in given:  # before small faults and right laws were among them
        return f"Of {wrong} wrong laws with gross faults {passed} were called recovered by the verdict of that time."
    right, refused_ = (given[k] + refitted[k] for k in ("right", "right_refused"))
    told = f"Of {wrong} wrong laws, half of them only slightly, {passed} were called recovered"
    return f"{told}; of {right} right ones, respelt or refitted, {refused_} were refused."


def sentences(networks: list[dict]) -> str:
    """README.md in plain words: what was measured of splines, of non-linear responses and of laws that are nearly
    right, nothing otherwise.
    """
    said = []
    if found := stored("splines"):
        said.append(against_networks(found, networks))
    if found := stored("nonlinear"):
        said.append(needed(found))
    if found := stored("recovery_near_misses"):
        said.append(refused(found["sections"]["all"]["rates"]["all"]))
    return " ".join(s for s in said if s)
