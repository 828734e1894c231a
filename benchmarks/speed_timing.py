"""Timing side by side: candidates between two timings of the baseline, the machine's matrix peak beside them.

Absolute seconds drift with whatever else the machine does; a ratio to a baseline timed just before and just after
drifts much less. Every round is baseline, candidate, baseline, candidate, ..., baseline, and a candidate's ratio
is taken against the mean of its two neighbours.
"""

import os
import statistics
import time
from collections.abc import Callable

CLOCKS = {1: ("CPU", time.process_time)}  # one thread: CPU seconds, which a busy machine disturbs less
WALL = ("wall", time.perf_counter)


def clock(threads: int) -> tuple[str, Callable]:
    """(name, function) of the clock for so many threads: CPU time for one, wall time for more."""
    return CLOCKS.get(threads, WALL)


def side_by_side(
    baseline: Callable,
    candidates: dict[str, Callable],
    work: dict[str, float],
    rounds: int,
    threads: int = 1,
    warm_up: bool = True,
    limit: Callable[[str], float] | None = None,
) -> dict:
    """Time ``candidates`` against ``baseline``; each call does ``work[name]`` units (work["baseline"] of it).

    Returns ``{"baseline": row, name: row, ...}``, a row being {"per_s": median units a second, "per_s_range":
    [min, max], "ratio": median of (candidate's rate / neighbouring baselines' mean rate), "ratio_range", "rounds",
    "clock", "load": the machine's 1-minute load when it ended}; the baseline's ratio is None. With ``limit(name)``,
    the units a second that the machine can do at best, taken just after each timing: "of_limit", the median of
    (rate / limit), and "limit", the median of that.
    """
    name, now = clock(threads)

    def rate(key, function):
        start = now()
        function()
        found = work[key] / (now() - start)
        if limit:
            limits[key].append((found, limit(key)))
        return found

    if warm_up:
        for function in (baseline, *candidates.values()):
            function()
    limits: dict[str, list] = {k: [] for k in work}
    base, rates, ratios = [], {k: [] for k in candidates}, {k: [] for k in candidates}
    for _ in range(rounds):
        base.append(rate("baseline", baseline))
        for key, function in candidates.items():
            rates[key].append(rate(key, function))
            base.append(rate("baseline", baseline))
            ratios[key].append(rates[key][-1] / (0.5 * (base[-1] + base[-2])))

    def row(key, values, against):
        found = {"per_s": statistics.median(values), "per_s_range": [min(values), max(values)]}
        found["ratio"] = statistics.median(against) if against else None
        found["ratio_range"] = [min(against), max(against)] if against else None
        found |= {"rounds": rounds, "clock": name, "load": os.getloadavg()[0]}
        if limit:
            found["of_limit"] = statistics.median(rate / best for rate, best in limits[key])
            found["limit"] = statistics.median(best for _, best in limits[key])
        return found

    return {"baseline": row("baseline", base, [])} | {k: row(k, rates[k], ratios[k]) for k in candidates}


def matrix_peak(precision: str = "float32", threads: int = 1, size: int = 1536, repeats: int = 5) -> float:
    """Floating-point operations a second of one large square matrix product in torch, the best of ``repeats``.

    ``precision``: "float32" (by ``torch.mm`` or by oneDNN, whichever is faster here), "float32 mm" (by ``torch.mm``
    alone) or "bf16". torch has to be limited to ``threads`` by the caller.
    """
    import torch

    from distill.network.layers import onednn

    _, now = clock(threads)
    a, b = (torch.randn(size, size).to(torch.bfloat16 if precision == "bf16" else torch.float32) for _ in range(2))
    out = torch.empty_like(a)
    ways = [lambda: torch.mm(a, b, out=out)]
    if precision == "float32" and onednn.available():
        ways.append(lambda: onednn.product(a, b))
    best = float("inf")
    for way in ways:
        way()
        for _ in range(repeats):
            start = now()
            way()
            best = min(best, now() - start)
    return 2 * size**3 / best


def bar(what: str, measured, wanted: str, met: bool | None) -> dict:
    """One line of the table of bars; ``met`` None where it was not measured."""
    return {"what": what, "measured": measured, "wanted": wanted, "met": met}


def at_least(what: str, value: float, least: float) -> dict:
    return bar(what, round(value, 2), f">= {least:g}", value >= least)


def at_most(what: str, value: float, most: float, text: str = "{:.2f}", unit: str = "") -> dict:
    """``text``: how the value is told; ``unit``: of both."""
    return bar(what, text.format(value) + unit, f"<= {most:g}{unit}", value <= most)
