"""``speed.py simulation``: ``simulate.py`` against the original way of integrating and against heyoka.py.

All from the same initial conditions, 4 particles in 2-D, 500 time steps of the paper of which every 5th is kept.
Ours is ``integrate`` of ``distill.physics`` whole, as ``simulate.py`` calls it: drawing, integrating, energies, every
stored acceleration. The others are given the initial conditions and return positions; the share of our bare
integration stands beside. Slow ones take fewer of the same trajectories, evenly spread, as their rows say.

Error of a trajectory: the largest over the frames of |positions - reference| / |reference|, all particles together.
Median and 90 % quantile over trajectories; where particles meet closely the largest says nothing. The reference is
ours at tolerance 1e-13, twice the frames, held against an independent one: heyoka.py at the rounding of
64 bits, or scipy's DOP853.
"""

import time
from dataclasses import replace

import numpy as np
from speed_simulation_baselines import original, taylor
from speed_timing import at_most, bar, side_by_side

from distill.physics import integrate
from distill.physics.system import acceleration
from distill.physics.systems import SYSTEMS, initial_conditions
from distill.report.markdown import markdown

N, DIM, EVERY, SEED = 4, 2, 5, 216
TIGHT = 1e-13
TOLERANCES = [10.0**-k for k in range(7, 16)]  # of heyoka.py, loosest first
FULL = {"systems": ("spring", "r1", "r2", "charge"), "trajectories": 2000, "slow": 200, "frames": 100}
QUICK = {"systems": ("charge",), "trajectories": 24, "slow": 4, "frames": 20}
TIMES_ORIGINAL, TIMES_HEYOKA, RISE = 5.0, 2.0, 1.1
PLANTED = 0.02, 1e-6  # distance and impact parameter of the head-on pair, as close as one in 2,000 is drawn


def measure(args) -> dict:
    size = QUICK if args.quick else FULL
    rows = [row for name in size["systems"] for row in one_system(SYSTEMS[name], size, args)]
    about = {"size": size, "seed": SEED, "particles": N, "dimensions": DIM, "every": EVERY}
    return {"table": table(rows), "bars": bars(rows), "rows": rows} | about


def one_system(system, size, args) -> list[dict]:
    """Rows of one system; the first is the original way, to whose rate ``ratio`` refers."""
    count, frames = size["trajectories"], size["frames"]
    few = np.linspace(0, count - 1, size["slow"]).astype(int)

    def whole():
        return integrate.integrate(system, N, DIM, count, frames, EVERY, seed=SEED)

    first, found = seconds_and(whole)
    second, found = seconds_and(whole)
    y0, p = integrate.draw(system, N, DIM, SEED, range(count))
    spacing = EVERY * system.dt

    def bare(tolerance=integrate.RTOL, finer=1):
        solver = integrate._solver(system, N, DIM, integrate.lanes.LANES)
        length = finer * (frames - 1) + 1
        return solver(y0, p, spacing / finer, length, tolerance, tolerance, 10 * integrate.MAX_STEPS)[0][:, ::finer]

    reference = bare(TIGHT, 2)[..., : N * DIM].reshape(count, frames, N, DIM)
    independent, who = independent_reference(system, frames, y0, p, few)
    error, mine = errors(found["pos"], reference), errors(found["pos"][few], reference[few])
    candidates = {
        "simulate.py": (whole, count, error, first - second),
        "simulate.py, integration alone": (bare, count, error, first - second),
    }
    for precision in ("float32", "float64"):
        run = original(system, N, DIM, frames, EVERY, precision)
        candidates[f"original way, {precision}"] = timed(run, y0, p, few, reference)
    for label, tolerance in same_accuracy(system, frames, y0, p, few, reference, mine).items():
        run = taylor(system, N, DIM, frames, EVERY, tolerance)
        candidates[label] = timed(run, y0, p, np.arange(count), reference)
    base = candidates.pop("original way, float32")
    work = {k: v[1] for k, v in ({"baseline": base} | candidates).items()}
    calls = {k: v[0] for k, v in candidates.items()}
    rates = side_by_side(base[0], calls, work, args.rounds, args.threads, warm_up=False)
    rates["original way, float32"] = rates.pop("baseline")
    rows = []
    for label, (_, number, error, compile_s) in ({"original way, float32": base} | candidates).items():
        row = {"system": system.name, "method": label, "trajectories": number, "ms": 1e3 / rates[label]["per_s"]}
        row |= {"error_median": error[0], "error_90": error[1], "compile_s": compile_s}
        rows.append(row | rates[label])
    gap = errors(independent, reference[few[: len(independent)]])
    rows[1] |= {k: found["report"][k] for k in ("steps_mean", "steps_max", "redone", "dropped")}
    rows[1]["reference"] = {"against": who, "trajectories": len(independent), "gap_median": gap[0], "gap_90": gap[1]}
    return [*rows, close_encounter(system, size["trajectories"], frames, args)]


def with_head_on_pair(system, which: int):
    """``(system, plant)``: while ``plant["on"]``, trajectory ``which`` starts with a bound pair that meets head on."""
    plant = {"on": False}

    def initial(rng, n, dim):
        pos, vel, properties = initial_conditions(system, rng, n, dim)
        if plant["on"] and list(rng.bit_generator.seed_seq.entropy)[1:] == [which, 0]:
            pos[1], vel[1] = pos[0], vel[0]
            pos[1, :2] += PLANTED
            properties["charge"][:2] = 1.0, -1.0
        return pos, vel, properties

    return replace(system, initial=initial), plant


def close_encounter(system, count, frames, args) -> dict:
    """Cost with one trajectory replaced by a head-on pair, over the cost without it."""
    changed, plant = with_head_on_pair(system, count // 2)

    def whole():
        return integrate.integrate(changed, N, DIM, count, frames, EVERY, seed=SEED)

    def planted():
        plant["on"] = True
        try:
            return whole()
        finally:
            plant["on"] = False

    steps = planted()["report"]["steps_max"]
    work = {"baseline": count, "planted": count}
    rate = side_by_side(whole, {"planted": planted}, work, args.rounds, args.threads, warm_up=False)["planted"]
    row = {"system": system.name, "method": "simulate.py with a head-on pair", "trajectories": count}
    row |= {"ms": 1e3 / rate["per_s"], "steps_max": steps} | rate
    return row | {"cost_ratio": 1 / rate["ratio"], "ratio": None}


def seconds_and(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def timed(run, y0, p, which, reference):
    """(function to time, its trajectories, its errors, seconds of the first call beyond the second)."""

    def call():
        return run(y0[which], p[which])

    first, pos = seconds_and(call)
    return call, len(which), errors(pos, reference[which]), max(first - seconds_and(call)[0], 0.0)


def errors(pos, reference) -> list[float]:
    """Median and 90 % quantile over trajectories, see the head of the file; ``[trajectory, frame, particle, dim]``."""
    gap, size = (np.sqrt((a**2).sum(axis=(2, 3))) for a in (pos - reference, reference))
    return [float(q) for q in np.quantile((gap / size).max(axis=1), [0.5, 0.9])]


def same_accuracy(system, frames, y0, p, few, reference, wanted) -> dict[str, float]:
    """Tolerances of heyoka.py, the loosest at which it is as accurate as ours: in the 90 % quantile, and in both."""
    if taylor(system, N, DIM, frames, EVERY, TIGHT) is None:
        return {}
    labels: dict[str, float] = {}
    for tolerance in TOLERANCES:
        found = errors(taylor(system, N, DIM, frames, EVERY, tolerance)(y0[few], p[few]), reference[few])
        if found[1] <= wanted[1]:
            labels.setdefault("heyoka.py, as accurate in the 90 % quantile", tolerance)
            if found[0] <= wanted[0]:
                labels["heyoka.py, as accurate in both"] = tolerance
                break
    return labels


def independent_reference(system, frames, y0, p, few):
    """(positions of some of the ``few``, by whom), at the tightest tolerance of another program."""
    if run := taylor(system, N, DIM, frames, EVERY, 0.0):
        return run(y0[few], p[few]), "heyoka.py at the rounding of 64 bits"
    from scipy.integrate import solve_ivp

    found = []
    for k in few[:4]:

        def slope(t, y, values=p[k]):
            properties = dict(zip(system.properties, values.reshape(-1, N), strict=True))
            pos, vel = y.reshape(2, N, DIM)
            return np.concatenate([vel.ravel(), acceleration(system, pos, vel, properties).ravel()])

        t = EVERY * system.dt * np.arange(frames)
        y = solve_ivp(slope, (0, t[-1]), y0[k], "DOP853", t, rtol=TIGHT, atol=TIGHT).y
        found.append(y[: N * DIM].T.reshape(frames, N, DIM))
    return np.stack(found), "scipy's DOP853 at 1e-13"


def bars(rows) -> list[dict]:
    systems = dict.fromkeys(row["system"] for row in rows)
    of = {(row["system"], row["method"]): row for row in rows}
    originals, heyokas, rises = [], [], []
    for name in systems:
        mine, base = of[name, "simulate.py"], of[name, "original way, float32"]
        alone = of[name, "simulate.py, integration alone"]["ratio"]
        accurate = all(mine[k] <= base[k] for k in ("error_median", "error_90"))
        error = f"error {mine['error_90']:.1e} against {base['error_90']:.1e}"
        measured = f"{mine['ratio']:.2f}x, integration alone {alone:.2f}x, {error}"
        what = f"{name}: trajectories a second, against the original way in float32"
        met = accurate and mine["ratio"] >= TIMES_ORIGINAL
        originals.append(bar(what, measured, f">= {TIMES_ORIGINAL:g}x at no larger error", met))
        for label in ("in both", "in the 90 % quantile"):
            other = of.get((name, f"heyoka.py, as accurate {label}"))
            times = other and other["ratio"] / mine["ratio"]
            measured = other and f"{times:.2f}x, integration alone {other['ratio'] / alone:.2f}x"
            what = f"{name}: time of heyoka.py as accurate {label}"
            heyokas.append(bar(what, measured, f"<= {TIMES_HEYOKA:g}x", other and times <= TIMES_HEYOKA))
        row = of[name, "simulate.py with a head-on pair"]
        what = f"{name}: cost with one head-on pair of {row['steps_max']} steps"
        rises.append(at_most(what, row["cost_ratio"], RISE, "{:.3f}", "x"))
    return originals + heyokas + rises


def table(rows) -> str:
    lines = []
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}x"
        if "cost_ratio" in row:
            ratio = f"{row['cost_ratio']:.3f}x the cost"
        error = [f"{row[k]:.1e}" if k in row else "-" for k in ("error_median", "error_90")]
        compiling = f"{row['compile_s']:.1f}" if "compile_s" in row else "-"
        own = row["system"], row["method"], str(row["trajectories"]), f"{row['ms']:.3f}"
        lines.append([*own, ratio, *error, compiling])
    head = "system|method|trajectories|ms each|against original|error median|error 90 %|compile s"
    return markdown(head.split("|"), lines)
