"""Do the intervals of polished constants hold the truth as often as they say? Counts over planted cases.

A case is a small simulation of one of the four main systems, positions with Gaussian noise of .1 to 10 % of the median
displacement between frames, and its law with every constant off by up to 10 %; in every other case a tenth of the
positions is missing. Of each constant that the data determine: is the truth within 1.96 standard errors of what was
fitted, nothing being rounded?

reads   nothing, or what an interrupted call left behind: a finished case is found done
writes  results/coverage.json (--development: outputs/coverage.json)

example:  python benchmarks/coverage.py --seed 941 --cases 40 --development
"""

import sys
import time

import numpy as np
import sections

from distill.files.storage import load_json, save_json
from distill.formulas.text import parse, to_text
from distill.physics.integrate import integrate
from distill.physics.law import Law
from distill.physics.systems import SYSTEMS
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.shooting.pieces import Observed
from distill.shooting.polish import polish
from distill.statistics.rates import wilson

CASES = 200
N, DIM, FRAMES, EVERY = 4, 2, 50, 5  # EVERY: steps of a system between frames
TRAJECTORIES = (20, 40)
NOISE = (0.001, 0.1)  # of the median displacement between frames
OFF = 0.1  # of a constant at the start
MISSING = 0.1  # of positions, in every other case
WITHIN = 1.96  # standard errors
FORMS = {
    "spring": ("{} * (r - {})", (-2.0, 0.99)),
    "r1": ("{} * m_i * m_j / (r + {})", (-1.0, 0.01)),
    "r2": ("{} * m_i * m_j / (r + {})^2", (-1.0, 0.01)),
    "charge": ("{} * q_i * q_j / (r + {})^2", (1.0, 0.01)),
}


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seed", type=non_negative_int, default=941, help="of simulations, noise and starts")
    add("--cases", type=positive_int, default=CASES, help="shared by the systems")
    add("--development", action="store_true", help="writes to outputs instead of results")
    add("--overwrite", action="store_true", help="run finished cases again")
    return parser.parse_args(argv)


def planted(system: str, number: int, seed: int) -> tuple[Law, Observed, dict]:
    """(a law with its constants off, what was seen, the case as JSON)."""
    rng = np.random.default_rng([seed, list(FORMS).index(system), number])
    count = int(rng.integers(TRAJECTORIES[0], TRAJECTORIES[1] + 1))
    made = integrate(SYSTEMS[system], N, DIM, count, FRAMES, EVERY, 10_000 * seed + number)
    level = float(np.exp(rng.uniform(*np.log(NOISE))))
    sigma = level * float(np.median(np.linalg.norm(np.diff(made["pos"], axis=1), axis=-1)))
    observed = made["pos"] + sigma * rng.standard_normal(made["pos"].shape)
    seen = rng.random(observed.shape[:3]) >= (MISSING if number % 2 else 0.0)
    form, truth = FORMS[system]
    start = [float(c * (1 + rng.uniform(-OFF, OFF))) for c in truth]
    law = Law(parse(form.format(*start), ("r", "m_i", "m_j", "q_i", "q_j")))
    properties = {k: made[k] for k in ("mass", "charge")}
    about = {"system": system, "number": number, "noise": level, "sigma": sigma, "trajectories": count}
    return law, Observed(observed, made["t"], properties, seen), about | {"missing": bool(number % 2)}


def truths(system: str, start: Law, constants: list[dict]) -> list[float]:
    """The true value of each constant of a form: the planted one, which is a product where the form says so."""
    form, truth = FORMS[system]
    if system == "spring":  # c0 + c1 r
        return [-truth[0] * truth[1] if c["before"] > 0 else truth[0] for c in constants]
    return [min(truth, key=lambda one: abs(one / c["before"] - 1)) for c in constants]


def measure(system: str, number: int, seed: int) -> dict:
    """One case."""
    law, tracks, about = planted(system, number, seed)
    found = polish(law, tracks, seed, rounding=False)  # one that is rounded to the truth would help the others
    rows = []
    for c, truth in zip(found.constants, truths(system, law, found.constants), strict=True):
        error = c["standard_error"]
        rows.append(c | {"truth": truth, "z": None if error is None else (c["value"] - truth) / error})
    told = {"law": to_text(found.law.pair, 8), "constants": rows, "noise_fitted": found.noise, "why_not": found.why_not}
    told |= {"chi2": found.chi2, "excess": found.excess, "structured": found.structured, "cuts": found.cuts}
    return about | told | {"converged": found.converged, "cpu_s": round(found.cpu_seconds, 2)}


def counted(rows: dict[str, dict]) -> dict:
    """Shares of intervals that hold the truth: by system, by noise, all. Constants of a case count as one cluster."""
    groups: dict[str, list] = {"all": list(rows.values())}
    for row in rows.values():
        level = "noise below 1 %" if row["noise"] < 0.01 else "noise from 1 %"
        for name in (row["system"], level):
            groups.setdefault(name, []).append(row)
    out = {}
    for name, group in groups.items():
        known = [[c for c in row["constants"] if c["determined"]] for row in group]
        inside = sum(abs(c["z"]) <= WITHIN for each in known for c in each)
        sizes = [len(each) for each in known if each]
        z = [c["z"] for each in known for c in each]
        off = [abs(c["z"] * c["standard_error"] / c["truth"]) for each in known for c in each]
        out[name] = {
            "covered": inside / max(sum(sizes), 1),
            "interval": list(wilson(inside, sizes)),
            "constants": sum(sizes),
            "cases": len(group),
            "not_determined": sum(not c["determined"] for row in group for c in row["constants"]),
            "not_done": sum(not row["constants"] for row in group),
            "rms_z": float(np.sqrt(np.mean(np.square(z)))) if z else None,
            "largest_z": float(np.max(np.abs(z))) if z else None,
            "median_off": float(np.median(off)) if off else None,
            "called_structured": sum(row["structured"] for row in group),
            "cpu_s": float(np.mean([row["cpu_s"] for row in group])),
        }
    return out


def main(argv=None) -> int:
    args = parse_arguments(argv)
    set_threads(1)
    start, place, rows = time.time(), paths.OUTPUTS / "coverage", {}
    for system in FORMS:
        for number in range(-(-args.cases // len(FORMS))):
            path = place / f"s{args.seed}" / f"{system}_{number}.json"
            row = None if args.overwrite or not path.is_file() else load_json(path, "move it away")
            if row is None:
                row = measure(system, number, args.seed)
                save_json(path, row)
            rows[f"{system}_{number}"] = row
            z = " ".join("-" if c["z"] is None else f"{c['z']:.2f}" for c in row["constants"])
            print(
                f"{system:7} {number:3} noise {row['noise']:.4f} z {z}  {row['cpu_s']} s", file=sys.stderr, flush=True
            )
    content = sections.about("coverage.py", args, start) | {"seed": args.seed, "counts": counted(rows), "rows": rows}
    path = place.with_suffix(".json") if args.development else paths.ROOT / "results" / "coverage.json"
    sections.save(path, "coverage", f"s{args.seed}", content)
    for name, one in content["counts"].items():
        low, high = one["interval"]
        share = f"{100 * one['covered']:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
        print(f"{name:18} covered {share} of {one['constants']}")
    print(f"-> {relative(path)}")
    return 0


if __name__ == "__main__":
    run_script(main)
