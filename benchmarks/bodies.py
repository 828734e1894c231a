"""Are masses, charges and kinds of bodies found that nobody measured, and the law with them?

Every cell: 16 bodies of which every one of 300 simulated trajectories has four, 40 frames, 2-D; either with clean
velocities and accelerations or positions alone with noise of 1 % of a step between frames. Then learn_properties, which
is told the value of one body, and symbolic_reg without a network on what it wrote.

r1 r2                  the masses of gravity are unknown
charge superposition   the charges, of either sign, are unknown, masses known
kinds                  strengths of three kinds, one of them 0, by which bodies act on others but do not answer

values     every value within 2 % of the true one, or of a tenth of the typical one where that is more; the correlation
           with the true values; every sign; the number of kinds and who is of which
law        recovered: the true form, every constant within 2 %
intervals  how many of the nominal 95 % intervals hold the true value

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/bodies.json (--development: to outputs/)

example:  python benchmarks/bodies.py --seeds 930 --systems r2 --data clean --development
"""

import time
from dataclasses import replace
from itertools import product

import cell_files
import numpy as np
from masses_data import blocks_to_splits

import distill
from distill.files import records
from distill.files.dataset import load_dataset, save_dataset
from distill.files.kinds import LawRecord, LearntRecord
from distill.files.names import splines_name
from distill.files.provenance import provenance
from distill.formulas.equivalence import equivalence
from distill.physics.integrate import integrate
from distill.physics.law import law_of, law_of_system
from distill.physics.record import describe
from distill.physics.systems import SYSTEMS as TABLE
from distill.pipeline.degrade import degrade
from distill.report.markdown import markdown
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.statistics.rates import wilson
from distill.tracks.degrade import Worse

UNKNOWN = {"r1": "mass", "r2": "mass", "charge": "charge", "superposition": "charge", "kinds": "charge"}
CLEAN, NOISY = "clean", "noisy"
BODIES, TRAJECTORIES, FRAMES = 16, 300, 40
WITHIN = 0.02
STRENGTHS = (0.0, 1.0, 2.5)


def of_kinds(rng: np.random.Generator, n: int, dim: int) -> tuple:
    """Initial conditions as of every system, but equal masses and one of ``STRENGTHS`` as charge."""
    pos, vel = rng.standard_normal((2, n, dim))
    return pos, vel, np.ones(n), np.array(STRENGTHS)[rng.permutation(np.arange(n) % len(STRENGTHS))]


SYSTEMS = {name: TABLE[name] for name in UNKNOWN if name in TABLE}
SYSTEMS["kinds"] = replace(
    TABLE["non_reciprocal"], name="kinds", law="-q_j/(r + 0.1)", masses="unit", initial=of_kinds, summary="three kinds"
)


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of simulations, noise and fits")
    add("--systems", nargs="+", choices=UNKNOWN, default=list(UNKNOWN))
    add("--data", nargs="+", choices=(CLEAN, NOISY), default=[CLEAN, NOISY])
    cell_files.add_flags(parser)
    return cell_files.parse(parser, argv)


def simulated(system: str, seed: int) -> str:
    """The name of the clean dataset, which is written unless it is there."""
    name = f"bodies_{system}_s{seed}"
    path = paths.DATASETS / f"{name}.npz"
    if not path.is_file():
        of = SYSTEMS[system]
        arrays = integrate(of, 4, 2, TRAJECTORIES, FRAMES, 5, seed, dt=of.dt, bodies=BODIES)
        arrays["split"], report = blocks_to_splits(TRAJECTORIES), arrays.pop("report")
        about = provenance("simulate", {"seed": seed}, {}, 0.0) | {"system": describe(of), "report": report}
        save_dataset(path, arrays, about | {"n": 4, "dim": 2})
    return name


def given(system: str, seed: int, data: str) -> str:
    """The name of the dataset that values are learnt from."""
    name = simulated(system, seed)
    if data == CLEAN:
        return name
    degrade(name, Worse(velocities=False, accelerations=False, noise=0.01, seed=seed), name=f"{name}_noisy")
    return f"{name}_noisy"


def measured(system: str, seed: int, data: str) -> dict:
    """A cell: values and law, and how far they are from the true ones."""
    start, unknown, name = time.process_time(), UNKNOWN[system], given(system, seed, data)
    clean = load_dataset(simulated(system, seed))
    true = np.zeros(BODIES)
    true[clean.id] = clean.arrays[unknown]
    largest = int(np.abs(true).argmax())
    reference = {str(largest): float(true[largest])}
    distill.learn_properties(name, unknown=unknown, reference=reference, seed=seed, overwrite=True)
    learnt = time.process_time() - start
    found = records.load(LearntRecord, paths.OUTPUTS / f"{name}_learnt" / "properties.json")
    out = {"role": found.role, "window": found.window} | values(found, unknown, true, clean)
    if data == NOISY and unknown not in found.values:
        return out
    distill.search_law(dataset=f"{name}_learnt", rivals=(), seed=seed, overwrite=True)
    record = records.load(LawRecord, paths.OUTPUTS / splines_name(f"{name}_learnt") / "law.json")
    out |= law(record, SYSTEMS[system]) | {"trusted": record.data_verdict.trusted}
    return out | {"cpu_seconds": [round(learnt, 1), round(time.process_time() - start - learnt, 1)]}


def values(found: LearntRecord, unknown: str, true: np.ndarray, clean) -> dict:
    """Of the learnt values against the true ones, which are in the same scale by the body that was told."""
    if unknown not in found.values:
        missed = {"intervals": len(true) - 1, "inside": 0}  # none of them holds anything
        return {"values_right": False, "why": f"learnt as {', '.join(found.values)}"} | missed
    met = np.unique(clean.id)
    value = np.array([one.value for one in found.values[unknown]])
    half = np.array([np.inf if one.half_width is None else one.half_width for one in found.values[unknown]])
    own = true[met]
    off = np.abs(value - own) / np.maximum(np.abs(own), 0.1 * np.median(np.abs(own[own != 0])))
    fitted = half > 0
    out = {"largest_off": float(off.max()), "values_right": bool(off.max() <= WITHIN)}
    out |= {"correlation": float(np.corrcoef(value, own)[0, 1])}
    far = np.abs(own) > half
    out |= {"signs_right": bool((np.sign(value) == np.sign(own))[far].all())}
    out |= {"intervals": int(fitted.sum()), "inside": int((np.abs(value - own) <= half)[fitted].sum())}
    out |= {"kinds": None if found.kinds is None else int(max(found.kinds)) + 1}
    if found.kinds is not None:
        pairs = set(zip(own.tolist(), found.kinds, strict=True))
        out |= {"kinds_right": len(pairs) == len(set(own.tolist())) == len(set(found.kinds))}
    return out


def law(record: LawRecord, system) -> dict:
    """The law, and how it is related to the true one."""
    found, true = law_of(record), law_of_system(system, 2)
    rng = np.random.default_rng(5)
    some = {v: rng.lognormal(0, 0.7, 4000) for v in ("m_i", "m_j")} | {v: rng.normal(size=4000) for v in ("q_i", "q_j")}
    samples = {"in": some | {"r": rng.lognormal(0, 0.7, 4000)}}
    one = equivalence(found.pair, true.pair, samples)
    off = {"same": 0.0, "same up to a constant factor": abs((one["factor"] or 1.0) - 1)}.get(one["relation"])
    off = one["off"] or 0.0 if one["relation"] == "same functional form" else off
    alone = not found.node and not any(f != 0 for name, f in found.pair_functions.items() if name != "radial")
    recovered = bool(off is not None and off <= WITHIN and alone)
    return {"law": found.equation()["text"], "relation": one["text"], "off": off, "recovered": recovered}


def counted(rows: list[dict]) -> dict:
    """By data: laws recovered, cells whose values are all right, intervals that hold the truth, kinds."""
    out = {}
    for data in (CLEAN, NOISY):
        some = [r for r in rows if r["data"] == data]
        if not some:
            continue
        right = [bool(r.get("recovered")) for r in some]
        out[data] = {"laws": sum(right), "n": len(right), "interval": list(wilson(sum(right), [1] * len(right)))}
        out[data] |= {"signs": sum(bool(r.get("signs_right")) for r in some)}
        out[data] |= {"values": sum(bool(r.get("values_right")) for r in some)}
        out[data] |= {k: sum(r.get(k, 0) for r in some) for k in ("intervals", "inside")}
        out[data] |= {"kinds": sum(bool(r.get("kinds_right")) for r in some if r["system"] == "kinds")}
    return out


def table(rows: list[dict]) -> str:
    """System by system."""
    lines = []
    for system, data in product(UNKNOWN, (CLEAN, NOISY)):
        some = [r for r in rows if (r["system"], r["data"]) == (system, data)]
        if not some:
            continue
        off = [r["largest_off"] for r in some if r.get("largest_off") is not None]
        inside = f"{sum(r.get('inside', 0) for r in some)}/{sum(r.get('intervals', 0) for r in some)}"
        cpu = [sum(r["cpu_seconds"]) for r in some if "cpu_seconds" in r]
        lines.append(
            [
                system,
                data,
                UNKNOWN[system],
                f"{sum(bool(r.get('values_right')) for r in some)}/{len(some)}",
                f"{100 * max(off):.2g} %" if off else "-",
                str(sum("error" in r for r in some)),
                inside,
                f"{sum(bool(r.get('recovered')) for r in some)}/{len(some)}",
                f"{max(cpu):.0f}" if cpu else "-",
            ]
        )
    head = "system|data|unknown|values right|largest error|refused|intervals that hold the truth|law|CPU-s"
    return markdown(head.split("|"), lines)


def told(row: dict) -> str:
    return str({k: row.get(k) for k in ("role", "largest_off", "recovered", "law", "kinds", "cpu_seconds")})


CELLS = cell_files.Benchmark(
    "bodies",
    ("system", "seed", "data"),
    place=lambda row: (list(UNKNOWN).index(row["system"]), row["seed"], row["data"]),
    summary=lambda rows: {"counts": counted(rows), "table": table(rows)},
    told=told,
    failed={"intervals": BODIES - 1, "inside": 0},
)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    cells = {
        f"{system}_{data}_s{seed}": (system, seed, data)
        for system, seed, data in product(args.systems, args.seeds, args.data)
    }
    content = CELLS.run(cells, args)
    print(f"\n{content['table']}\n\n-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
