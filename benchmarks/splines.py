"""How well splines give the pair force without a network: writes results/splines.json, keeps what it holds.

For every system, dimension, seed and noise: splines fitted to the net forces of 40,000 graphs of the training split,
their force compared with the true one on the edges of 10 draws of test graphs, all edges counted. Datasets are those
of ``simulate.py``, made where they are not there. CPU seconds are of the fit, on one thread.

example:  python benchmarks/splines.py --seeds 910 911 912 --out /somewhere/else.json
"""

import time
from itertools import product
from pathlib import Path

import numpy as np
import sections
from scipy.optimize import curve_fit

import distill
from distill.files.dataset import Dataset, load_dataset
from distill.files.names import dataset_name
from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.fluid.lennard_jones import KJ_PER_MOL
from distill.messages.net_forces import net_force, nodes_of
from distill.messages.read_out import score_forces
from distill.pipeline.simulate import noisy
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.stage import Done, Stage, progress, run_script
from distill.shell.threads import set_threads
from distill.splines.fit import fit_pair_force
from distill.splines.observations import GRAPHS, observations

SYSTEMS = ("spring", "r1", "r2", "charge", "superposition", "damped")
DRAWS, TEST_GRAPHS, NOISE = 10, 10_000, 0.05
NOISES = {"none": (0.0, 0.0), "multiplied": (NOISE, 0.0), "added": (0.0, NOISE)}
BARS = {"none": 0.999, "multiplied": 0.99, "added": 0.99}  # of the smallest R2 of the draws
CPU_BAR = 10.0
KEY = ("system", "dim", "seed", "noise")


def fitted(dataset: Dataset, seed: int):
    """(splines, their description, CPU seconds of the fit, closest pair, nodes and edges fitted to)."""
    edges = observations(dataset, "train", GRAPHS, seed)
    start = time.process_time()
    nodes = nodes_of(edges)
    spline = fit_pair_force(edges, nodes, seed)
    return spline, spline.description(), time.process_time() - start, float(edges["r"].min())


def row(system: str, dim: int, seed: int, noise: str, quick: bool) -> dict:
    """Scores of one fit. ``noise``: of ``NOISES``; the truth that scores are against has none."""
    name = dataset_name(system, 4, dim, seed)
    if not (paths.DATASETS / f"{name}.npz").is_file():
        distill.simulate(system, dim=dim, seed=seed, quick=quick)
    dataset = load_dataset(name)
    clean, tests = dataset.acc, [observations(dataset, "test", TEST_GRAPHS, k) for k in range(DRAWS)]
    dataset.arrays["acc"] = noisy(clean, seed, *NOISES[noise])
    spline, said, cpu, closest = fitted(dataset, seed)
    scores = [score_forces(spline.force(test), test["force"]) for test in tests]
    return {
        **dict(zip(KEY, (system, dim, seed, noise), strict=True)),
        "r2_all": [s["r2_all"] for s in scores],
        "r2_all_min": min(s["r2_all"] for s in scores),
        "r2_trim90_min": min(s["r2_trim90"] for s in scores),
        "median_relative_error_max": max(s["median_relative_error"] for s in scores),
        "cpu_seconds": cpu,
        "edges": said["edges"],
        "edges_a_draw": int(np.mean([len(test["r"]) for test in tests])),
        "closest_training_pair": closest,
        "closest_test_pair": float(min(test["r"].min() for test in tests)),
        "held_out_error": spline.error,
        **{k: said[k] for k in ("dependence", "functions", "node_values", "intervals", "smoothness")},
    }


def argon(name: str, graphs: int, seed: int = 0) -> dict:
    """Net forces and constants of Lennard-Jones from the curve, on a dataset of argon."""
    dataset = load_dataset(name)
    spline, said, cpu, closest = fitted(dataset, seed)
    test = observations(dataset, "test", graphs, seed)
    nodes = nodes_of(test)
    error = np.abs(nodes.sum(spline.force(test)) - net_force(test, nodes))
    r = np.linspace(closest, float(dataset.cutoff), 2001)[:-1]
    ends = {v: np.full(len(r), float(dataset.properties[k].flat[0])) for k, v in (("mass", "m_i"), ("charge", "q_i"))}
    f = spline.radial_of({"r": r, **ends, "m_j": ends["m_i"], "q_j": ends["q_i"]})
    weight = 1 / (np.median(np.abs(f)) + np.abs(f))
    start = (r[np.argmax(f < 0)] / 2 ** (1 / 6), float(-f.min()))
    (sigma, epsilon), _ = curve_fit(_lennard_jones, r, f, start, sigma=1 / weight)
    epsilon /= KJ_PER_MOL
    true = dataset.meta.system.parameters
    return {
        "dataset": dataset.name,
        "net_force_mae": float(error.mean()),
        "mean_net_force": float(np.abs(net_force(test, nodes)).mean()),
        "receivers": len(error),
        "sigma": float(sigma),
        "epsilon": float(epsilon),
        "true": {k: true[k] for k in ("sigma", "epsilon") if k in true},
        "closest_training_pair": closest,
        "cpu_seconds": cpu,
        "edges": said["edges"],
        "intervals": said["intervals"],
        "units": "A, kJ/mol; net forces in the dataset's own, kJ/mol/nm for those of simulate.py",
    }


def _lennard_jones(r, sigma, epsilon):
    return 24 * epsilon / r * (2 * (sigma / r) ** 12 - (sigma / r) ** 6)


def summary(rows: list[dict]) -> dict:
    """By noise: fits, those in which all draws reach the bar, the worst of them, and the most CPU seconds."""
    out = {}
    for noise in NOISES:
        some = [r for r in rows if r["noise"] == noise]
        if some:
            out[noise] = {
                "fits": len(some),
                "datasets": len({tuple(r[k] for k in KEY[:3]) for r in some}),
                "bar": BARS[noise],
                "reach_bar": sum(r["r2_all_min"] >= BARS[noise] for r in some),
                "worst_r2_all": min(r["r2_all_min"] for r in some),
                "worst_r2_trim90": min(r["r2_trim90_min"] for r in some),
                "largest_median_relative_error": max(r["median_relative_error_max"] for r in some),
                "cpu_seconds_max": max(r["cpu_seconds"] for r in some),
                "within_cpu_bar": sum(r["cpu_seconds"] <= CPU_BAR for r in some),
            }
    return out


def main(argv=None) -> int:
    parser = Parser(__doc__, prog="benchmarks/splines.py")
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of the datasets and of the fits")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="force laws")
    add("--dims", type=int, nargs="+", choices=(2, 3), default=[2, 3], help="space dimensions")
    add(
        "--noises",
        nargs="+",
        choices=NOISES,
        default=list(NOISES),
        help=f"on the accelerations, {100 * NOISE:.0f} %% of each",
    )
    add("--argon", metavar="DATASET", help="a dataset of argon to fit as well")
    add("--argon-graphs", type=positive_int, default=40, help="its test frames")
    add("--out", type=Path, default=paths.ROOT / "results" / "splines.json", help="the file written")
    add("--overwrite", action="store_true", help="measure again what the file holds")
    add("--quick", action="store_true", help="tiny datasets where they have to be made: numbers mean nothing")
    args = parser.parse_args(argv)
    set_threads(1)
    stage = Stage("splines", " ".join(map(str, args.seeds)))
    old = load_json(args.out, "move it away") if args.out.is_file() and not args.overwrite else {}
    rows = {tuple(r[k] for k in KEY): r for r in old.get("rows", [])}
    content = {"benchmark": "splines", "hardware": hardware(), "rows": [], "summary": {}, "argon": old.get("argon")}
    wanted = [key for key in product(args.systems, args.dims, args.seeds, args.noises) if key not in rows]

    def save(start: float) -> None:
        content["rows"] = [rows[key] for key in sorted(rows)]
        content["summary"] = summary(content["rows"])
        save_json(args.out, content | {"provenance": sections.about("splines.py", args, start)})

    start = time.time()
    for key in progress(wanted, desc="splines", unit="fit"):
        made = provenance("splines", {}, {}, 0.0)["git"] | {"date": time.strftime("%Y-%m-%d")}
        rows[key] = row(*key, args.quick) | {"made": made}
        save(start)
    if args.argon:
        content["argon"] = argon(args.argon, args.argon_graphs)
    save(start)
    print(shown(stage, args.out, content), flush=True)
    return 0


def shown(stage: Stage, out: Path, content: dict) -> Done:
    numbers = {f"{k}_{name}": v[k] for name, v in content["summary"].items() for k in ("reach_bar", "fits")}
    return stage.done(out, **numbers)


if __name__ == "__main__":
    run_script(main)
