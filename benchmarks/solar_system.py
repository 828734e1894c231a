"""The solar system from its tracks: masses and law found together, and fifty years foretold.

JPL's ephemeris DE421 (pip install jplephem de421): the Sun, eight planets (the Earth with the Moon) and Pluto. Nobody
tells the masses but that the Sun's is 1. From 1900 to 2000, each of

exact      accelerations, the ephemeris' own second derivatives, at 10,000 times
positions  nothing but positions, every four days
noisy      the same with normal noise of 1 km on every coordinate (seed: --seed)

learn_properties.py finds the masses, symbolic_reg.py the law in splines, with these masses. The laws and a network,
trained on the exact accelerations with the masses learnt from them, then go on alone from the state of 2000.

reads   the ephemeris
writes  datasets/solar_<data>*.npz  model_weights/<run>/  outputs/<dataset>*/  results/solar_system.json
        docs/solar_system.png

example:  python benchmarks/solar_system.py --seed 1801
"""

import time

import numpy as np
import sections
from masses_data import BODIES, YEAR, blocks_to_splits, ephemeris, gravitational_constant, states

import distill
from distill.files import records
from distill.files.dataset import load_dataset, save_dataset
from distill.files.kinds import LawRecord, LearntRecord
from distill.files.names import splines_name
from distill.files.provenance import provenance
from distill.files.storage import save_bytes
from distill.formulas.objective import Objective
from distill.formulas.text import parse as parse_formula
from distill.generalization.rollout import solve
from distill.network.evaluation import network_acceleration
from distill.network.weights import load_run
from distill.report import palette, plots
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

RESULTS = paths.ROOT / "results" / "solar_system.json"
START, END = 2415020.5, 2451544.5  # Julian dates: 1900, and 2000, where predictions begin
AHEAD = 50  # years
BLOCKS, FRAMES = 100, 100  # of the exact data
STEP = 4.0  # days between positions
KM = 1.0  # of noise
REFERENCE = {"sun": 1.0}
TRAINING = {"variant": "bottleneck", "batch_size": 64, "velocities": False}  # as masses.py, which says why
# arXiv 2202.02306, median errors of the masses in the runs that its authors published, in per cent
LEMOS = {
    "mercury": -97.0,
    "venus": -35.0,
    "earthmoon": -3.8,
    "mars": -97.0,
    "jupiter": 3.4,
    "saturn": 4.4,
    "uranus": 3.2,
    "neptune": 2.5,
}
TIGHT = 1e-11  # tolerance of the integration
SHOWN = 201  # times of the prediction


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--seed", type=non_negative_int, required=True, help="of noise, fits, search and training")
    parser.add_argument("--threads", type=int, default=1, help="numerical threads")
    return parser.parse_args(argv)


# ---------------------------------------------------------------- data


def exact(found, seed: int) -> str:
    """The name of the dataset of accelerations."""
    t = np.linspace(START, END, BLOCKS * FRAMES)
    whole = states(found, t)
    arrays = {k: whole[k].reshape(BLOCKS, FRAMES, len(BODIES), 3) for k in ("pos", "vel", "acc")}
    times = (t - t[0]) / YEAR
    arrays |= {"id": np.tile(np.arange(len(BODIES), dtype=np.int32), (BLOCKS, 1)), "t": times[:FRAMES]}
    arrays |= {"split": blocks_to_splits(BLOCKS), "mass": np.ones((BLOCKS, len(BODIES)))}
    about = provenance("simulate", {"seed": seed}, {}, 0.0) | {"bodies": list(BODIES), "n": len(BODIES), "dim": 3}
    about |= {"derived": {"mass": "equal ones"}, "system": {"summary": "the solar system by JPL's ephemeris DE421"}}
    save_dataset(paths.DATASETS / "solar_exact.npz", arrays, about)
    return "solar_exact"


def positions(found, seed: int, km: float, name: str) -> str:
    """The name of the dataset made from a table of positions alone, as a stranger would import it."""
    t = np.arange(START, END, STEP)
    pos = states(found, t)["pos"]
    pos = pos + km / found.AU * np.random.default_rng([seed, 5]).standard_normal(pos.shape)
    table = paths.OUTPUTS / f"{name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    years = (t - t[0]) / YEAR
    with open(table, "w", encoding="utf-8") as file:
        file.write("body,t,x,y,z\n")
        for when, places in zip(years, pos, strict=True):
            file.writelines(
                f"{body},{when:.12g},{x:.15g},{y:.15g},{z:.15g}\n"
                for body, (x, y, z) in zip(BODIES, places, strict=True)
            )
    distill.import_tracks(table, name=name, overwrite=True)
    table.unlink()
    return name


# ---------------------------------------------------------------- what is found


def masses(name: str, true: dict) -> dict:
    """Of every body: value, interval, how far it is from the ephemeris' own, and whether the interval holds that."""
    record = records.load(LearntRecord, paths.OUTPUTS / f"{name}_learnt" / "properties.json")
    out = {}
    for one in record.values["mass"]:
        half = one.half_width
        out[one.body] = {
            "value": one.value,
            "half_width": half,
            "true": true[one.body],
            "off": one.value / true[one.body] - 1,
            "determined": one.determined,
            "inside": half is None or bool(abs(one.value - true[one.body]) <= half) or one.body in REFERENCE,
        }
    return {"masses": out, "role": record.role, "window": record.window, "error": record.error}


def law_of(name: str) -> dict:
    """The law, its exponent where bodies are (least and largest of - d log f / d log r), its G, and the verdict."""
    law = records.load(LawRecord, paths.OUTPUTS / splines_name(f"{name}_learnt") / "law.json")
    r = np.geomspace(0.3, 40, 200)
    tree = parse_formula(law.pair.text, law.pair.variables)

    def f(r):
        ends = {"r": r} | {v: np.ones(len(r)) for v in law.pair.variables if v != "r"}
        return Objective(ends, np.zeros(len(r))).values(tree)

    h = 1e-5
    slope = -(np.log(np.abs(f(r * (1 + h)))) - np.log(np.abs(f(r * (1 - h))))) / (np.log1p(h) - np.log1p(-h))
    found = {"law": law.pair.text, "node": law.node.text, "exponent": [float(slope.min()), float(slope.max())]}
    found |= {"G": float(np.median(-f(r) * r**2)), "trusted": law.data_verdict.trusted}
    return found


def acceleration_by(name: str):
    """(pos, vel) -> acceleration [body, 3] by the law that ``symbolic_reg.py`` exported, with the learnt masses."""
    import importlib.util

    file = paths.OUTPUTS / splines_name(f"{name}_learnt") / "law.py"
    spec = importlib.util.spec_from_file_location(f"law_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    order, mass = _order(name)
    back = np.argsort(order)
    return lambda pos, vel: module.acceleration(pos[order], vel[order], 0.0, mass=mass)[back]


def _order(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(number in ``BODIES`` of every particle of the dataset, their learnt masses)."""
    data = load_dataset(f"{name}_learnt")
    names = [data.meta.bodies[k] for k in data.id[0]]
    return np.array([list(BODIES).index(body) for body in names]), data.mass[0]


def network_of(seed: int):
    """(pos, vel) -> acceleration by a network, its run, and its error on trajectories left out."""
    done = distill.train("solar_exact_learnt", seed=seed, overwrite=True, **TRAINING)[0]
    model, config = load_run(done.path.name)
    data = load_dataset("solar_exact_learnt")
    function = network_acceleration(model, data, double=True)
    properties = {k: v[:1] for k, v in data.properties.items()}
    return lambda pos, vel: function(pos[None], vel[None], properties)[0], done.path.name, config.skill.network


def ahead(found, ways: dict) -> dict:
    """Distances from the ephemeris in AU [time, body] of what each of ``ways`` foretells from its state at ``END``."""
    days = np.linspace(0, AHEAD * YEAR, SHOWN)
    true = states(found, END + days)
    years, n = days / YEAR, len(BODIES)
    start = np.concatenate([true["pos"][0].ravel(), true["vel"][0].ravel()])[None]
    out = {}
    for name, function in ways.items():

        def rhs(y, lanes, function=function):
            pos, vel = y[0, : 3 * n].reshape(n, 3), y[0, 3 * n :].reshape(n, 3)
            return np.concatenate([vel.ravel(), function(pos, vel).ravel()])[None]

        tolerance = 1e-7 if name == "network" else TIGHT
        path = solve(rhs, start, years, tolerance, tolerance, max_steps=200_000, seconds=900.0)
        off = path.y[0, :, : 3 * n].reshape(-1, n, 3) - true["pos"]
        out[name] = {"off": np.linalg.norm(off, axis=2), "failed": path.failed[0]}
    return {"years": years, "ways": out}


def errors_ahead(told: dict) -> dict:
    """Root mean square distance from the ephemeris over the years ahead, and the last one, AU, of every body."""
    out = {}
    for name, one in told["ways"].items():
        off = one["off"]
        rms = np.sqrt(np.mean(off**2, axis=0))
        out[name] = {"failed": one["failed"]}
        out[name] |= {
            "rms": dict(zip(BODIES, rms.tolist(), strict=True)),
            "last": dict(zip(BODIES, off[-1].tolist(), strict=True)),
        }
    return out


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    start, found = time.time(), ephemeris()
    gm = {body: getattr(found, name) for body, name in BODIES.items()}
    true = {body: value / gm["sun"] for body, value in gm.items()}
    made = {"exact": lambda: exact(found, args.seed)}
    made["positions"] = lambda: positions(found, args.seed, 0.0, "solar_positions")
    made["noisy"] = lambda: positions(found, args.seed, KM, "solar_noisy")
    rows, ways = {}, {}
    for data, make in made.items():
        begun, cpu = time.time(), time.process_time()
        name = make()
        distill.learn_properties(name, reference=REFERENCE, seed=args.seed, overwrite=True)
        distill.search_law(dataset=f"{name}_learnt", rivals=(), seed=args.seed, overwrite=True)
        rows[data] = masses(name, true) | law_of(name)
        rows[data] |= {"seconds": time.time() - begun, "cpu_seconds": time.process_time() - cpu}
        ways[f"law, {data}"] = acceleration_by(name)
        print(f"{data}: {rows[data]['law']}  {rows[data]['seconds']:.0f} s", flush=True)
    ways["network"], run, skill = network_of(args.seed)
    told = ahead(found, ways)
    content = sections.about("solar_system.py", args, start) | {"rows": rows, "G_true": gravitational_constant(found)}
    content |= {"lemos_off_percent": LEMOS, "ahead": errors_ahead(told), "years": AHEAD, "network": run}
    content |= {"network_error": skill}
    sections.save(RESULTS, "solar_system", "de421", content)
    save_bytes(paths.ROOT / "docs" / "solar_system.png", plots.save_bytes(figure(rows, told)))
    print(f"solar_system  {time.time() - start:.1f} s  -> {relative(RESULTS)}")
    return 0


@plots.styled
def figure(rows: dict, told: dict):
    """Errors of the masses by the data they were learnt from, beside Lemos et al., and of what is foretold."""
    figure = plots.Figure(figsize=(11.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    bodies = [body for body in BODIES if body not in ("sun",)]
    at = np.arange(len(bodies))
    colours = {"exact": palette.INK, "positions": palette.SOFT, "noisy": palette.ACCENT}
    for k, (data, row) in enumerate(rows.items()):
        off = np.array([abs(row["masses"][body]["off"]) for body in bodies])
        sure = np.array([row["masses"][body]["determined"] for body in bodies])
        place = at + 0.18 * (k - 1)
        left.plot(place[sure], off[sure], "o", ms=5, color=colours[data], label=data)
        left.plot(place[~sure], off[~sure], "o", ms=5, mfc="none", color=colours[data])
    known = [k for k, body in enumerate(bodies) if body in LEMOS]
    lemos = [abs(LEMOS[bodies[k]]) / 100 for k in known]
    left.plot(known, lemos, "_", ms=14, mew=2, color="#e09f3e", label="arXiv 2202.02306")
    left.set(yscale="log", ylabel="relative error of the mass", title="masses (open: not determined)")
    left.set_xticks(at, bodies, rotation=45, ha="right", fontsize=8)
    left.legend(fontsize=8)
    shown = {"law, exact": palette.INK, "law, noisy": palette.ACCENT, "network": "#e09f3e"}
    for name, colour in shown.items():
        for k, body in enumerate(BODIES):
            if body in ("mercury", "earthmoon", "jupiter", "neptune"):
                style = {"mercury": "-", "earthmoon": "--", "jupiter": "-.", "neptune": ":"}[body]
                off = told["ways"][name]["off"][1:, k]
                right.plot(told["years"][1:], off, style, lw=1.3, color=colour, label=f"{name}: {body}")
    right.set(yscale="log", xlabel="years after 2000", ylabel="distance from the ephemeris, AU", title="foretold")
    right.legend(fontsize=6.5, ncols=3, loc="lower right")
    return figure


if __name__ == "__main__":
    run_script(main)
