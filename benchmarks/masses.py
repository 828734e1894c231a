"""What is left of a network's knowledge in its read-out, and of gravity in the law, where masses span many decades.

gravity  the system r2 with masses log-uniform over four decades, 4 bodies in 2-D
solar    the Sun, eight planets and Pluto by JPL's ephemeris DE421 from 1900 to 2050, masses given: over eight decades
         (pip install jplephem de421)

reads   nothing, or the ephemeris
writes  datasets/masses_<kind>*.npz  model_weights/<run>/  outputs/<run>/  results/masses.json

example:  python benchmarks/masses.py gravity --seeds 1501 1502 1503

The law's own constant is compared with G: f r^2 / (m_i m_j) over the edges of the test split, their median and spread.
"""

import time

import numpy as np
import sections
from masses_data import ephemeris, gravitational_constant, gravity, solar_system

import distill
from distill.files import records
from distill.files.kinds import LawRecord, RunConfig
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir
from distill.files.properties import of_edges
from distill.formulas.objective import Objective
from distill.formulas.text import parse as parse_formula
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.statistics.metrics import acceleration_error

RESULTS = paths.ROOT / "results" / "masses.json"
TRAJECTORIES = 1000  # of gravity, 100 frames each
GRAPHS = 3000  # whose messages are read
# one frame of the planets has 90 edges, and they always move the same way round, so that velocities would tell all. The
# variants that pick components pick those of the few largest forces; a bottleneck has no others
TRAINING = {
    "gravity": {"variant": "l1"},
    "solar": {"variant": "bottleneck", "batch_size": 64, "velocities": False},
}


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("kind", choices=TRAINING, help="which bodies")
    parser.add_argument("--seeds", nargs="+", type=non_negative_int, required=True, help="of data and training")
    parser.add_argument("--variant", help="of the network (default: gravity l1, solar bottleneck)")
    parser.add_argument("--epochs", type=positive_int, help="for train.py (default: the recipe's)")
    parser.add_argument("--threads", type=positive_int, default=1, help="numerical threads")
    return parser.parse_args(argv)


def dataset_for(kind: str, seed: int) -> str:
    """Name of the dataset, which is written unless it is there."""
    name = "masses_solar" if kind == "solar" else f"masses_gravity_s{seed}"
    path = paths.DATASETS / f"{name}.npz"
    if not path.is_file():
        solar_system(path) if kind == "solar" else gravity(path, seed, TRAJECTORIES)
    return name


def row(kind: str, seed: int, args) -> dict:
    """One dataset through all stages."""
    start = time.process_time()
    asked = {name: getattr(args, name) for name in ("variant", "epochs") if getattr(args, name)}
    run = distill.train(dataset_for(kind, seed), seed=seed, **TRAINING[kind] | asked)[0].path.name
    distill.extract_messages(run, max_graphs=GRAPHS, seed=seed)
    distill.search_law(run, targets=("radial",), engine="operon", seed=seed)
    config = records.load(RunConfig, run_dir(run) / "config.json")
    law = records.load(LawRecord, paths.OUTPUTS / run / "law.json")
    found = errors(run, seed)
    found |= {"seed": seed, "run": run, "skill": vars(config.skill), "steps": config.steps, "n": config.n}
    found |= {"law": law.pair.text, "verdict": law.verdict.recovered, "network_cpu_seconds": config.cpu_seconds}
    return found | constant(run, law, kind) | {"cpu_seconds": round(time.process_time() - start, 1)}


def errors(run: str, seed: int) -> dict:
    """Errors of accelerations on the test split, by the network and by the read-out of its messages."""
    (train, meta), (test, _) = (load_messages(messages_path(run, split), run) for split in ("train", "test"))
    read = read_out.read_out(
        train, nodes_of(train), meta.antisymmetric, seed, doubted=meta.doubted, network=meta.network_error
    )
    nodes = nodes_of(test)
    mass, acc, predicted = (test[k][nodes.first].astype(float) for k in ("mass_i", "acc_i", "acc_pred_i"))
    force = read.force(test, nodes)
    explained = (nodes.sum(force) + read.node_force(test, nodes)) / mass[:, None]
    network, mixed = acceleration_error(predicted, acc), acceleration_error(explained, acc)
    found = {"network": network, "read_out": mixed, "ratio": mixed / network, "gauge": read.gauge, "why": read.why}
    # each body on its own scale: the Sun's acceleration is a thousandth of the typical one
    body, size = test["receiver"][nodes.first], np.linalg.norm(acc, axis=1)
    for name, values in (("network", predicted), ("read_out", explained)):
        off = np.linalg.norm(values - acc, axis=1) / size
        found[f"{name}_by_body"] = [float(np.median(off[body == k])) for k in np.unique(body)]
    return found | {"receivers": len(acc), "node_terms": list(read.node_terms)}


def constant(run: str, law: LawRecord, kind: str) -> dict:
    """G by the law over the edges of the test split, and how far it is from the true one."""
    test, _ = load_messages(messages_path(run, "test"), run)
    ends = of_edges(test)
    f = Objective(ends, np.zeros(len(ends["r"]))).values(parse_formula(law.pair.text, law.pair.variables))
    softening = 0.0 if kind == "solar" else 0.01
    local = -f * (ends["r"] + softening) ** 2 / (ends["m_i"] * ends["m_j"])
    true = 1.0
    if kind == "solar":
        true = gravitational_constant(ephemeris())
    off = np.abs(local / true - 1)
    return {
        "G": float(np.median(local)),
        "G_true": true,
        "G_off": float(np.median(off)),
        "G_off_most": float(off.max()),
    }


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    start = time.time()
    rows = [row(args.kind, seed, args) for seed in args.seeds]
    ratios, offs = [r["ratio"] for r in rows], [r["G_off_most"] for r in rows]
    content = sections.about("masses.py", args, start) | {"rows": rows, "training": TRAINING[args.kind]}
    content["bars"] = {"read-out at most 2 x the network": max(ratios) <= 2, "G to 1e-5": max(offs) <= 1e-5}
    sections.save(RESULTS, "masses", args.kind, content)
    shown = f"ratio {max(ratios):.3g}  G_off {max(offs):.3g}"
    print(f"masses  {args.kind}  rows {len(rows)}  {shown}  {time.time() - start:.1f} s  -> {relative(RESULTS)}")
    return 0


if __name__ == "__main__":
    run_script(main)
