"""A dusty plasma of which one film is known: masses, charges, wakes, trap and friction of 15 unequal grains.

Forces and film are those of ``dusty_data.py``: screened repulsion, wakes that do not obey the third law, an anisotropic
trap, friction and gravity. learn_properties.py is told nothing but where the grains were (--data exact: their
accelerations), symbolic_reg.py searches the law with the masses and charges that it wrote, these are fitted once more
with the law, and the law is searched once more with them.

masses     against the true ones, in the scale of their geometric mean, by splines and with the law; the same of charges
force      R^2 of the pair force of the law's formula, wakes included, with the true one on all pairs of every twentieth
           frame of the test split: as accelerations of grains, which do not know the scale of masses and charges
law        screening length, trap and friction, from the law found

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/dusty_plasma.json (--development: to outputs/)

example:  python benchmarks/dusty_plasma.py --seeds 930 --data noisy --development
"""

from itertools import product

import cell_files
import numpy as np
from dusty_data import GRAINS, Plasma, film, grains, save_exact, start
from scipy.optimize import minimize_scalar
from tracks import cpu_timed

import distill
from distill.files import records
from distill.files.dataset import load_dataset
from distill.files.kinds import LawRecord, LearntRecord
from distill.files.names import splines_name
from distill.identities.with_law import properties_in
from distill.physics.law import law_of
from distill.physics.terms import Pairs
from distill.physics.terms.values import About
from distill.report.markdown import markdown
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import run_script

EXACT, NOISY = "exact", "noisy"
FRAMES, DT, STEPS, BLOCKS = 6000, 0.05, 10, 30
SETTLED = 400  # frames that are not filmed
NOISE = 0.01  # of the median step between frames
BARS = {"force_r2": 0.99, "screening": 0.03, "masses": 0.05, "drag": 0.03, "trap": 0.03}


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of grains, noise and fits")
    add("--data", nargs="+", choices=(EXACT, NOISY), default=[NOISY])
    cell_files.add_flags(parser, 5400)
    return cell_files.parse(parser, argv)


def given(data: str, seed: int) -> str:
    """The name of the dataset that is learnt from, which is written anew."""
    plasma, (mass, charge) = Plasma(), grains(seed)
    pos, vel = film(plasma, mass, charge, *start(seed), FRAMES + SETTLED, DT, STEPS)
    pos, vel, t = pos[SETTLED:], vel[SETTLED:], DT * np.arange(FRAMES)
    name = f"dusty_{data}_s{seed}"
    if data == EXACT:
        acc = np.array([plasma.acceleration(x, v, mass, charge) for x, v in zip(pos, vel, strict=True)])
        save_exact(paths.DATASETS / f"{name}.npz", pos, vel, acc, t, BLOCKS, seed)
        return name
    noise = NOISE * np.median(np.linalg.norm(np.diff(pos, axis=0), axis=-1))
    seen = pos + noise * np.random.default_rng([seed, 3]).standard_normal(pos.shape)
    table = paths.OUTPUTS / f"{name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", encoding="utf-8") as file:
        file.write("id,t,x,y,z\n")
        for when, places in zip(t, seen, strict=True):
            file.writelines(f"g{k},{when:.10g},{x:.12g},{y:.12g},{z:.12g}\n" for k, (x, y, z) in enumerate(places))
    distill.import_tracks(table, name=name, overwrite=True)
    table.unlink()
    return name


def measured(data: str, seed: int) -> dict:
    """A cell."""
    name, seconds = given(data, seed), {}
    cpu_timed(seconds, "learn", distill.learn_properties, name, unknown="mass", seed=seed, overwrite=True)
    found = records.load(LearntRecord, paths.OUTPUTS / f"{name}_learnt" / "properties.json")
    out = {"role": found.role, "window": found.window, "beside": [one.name for one in found.beside]}
    out |= values(found, seed) | {"cpu_seconds": seconds}
    if "mass" not in found.values:
        return out
    record = searched(f"{name}_learnt", seed, seconds, "law")
    out |= law(record, f"{name}_learnt", seed) | {"trusted": record.data_verdict.trusted}
    taken = {"mass", "charge"} <= set(found.values) and "charge" in properties_in(law_of(record))
    if taken:
        how = {"unknown": "mass", "law": splines_name(f"{name}_learnt"), "seed": seed, "overwrite": True}
        cpu_timed(seconds, "learn_with_law", distill.learn_properties, name, **how)
        again = records.load(LearntRecord, paths.OUTPUTS / f"{name}_refitted" / "properties.json")
        out |= {f"{key}_by_splines": value for key, value in values(found, seed).items() if key != "grains"}
        out |= values(again, seed) | {"with_law": again.law.equation, "law_taken": again.law.taken}
        if again.law.taken:
            out["first_law"] = out["law"]
            record = searched(f"{name}_refitted", seed, seconds, "law_again")
            out |= law(record, f"{name}_refitted", seed) | {"trusted": record.data_verdict.trusted}
    return out | {"refitted": taken}


def searched(dataset: str, seed: int, seconds: dict, what: str) -> LawRecord:
    cpu_timed(seconds, what, distill.search_law, dataset=dataset, rivals=(), seed=seed, overwrite=True)
    return records.load(LawRecord, paths.OUTPUTS / splines_name(dataset) / "law.json")


def values(found: LearntRecord, seed: int) -> dict:
    """Largest relative error of masses and charges, and how many nominal 95 % intervals hold the truth."""
    out = {}
    for name, true in zip(("mass", "charge"), grains(seed), strict=True):
        if name not in found.values:
            continue
        order = [int(one.body.strip("g")) for one in found.values[name]]
        value = np.array([one.value for one in found.values[name]])
        half = np.array([np.inf if one.half_width is None else one.half_width for one in found.values[name]])
        true = true[order] / np.exp(np.mean(np.log(true)))
        out |= {
            f"{name}_off": float(np.abs(value / true - 1).max()),
            f"{name}_inside": int((abs(value - true) <= half).sum()),
        }
    return out | {"grains": GRAINS}


def law(record: LawRecord, name: str, seed: int) -> dict:
    """What the law says of the pair force, the screening length, the trap and friction. Its masses and charges are in a
    scale of their own: what is compared are accelerations of a grain, which do not know it.
    """
    found, plasma, (mass, charge) = law_of(record), Plasma(), grains(seed)
    data = load_dataset(name)
    order = [int(data.meta.bodies[k].strip("g")) for k in data.id[0]]
    mass, charge = mass[order], charge[order]
    own = {"mass": data.mass[0], "charge": data.charge[0]}
    frames = data.pos[data.trajectories("test")].reshape(-1, GRAINS, 3)[::20]
    i, j = np.nonzero(~np.eye(GRAINS, dtype=bool))
    true, told = [], []
    for pos in frames:
        dx = pos[i] - pos[j]
        ends = {"m_i": own["mass"][i], "m_j": own["mass"][j], "q_i": own["charge"][i], "q_j": own["charge"][j]}
        pairs = Pairs(dx, np.linalg.norm(dx, axis=1), ends)
        told.append(found.pair_force(pairs) / own["mass"][i][:, None])
        true.append(plasma.pair_forces(pos, charge)[i, j] / mass[i][:, None])
    true, told = np.concatenate(true), np.concatenate(told)
    out = {"law": found.equation()["text"], "force_r2": float(1 - ((told - true) ** 2).sum() / (true**2).sum())}
    r = np.linspace(0.6, 3.0, 25)
    alike = {v: np.ones(len(r)) for v in found.variables if v != "r"}
    out |= {"screening": screening(r, found.radial(r, **alike))}
    out |= {"screening_off": abs(out["screening"] / plasma.screening - 1)} if out["screening"] else {}
    if (wake := found.pairs.get("displaced")) is not None and isinstance(wake, About):
        out["displaced"] = list(wake.centre)
    return out | alone(found, plasma, own, mass, charge)


def screening(r: np.ndarray, f: np.ndarray) -> float | None:
    """The length of the screened force that is closest to ``f`` in relative squares, whatever its strength."""
    if not (np.isfinite(f).all() and (f != 0).all()):
        return None

    def spread(log_length: float) -> float:
        ratio = f / Plasma(screening=float(np.exp(log_length))).yukawa(r)
        return float(ratio.std() / np.abs(ratio.mean()))

    grid = np.linspace(np.log(0.2), np.log(5), 200)
    best = int(np.clip(np.argmin([spread(x) for x in grid]), 1, len(grid) - 2))
    found = minimize_scalar(spread, bounds=grid[[best - 1, best + 1]], method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def alone(found, plasma: Plasma, own: dict, mass, charge) -> dict:
    """Largest relative errors of the trap (its slope at the centre, by axis) and of friction, as accelerations of each
    grain, medians over grains.
    """

    def acceleration(pos, vel):
        state = found.node_force(_state(pos, vel, own))
        return state / own["mass"][:, None]

    zero, h = np.zeros((GRAINS, 3)), 0.1
    moving = zero + h  # friction is the same at both places, and a formula of it may have no value at rest
    slopes, rates = [], []
    for k in range(3):
        step = zero + h * np.eye(3)[k]
        slopes.append((acceleration(step, moving) - acceleration(-step, moving))[:, k] / (2 * h))
        rates.append((acceleration(zero, step) - acceleration(zero, -step))[:, k] / (2 * h))
    trap = np.array(slopes) / (-np.array(plasma.trap)[:, None] * charge / mass)
    drag = np.array(rates) / (-plasma.drag / mass)
    worst = np.median(trap, axis=1)
    out = {"trap_off": float(np.abs(worst - 1).max()), "trap": worst.tolist()}
    return out | {"drag_off": float(abs(np.median(drag) - 1))}


def _state(pos, vel, own):
    from distill.physics.terms import State

    return State(vel, own, pos)


def bars(row: dict) -> dict:
    """Which of the bars are met."""
    keys = {"screening": "screening_off", "masses": "mass_off", "drag": "drag_off", "trap": "trap_off"}
    met = {bar: row.get(key) is not None and row[key] <= BARS[bar] for bar, key in keys.items()}
    return met | {"force_r2": row.get("force_r2") is not None and row["force_r2"] >= BARS["force_r2"]}


def table(rows: list[dict]) -> str:
    def percent(row, key):
        return f"{100 * row[key]:.2g} %" if row.get(key) is not None else "-"

    def inside(row, which):
        keys = [key for k in ("mass", "charge") if (key := f"{k}_inside{which}") in row]
        return f"{sum(row[key] for key in keys)}/{row.get('grains', 0) * len(keys)}"

    lines = []
    for row in rows:
        r2 = f"{row['force_r2']:.4f}" if row.get("force_r2") is not None else "-"
        taken = row.get("law_taken", False)
        keys = ("mass_off_by_splines", "mass_off", "charge_off", "screening_off", "trap_off", "drag_off")
        told = [percent(row, k) if taken or k not in ("mass_off", "charge_off") else "not taken" for k in keys]
        held = [inside(row, "_by_splines"), inside(row, "") if taken else "not taken"]
        cpu = f"{sum(row['cpu_seconds'].values()):.0f}" if "cpu_seconds" in row else "-"
        trusted = "yes" if row.get("trusted") else "no"
        lines.append([row["data"], str(row["seed"]), r2, *told, *held, trusted, cpu])
    head = "data|seed|R² of the pair force|masses by splines|masses, with the law|charges, with the law"
    head += "|screening length|trap|friction|intervals that hold the truth, splines|with the law|law trusted|CPU-s"
    return markdown(head.split("|"), lines)


CELLS = cell_files.Benchmark(
    "dusty_plasma",
    ("data", "seed"),
    place=lambda row: (row["data"], row["seed"]),
    summary=lambda rows: {"bars": BARS, "met": [bars(row) for row in rows], "table": table(rows)},
    told=lambda row: str(
        {k: row.get(k) for k in ("role", "mass_off", "force_r2", "screening_off", "law", "cpu_seconds")}
    ),
)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    cells = {f"{data}_s{seed}": (data, seed) for data, seed in product(args.data, args.seeds)}
    content = CELLS.run(cells, args)
    print(f"\n{content['table']}\n\n-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
