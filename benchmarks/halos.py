"""Haloes of dark matter: boxes, networks, laws, formulas and baselines, cell by cell.

reads   nothing, or what an interrupted call left behind: cells that are done are found done
writes  outputs/halos/ (boxes, cells, the report), datasets, networks and messages where they usually lie, and
        results/halos.json

example:  python benchmarks/halos.py --train 2101:2121 --test 2121:2126 --planted 2101 2102 2103

One call makes and measures all of it: a box of dark matter for every seed (own particle-mesh boxes, not Quijote); of
all boxes with these seeds a dataset, in which a network of each recipe is trained for every rule by which haloes are
held out; from its messages a law; beside them the formulas of Cranmer et al. 2020 with constants fitted to the same
haloes, least squares on sums over neighbours and splines. Planted catalogues have a known law, and a verdict.
"""

import hashlib
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from cell_files import DEVELOPMENT, Benchmark, Prerequisite, add_flags, file_of

import distill
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_name
from distill.files.storage import atomic, save_text
from distill.halos import baselines, distil, study
from distill.halos.catalogue import CUTOFF, Catalogue, dataset_arrays, of_particles
from distill.halos.keeping import keep_dataset
from distill.halos.particles.box import Box, deposit, simulate, spectrum
from distill.halos.particles.finding import LEAST
from distill.halos.planted import Law, planted
from distill.halos.published import FORMULAS, refitted
from distill.halos.sums import SumLaw, Units
from distill.halos.told.page import report
from distill.halos.told.tables import by_setting, shown
from distill.halos.verdict import verdict
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

RECIPES = ("newton", "paper")
FEWEST = 10  # particles of the haloes of a box that are kept: about twice as many as of ``LEAST``
SAFE = 0.3  # of the Nyquist frequency: up to there the power spectrum is compared
REMOVE = "remove it with its networks and messages: their haloes are not those of the boxes"
MOST_MASS, MASS_BINS = 3e15, 10  # Msun/h, of the mass function
PLANTED = dict(haloes=1200, side=150.0, cutoff=37.5)
PLANTED_LAW = Law(c3=3.0)
PLANTED_BOXES, PLANTED_SEEDS = 8, 1000
FIELDS = {name: ((("halo",) if name not in ("pos", "vel") else ("halo", "dim")), "f", True) for name in
          ("pos", "vel", "mass", "delta")}  # fmt: skip


# ---------------------------------------------------------------- what cells measure


def measured(kind: str, name: str, recipe: str, hold: str, setting: str) -> dict:
    """A row's numbers; ``setting``: JSON of what all cells of a call have in common."""
    measure = {"box": of_box, "planted": of_planted, "network": of_network, "formulas": of_formulas, "step": of_step}
    return measure[kind](name=name, recipe=recipe, hold=hold, **json.loads(setting))


def box_path(seed: int, setting_box: dict) -> Path:
    return paths.OUTPUTS / "halos" / "boxes" / f"{setting_box['particles']}_{setting_box['side']:g}_{seed}.npz"


def of_box(name, box, **_) -> dict:
    """Simulate a box and find its haloes; the power spectrum and the mass function beside theory."""
    start, cpu = time.time(), time.process_time()
    which = Box(seed=int(name), **box)
    particles = simulate(which)
    simulated = time.time() - start
    catalogue = of_particles(which, particles, least=FEWEST)
    path = box_path(which.seed, box)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        np.savez(file, side=np.asarray(which.side), **{k: getattr(catalogue, k) for k in FIELDS})
    seconds, cpu = time.time() - start, time.process_time() - cpu
    k, power = spectrum(deposit(particles.pos, which.side, 2 * which.particles), which.side, 2)
    theory = which.cosmology
    own = k[: len(particles.linear[1])]
    # the modes of this very box, and not their mean over boxes, are what grows
    this = particles.linear[1] / theory.linear_power(particles.linear[0])
    ratio = power[: len(own)] / theory.nonlinear_power(own)
    safe = own < SAFE * which.nyquist
    edges = mass_edges(which.mass)
    mass = catalogue.mass * 1e14
    middle = np.sqrt(edges[1:] * edges[:-1])
    expected = theory.mass_function(middle) * which.side**3 * np.log(edges[1:] / edges[:-1])
    usual = catalogue.of(mass >= (LEAST - 0.5) * which.mass)
    return {
        "seconds": seconds,
        "seconds_simulation": simulated,
        "cpu_seconds": cpu,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "haloes": len(usual),
        "haloes_kept": len(catalogue),
        "delta": {"mean": float(usual.delta.mean()), "std": float(usual.delta.std()),
                  "above_1": float((usual.delta > 1).mean())},
        "spectrum": {"k": own[safe], "power": power[: len(own)][safe], "theory": theory.nonlinear_power(own[safe]),
                     "linear": theory.linear_power(own[safe]), "own_modes": this[safe]},
        "power_off": {"largest": float(np.abs(ratio / this - 1)[safe].max()),
                      "median": float(np.median(np.abs(ratio / this - 1)[safe])),
                      "mean": float((ratio / this - 1)[safe].mean())},
        "mass_function": {"mass": middle, "found": np.histogram(mass, edges)[0], "theory": expected},
    }  # fmt: skip


def mass_edges(particle: float) -> np.ndarray:
    """Edges of bins of halo mass, between the masses of whole numbers of particles of mass ``particle``: those of the
    least haloes are the most numerous, and no rounding may put them outside.
    """
    counts = np.rint(np.geomspace(LEAST, max(MOST_MASS / particle, 2 * LEAST), MASS_BINS + 1))
    return (np.unique(counts) - 0.5) * particle


def read_box(seed: int, box: dict, least: int = LEAST) -> Catalogue:
    path = box_path(seed, box)
    if not path.is_file():
        raise Prerequisite(f"box {seed} was not made", "the same command again makes it")
    with np.load(path, allow_pickle=False) as file:
        whole = Catalogue(float(file["side"]), *(file[k] for k in FIELDS))
    return whole.of(whole.mass * 1e14 >= (least - 0.5) * Box(**box).mass)


def boxes_of(seeds, box, least: int = LEAST) -> list[Catalogue]:
    return [read_box(k, box, least) for k in seeds]


def dataset_of(hold: str, train, valid, box, label: str) -> str:
    """Name of the dataset of these boxes, made if it is not there."""
    learnt = boxes_of([*train, *valid], box)
    limit = study.limit_of(hold, learnt[: len(train)])
    name = f"halos_{label}_{study.HOLDS.index(hold)}"
    split = [0] * len(train) + [1] * len(valid)
    arrays = dataset_arrays(learnt, split, CUTOFF, study.masks(learnt, limit) if np.isfinite(limit) else None)
    keep_dataset(name, arrays, {"hold": hold}, Stage("halos", name), fix=REMOVE)
    return name


def trained(dataset: str, recipe: str, seed: int, flags: dict):
    """(run, Done) of a network of the l1 variant, and the messages of its training boxes."""
    run = run_name(dataset, "l1", recipe, seed)
    folder = paths.MODEL_WEIGHTS / run
    resume = (folder / "checkpoint.safetensors").is_file()
    done = distill.train(dataset, variant="l1", recipe=recipe, seed=seed, resume=resume, **flags)[0]
    distill.extract_messages(run, split="train")
    return run, done


def of_network(name, recipe, hold, box, train, valid, test, label, flags, seed, **_) -> dict:
    """A network trained, its messages searched, the law refitted; errors of both."""
    from distill.halos.network import network_delta
    from distill.network.weights import load_run

    start = time.time()
    dataset = dataset_of(hold, train, valid, box, label)
    run, done = trained(dataset, recipe, seed, flags.get(recipe, {}))
    learnt, fresh, dense = boxes_of(train, box), boxes_of(test, box), boxes_of(test, box, FEWEST)
    limit = study.limit_of(hold, learnt)
    sets = study.sets_of(fresh, dense, limit)
    model, config = load_run(run)
    out = {"run": run, "seconds_training": time.time() - start, "cpu_seconds": config.cpu_seconds}
    out |= {"steps": config.steps, "edges_a_frame": config.edges_a_frame}
    out["network"] = study.judged(lambda b: network_delta(model, b, CUTOFF), sets)
    units = Units.of(learnt, CUTOFF)
    arrays, _ = load_messages(messages_path(run, "train"), run, target=True)
    seen = study.masks(learnt, limit)
    for key, steps in (("law", True), ("law_without_steps", False)):
        found = distil.from_messages(arrays, learnt, CUTOFF, units, seed, steps, masks=seen)
        out[key] = told(found, units) | {
            "errors": study.judged(study.by_law(found.law, CUTOFF, units), sets),
            "errors_before": study.judged(study.by_law(found.before, CUTOFF, units), sets),
        }
    size = arrays["message"].astype(float).std(0)
    out["components"] = {"live": out["law"]["live"], "relaxed_to": int(arrays["active"].sum()),
                         "sizes": np.sort(size)[::-1][:5] / (size.max() or 1.0)}  # fmt: skip
    return out | {"limit": limit if np.isfinite(limit) else None, "seconds": time.time() - start}


def told(found: distil.Found, units: Units) -> dict:
    return {
        "texts": units.in_data(found.law).texts,
        "texts_before": units.in_data(found.before).texts,
        "complexity": found.law.complexity,
        "live": found.live,
        "r2_message": found.r2,
        "tried": found.tried,
    }


def of_formulas(name, hold, box, train, test, seed, **_) -> dict:
    """The formulas of the paper refitted, and the baselines."""
    learnt, fresh, dense = boxes_of(train, box), boxes_of(test, box), boxes_of(test, box, FEWEST)
    units, limit = Units.of(learnt, CUTOFF), study.limit_of(hold, learnt)
    sets = study.sets_of(fresh, dense, limit)
    rows = study.rows_to_fit(learnt, CUTOFF, units, study.masks(learnt, limit), seed)
    out = {}
    for formula in FORMULAS:
        law = refitted(formula, rows, units)
        out[formula.name] = {"texts": units.in_data(law).texts, "complexity": law.complexity}
        out[formula.name]["errors"] = study.judged(study.by_law(law, CUTOFF, units), sets)
    for kind in (baselines.neighbour_sums, baselines.spline_kernel):
        found = kind(CUTOFF / units.length).fit(rows)
        out[found.name] = {"errors": study.judged(study.by_rows(found.predicted, CUTOFF, units), sets)}
    return {"formulas": out, "limit": limit if np.isfinite(limit) else None}


def of_planted(name, recipe, flags, label, **_) -> dict:
    """A planted catalogue, a network trained on it, and whether its law came out."""
    start, seed = time.time(), int(name)
    made = [planted(PLANTED_SEEDS * seed + k, law=PLANTED_LAW, **PLANTED) for k in range(PLANTED_BOXES + 4)]
    learnt, fresh = [c for c, _ in made[:PLANTED_BOXES]], made[PLANTED_BOXES + 2 :]
    dataset, cutoff = f"halos_planted_{label}_{seed}", PLANTED["cutoff"]
    split = [0] * PLANTED_BOXES + [1] * 2
    arrays = dataset_arrays([c for c, _ in made[: PLANTED_BOXES + 2]], split, cutoff)
    keep_dataset(dataset, arrays, {"seed": seed}, Stage("halos", dataset), fix=REMOVE)
    run, _ = trained(dataset, recipe, seed, flags.get(recipe, {}))
    units = Units.of(learnt, cutoff)
    arrays, about = load_messages(messages_path(run, "train"), run, target=True)
    truth = units.scaled(SumLaw.of(*PLANTED_LAW.texts))
    out = {"run": run, "truth": units.in_data(truth).texts, "mae_network": about.mae}
    for key, steps in (("law", True), ("law_without_steps", False)):
        found = distil.from_messages(arrays, learnt, cutoff, units, seed, steps)
        out[key] = told(found, units) | {"verdict": verdict(found.law, truth, fresh, cutoff, units)}
    return out | {"seconds": time.time() - start}


def of_step(name, **_) -> dict:
    """Edges a second and memory of one step of the paper's network on 10^6 edges, beside a plain loop in PyG."""
    from halos_step import step

    return step(name)


# ---------------------------------------------------------------- the command


def summary(rows: list[dict]) -> dict:
    """What the bars ask for."""
    done = [r for r in rows if "error" not in r]
    boxes, networks = ([r for r in done if r["kind"] == kind] for kind in ("box", "network"))
    out = {"failed": len(rows) - len(done), "boxes": len(boxes)}
    if boxes:
        out["seconds_a_box"] = float(np.median([r["seconds"] for r in boxes]))
        out["cpu_seconds_a_box"] = float(np.median([r["cpu_seconds"] for r in boxes]))
        out["gigabytes"] = max(r["gigabytes"] for r in boxes)
        out["power_off_mean_of_boxes"] = {}
        for setting, some in by_setting(boxes, "box").items():
            bins = [np.array(r["spectrum"]["power"]) / r["spectrum"]["theory"] for r in some]
            mean = np.mean([one / r["spectrum"]["own_modes"] for one, r in zip(bins, some, strict=True)], axis=0) - 1
            off = {"largest": float(np.abs(mean).max()), "mean": float(mean.mean())}
            out["power_off_mean_of_boxes"][setting or "all"] = off
    out["planted"] = {
        key: [sum(r[key]["verdict"]["recovered"] for r in rs), len(rs)]
        for key in ("law", "law_without_steps")
        if (rs := [r for r in done if r["kind"] == "planted"])
    }
    for setting, some in by_setting(networks, "network").items():
        for r in some:
            name = ", ".join(filter(None, (r["recipe"], r["hold"], setting)))
            ratio = {k: over(r["law"]["errors"][k]["mae"], v["mae"]) for k, v in r["network"].items()}
            out.setdefault("networks", {})[name] = {"law_over_network": ratio, "live": r["components"]["live"]}
    return out


def over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def line(row: dict) -> str:
    if row["kind"] == "box":
        off = row["power_off"]["largest"]
        used = f"{row['cpu_seconds']:.0f} CPU s  {row['seconds']:.0f} s  {row['gigabytes']:.1f} GB"
        return f"haloes {row['haloes']}  P(k) off by {off:.3f} at most  {used}"
    if row["kind"] == "planted":
        return f"recovered {row['law']['verdict']['recovered']} {row['law']['verdict']['why']}  {row['law']['texts']}"
    if row["kind"] == "network":
        errors = {k: (v, row["law"]["errors"][k]) for k, v in row["network"].items()}
        told = "; ".join(f"{k} {shown(a)}, {shown(b)}" for k, (a, b) in errors.items())
        return f"network, law: {told}  {row['law']['texts']}"
    if row["kind"] == "formulas":
        return "; ".join(f"{k} {shown(v['errors'].get('fresh boxes'))}" for k, v in row["formulas"].items())
    return json.dumps({k: row[k] for k in row if k.startswith(("ours", "plain"))})


BENCHMARK = Benchmark(
    "halos",
    ("kind", "name", "recipe", "hold", "setting"),
    lambda r: tuple(r[k] for k in ("kind", "name", "recipe", "hold", "setting")),
    summary,
    line,
)


def seeds(text: str) -> list[int]:
    """``2101:2121`` or ``2101``."""
    low, _, high = text.partition(":")
    return list(range(int(low), int(high))) if high else [int(low)]


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--train", nargs="+", type=seeds, required=True, metavar="SEED[:END]", help="boxes to learn from")
    add("--test", nargs="+", type=seeds, required=True, metavar="SEED[:END]", help="boxes that errors are measured in")
    add("--planted", nargs="*", type=int, default=[], metavar="SEED", help="planted catalogues")
    add("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES))
    add("--holds", nargs="+", choices=study.HOLDS, default=list(study.HOLDS), help="which haloes are held out")
    add("--side", type=positive_float, default=250.0, help="of a box, in Mpc/h")
    add("--particles", type=positive_int, default=128, help="of a box, along a side")
    add("--epochs", nargs="*", default=[], metavar="RECIPE=N", help="of training (default: the recipe's)")
    add("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="of the networks")
    add("--only", nargs="+", choices=("box", "planted", "network", "formulas", "step"), help="cells of these kinds")
    add_flags(parser, 6 * 3600)
    args = parser.parse_args(argv)
    args.train, args.test = (sum(given, []) for given in (args.train, args.test))
    everything = {*args.train, *args.test, *args.planted}
    if not args.development and (seen := sorted(everything & set(DEVELOPMENT))):
        parser.error(f"seeds {seen} are those of the development: choose others, or --development")
    if shared := sorted(set(args.train) & set(args.test)):
        parser.error(f"boxes {shared} are both learnt from and tested in")
    if len(args.train) < 2:
        parser.error("--train needs two boxes at least: one of them is for validation")
    return args


def cells_of(args) -> dict[str, tuple]:
    """Name of a cell -> its key; boxes come before what needs them."""
    box = {"side": args.side, "particles": args.particles}
    flags = {}
    for text in args.epochs:
        recipe, _, epochs = text.partition("=")
        flags[recipe] = {"epochs": float(epochs)}
    flags = {recipe: {"device": args.device} | flags.get(recipe, {}) for recipe in RECIPES}
    valid = max(1, len(args.train) // 10)
    common = {"box": box, "train": args.train[:-valid], "valid": args.train[-valid:], "test": args.test}
    common |= {"flags": flags, "seed": args.train[0]}
    # in the names of datasets and runs too: those of another setting are others
    label = f"{args.particles}_{args.train[0]}_{digest(common)}"
    common |= {"label": label}
    of_law = {"flags": flags, "catalogues": PLANTED | vars(PLANTED_LAW)}
    of_law |= {"label": digest(of_law)}
    out = {}
    for k in [*args.train, *args.test]:
        out[f"box_{args.particles}_{args.side:g}_{k}"] = ("box", str(k), "", "", {"box": box})
    for k in args.planted:
        out[f"planted_{k}"] = ("planted", str(k), "newton", "", of_law)
    for number, hold in enumerate(study.HOLDS):
        if hold in args.holds:
            out[f"formulas_{label}_{number}"] = ("formulas", label, "", hold, common)
            for recipe in args.recipes:
                out[f"{recipe}_{label}_{number}"] = ("network", label, recipe, hold, common)
    for name in ("ours", "plain"):
        out[f"step_{name}"] = ("step", name, "", "", {})
    wanted = {name: key for name, key in out.items() if not args.only or key[0] in args.only}
    return dict(with_digest(name, key) for name, key in wanted.items())


def with_digest(name: str, key: tuple) -> tuple[str, tuple]:
    """The name of a cell made one of its settings too, which are written as text."""
    return f"{name}_{digest(key[-1])}", (*key[:-1], json.dumps(key[-1], sort_keys=True))


def digest(setting: dict) -> str:
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:8]


def forget_lost(cells: dict[str, tuple]) -> None:
    """Of the ``cells`` of boxes those that failed, or whose box is gone, count as not done."""
    for name, key in cells.items():
        if not box_path(int(key[1]), json.loads(key[-1])["box"]).is_file():
            file_of(BENCHMARK.name, name).unlink(missing_ok=True)


def without_boxes(cells: dict[str, tuple]) -> dict[str, list[int]]:
    """Name of a cell -> the seeds of the boxes that it needs and that are not there."""
    out = {}
    for name, key in cells.items():
        given = json.loads(key[-1])
        needed = [seed for of in ("train", "valid", "test") for seed in given.get(of, ())]
        if absent := [seed for seed in needed if not box_path(seed, given["box"]).is_file()]:
            out[name] = absent
    return out


def main(argv=None) -> int:
    args = parse(argv)
    cells = cells_of(args)
    first = {name: key for name, key in cells.items() if key[0] == "box"}
    forget_lost(first)
    content = BENCHMARK.run(first, args) if first else {}
    rest = {name: key for name, key in cells.items() if name not in first}
    for name, absent in without_boxes(rest).items():
        if not file_of(BENCHMARK.name, name).is_file() or args.overwrite:
            told = f"boxes {', '.join(map(str, absent))} were not made"
            print(f"{name}: not started, as {told}", file=sys.stderr, flush=True)
            del rest[name]
    content = BENCHMARK.run(rest, args) or content
    if not content:
        raise UserError("no cell was measured", "the same command again makes the boxes")
    save_text(paths.OUTPUTS / "halos" / "report.html", report(content["rows"]))
    told = {k: content[k] for k in ("failed", "planted", "networks") if k in content}
    print(f"{json.dumps(told)}  -> {relative(paths.OUTPUTS / 'halos' / 'report.html')}", flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
