"""CPU seconds a recovered law of the symbolic search, alone and against another search. A part of ``speed.py``.

Planted message components of ``recovery_planted.py`` (y = c . F + offset + noise in dx, dy(, dz), r, m1, m2, q1, q2),
for every law, dimension, noise and seed. Ours and the other search get the same arrays, in turn, each in a process of
its own on one thread; ``recovery_planted.errors`` judges both. CPU seconds run from the call to its return, imports
that the call makes included; what comes before (the interpreter, numpy, scipy, sympy, planting) is start-up, told
apart, and part of the ratio. Ours counts as recovered if the row that it reports is right, the other already if a
right row is anywhere on its front. Run as a script, one case (started by ``measure``):

python benchmarks/speed_search.py '{"engine": "ours", "law": "r2", "dim": 2, "noise": 0.02, "seed": 0, "rows": 4000}'
"""

import json
import statistics
import sys
import time
from importlib import util
from itertools import product
from pathlib import Path

from speed_timing import bar

from distill.files.provenance import sha256
from distill.files.storage import plain
from distill.pipeline.runs.cells import Children
from distill.report.markdown import markdown
from distill.shell.errors import UserError
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

LAWS, DIMS, NOISES, ROWS = ("spring", "r1", "r2", "charge"), (2, 3), (0.005, 0.02), 4000
QUICK = [("r1", 2, 0.005)], (0,), 400, {"restarts": 1}  # cases, seeds, rows, options of the search
ENDS = ("r", "m1", "m2", "q1", "q2")  # the paper's names; both searches know m1 and m2 as positive
HALF = 0.5


def measure(args) -> dict:
    """The section "search": every case with ours and, if ``args.against`` names a file, with its ``sr_front``.

    ``args.seeds`` make the messages. Raises ``UserError`` if the file cannot be used.
    """
    if args.threads != 1:
        raise UserError(f"the search is timed on one thread, not {args.threads}", "leave out --threads")
    children, other = Children(), None
    if args.against:
        other = Path(args.against).resolve()
        tried = children.run([sys.executable, __file__, json.dumps({"check": str(other)})])
        if tried.error:
            raise UserError(f"--against cannot be used: {tried.error}", "name a Python file with sr_front(X, y, names)")
        args.against = f"{other.name}, SHA-256 {sha256(other)[:12]}"  # where it lies is nobody's concern
    what, seeds, rows, options = QUICK if args.quick else (product(LAWS, DIMS, NOISES), args.seeds, ROWS, {})
    named = [dict(zip(("seed", "law", "dim", "noise"), (k, *w), strict=True)) for k, w in product(seeds, what)]
    cases = [one | {"rows": rows} for one in named]

    def both(case):
        out = [run(children, case | {"engine": "ours", "options": options})]
        return out + ([run(children, case | {"engine": "other", "file": str(other)})] if other else [])

    rows = [row for pair in children.map(both, cases, 1) for row in pair]
    totals = {e: total([r for r in rows if r["engine"] == e]) for e in ("ours", "other")[: 1 + bool(other)]}
    return {"table": table(rows, totals), "bars": [judge(totals)], "rows": rows, "totals": totals}


def run(children: Children, case: dict) -> dict:
    """The row of one case in a process of its own; a search that fails has recovered nothing and costs what it took."""
    done = children.run([sys.executable, __file__, json.dumps(case)])
    row = {k: case[k] for k in ("engine", "law", "dim", "noise", "seed")}
    found = {"chosen": False, "on_front": False, "cpu_s": done.cpu_s, "start_up_cpu_s": 0.0}
    if done.error is None:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    return row | found | {"peak_mb": round(done.peak_mb, 1), "error": done.error}


# ---------------------------------------------------------------- one case


def planted(case: dict):
    """(X [row, feature], y [row], names, judge): ``judge(expr)`` is true for the planted law up to constants."""
    import recovery_data as data
    import recovery_planted as recovery

    law, dim = case["law"], case["dim"]
    rng = data.generator(case["seed"], law, dim, case["noise"], float(recovery.PATHS.index("components")))
    X, y, _, limit, _ = recovery.component(law, dim, case["noise"], case["rows"], rng)
    names = [*data.axis_names(dim), *ENDS]
    fresh, _ = data.in_range(law, dim, recovery.JUDGED, rng, limit)
    beyond = data.far(law, dim, recovery.JUDGED, X[:, names.index("r")], rng)

    def judge(expr) -> bool:
        try:
            return max(recovery.errors(expr, names, fresh, beyond)) < recovery.LIMIT
        except (ValueError, TypeError, OverflowError):  # a formula that has no finite real value
            return False

    return X, y, names, judge


def one_case(case: dict) -> dict:
    """CPU seconds of one search, and whether the row it reports, or any of its front, is the law."""
    X, y, names, judge = planted(case)
    if case["engine"] == "ours":
        from distill.search.direct import search
        from distill.search.engine import SearchOptions

        options = SearchOptions(seed=case["seed"], progress=False, **case.get("options", {}))

        def look():
            front = search(X, y, names, options)
            about = {k: front.info.get(k) for k in ("restarts", "evaluations")}
            return [r.expr for r in front.rows], front.chosen, about
    else:
        sr_front = load(Path(case["file"])).sr_front

        def look():
            frame, _ = sr_front(X, y, names)
            exprs = list(frame["sympy"])
            return exprs, pysr_choice(exprs, [float(v) for v in frame["loss"]]), {}

    start = time.process_time()
    exprs, chosen, about = look()
    spent = time.process_time() - start
    good = [judge(e) for e in exprs]
    found = {"chosen": chosen is not None and good[chosen], "on_front": any(good), "front_rows": len(exprs)}
    found |= {"cpu_s": round(spent, 3), "start_up_cpu_s": round(start, 3)}
    return found | {"equation": None if chosen is None else str(exprs[chosen])} | about


def pysr_choice(exprs, losses) -> int | None:
    """Index of the row that PySR's ``model_selection="best"`` reports; None for an empty front."""
    from distill.formulas.tree import complexity
    from distill.search.choice import pareto, pysr_best
    from distill.search.front import Row

    rows = pareto([Row(complexity(e), v, "", e) for e, v in zip(exprs, losses, strict=True)])
    if not rows:
        return None
    best = rows[pysr_best(rows)]
    return next(k for k, e in enumerate(exprs) if e is best.expr)


def load(path: Path):
    """The module in the file ``path``, which has to define ``sr_front``."""
    spec = util.spec_from_file_location("another_search", path)
    if not path.is_file() or spec is None:
        raise UserError(f"{path} is no Python file")
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise UserError(f"{path.name} cannot be imported ({type(exc).__name__}: {exc})") from None
    if not callable(getattr(module, "sr_front", None)):
        raise UserError(f"{path.name} has no function sr_front(X, y, names)")
    return module


# ---------------------------------------------------------------- summary


def total(rows: list[dict]) -> dict:
    """Counts and CPU seconds of one engine; those a law include start-up, and are None where none was recovered."""
    counts = {"recovered": sum(r["chosen"] for r in rows), "on_front": sum(r["on_front"] for r in rows)}
    search = [r["cpu_s"] for r in rows]
    whole = sum(r["cpu_s"] + r["start_up_cpu_s"] for r in rows)
    found = {"cases": len(rows), **counts, "failed": sum(r["error"] is not None for r in rows)}
    found |= {"cpu_s": round(whole, 2), "search_cpu_s": round(sum(search), 2)}
    found |= {"median_cpu_s": statistics.median(search)}
    found |= {"median_start_up_cpu_s": statistics.median(r["start_up_cpu_s"] for r in rows)}
    for k, n in counts.items():
        found |= {f"cpu_s_per_{k}": whole / n if n else None, f"search_cpu_s_per_{k}": sum(search) / n if n else None}
    return found | {"peak_mb": max(r["peak_mb"] for r in rows)}


def judge(totals: dict) -> dict:
    """The bar: ours by the row reported, the other by its whole front; start-up is part of both."""
    ours, other = totals["ours"], totals.get("other")
    what, wanted = "search: CPU-s a recovered law, ours / the other's", f"at most {HALF}, at the same or a better rate"
    rate = f"{ours['recovered']}/{ours['cases']} recovered"
    if other is None:
        return bar(what, f"{rate}; nothing to compare with (--against FILE)", wanted, None)
    rate += f" against {other['on_front']}/{other['cases']}"
    if not ours["recovered"]:
        return bar(what, rate, wanted, False)
    if not other["on_front"]:
        return bar(what, f"{rate}: no ratio", wanted, None)
    ratio = ours["cpu_s_per_recovered"] / other["cpu_s_per_on_front"]
    alone = ours["search_cpu_s_per_recovered"] / other["search_cpu_s_per_on_front"]
    met = max(ratio, alone) <= HALF and ours["recovered"] >= other["on_front"]
    return bar(what, f"{ratio:.2f} ({alone:.2f} without start-up), {rate}", wanted, met)


def table(rows: list[dict], totals: dict) -> str:
    """Markdown: a line a law and dimension and one for all; for the other search both counts."""

    def line(name, engine, part):
        each = part["cpu_s_per_recovered" if engine == "ours" else "cpu_s_per_on_front"]
        counts = (str(part[k]) for k in ("cases", "recovered", "on_front"))
        return [
            name,
            engine,
            *counts,
            f"{part['median_cpu_s']:.1f}",
            "none recovered" if each is None else f"{each:.1f}",
        ]

    lines = []
    for law, dim in dict.fromkeys((r["law"], r["dim"]) for r in rows):
        for engine in totals:
            part = total([r for r in rows if (r["law"], r["dim"], r["engine"]) == (law, dim, engine)])
            lines.append(line(f"{law}, {dim}-D", engine, part))
    lines += [line("all", engine, part) for engine, part in totals.items()]
    start = ", ".join(f"{e} {t['median_start_up_cpu_s']:.2f}" for e, t in totals.items())
    head = "planted law|engine|cases|reported row right|right row on the front|median CPU-s a search"
    head += "|CPU-s a recovered law, with start-up"
    return f"{markdown(head.split('|'), lines)}\n\nStart-up, CPU-s (median): {start}."


def main(argv=None) -> int:
    (text,) = sys.argv[1:] if argv is None else argv
    case = json.loads(text)
    set_threads(1)
    if "check" in case:
        load(Path(case["check"]))
    else:
        print(json.dumps(plain(one_case(case)), allow_nan=False))
    return 0


if __name__ == "__main__":
    run_script(main)
