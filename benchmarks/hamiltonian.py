"""Networks of energies: forces, potential and kinetic term before any refit, drift of rollouts, beside another variant.

Every cell is a run through all stages: a system in 2 or 3 dimensions, a variant, a recipe and a seed, which is that of
the data too. Of the force and the potential: R2 on all test edges and on the best 90 %, with no fit; of formulas: the
verdict, and whether the form is right with constants within 1 %. ``potential`` is the form that was searched in the
energies, its constants fitted through its slope to the network's own forces; ``searched`` is the formula of the search
as it stands, judged by minus its slope. ``drift`` is that of the true energy in rollouts of the network by DOP853, as
of every variant; ``drift_gnn`` and ``drift_law`` are the same of network and law by the symplectic method, ``own_gnn``
and ``own_law`` of the energies that are integrated there, which steps are chosen by. Graphs a second are those of the
training without the polish. Errors of accelerations stand beside FlatHGN's of the paper's Table 3, in the three sums
that its text leaves open. A fluid (lj, kob_andersen; 3-D, in a box) is simulated with the flags of ``FLUIDS``, and
goes as far as its law, beside those that are found without a network; sigma and epsilon are those of the pair of
species that is worst, before and after the refit.

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/hamiltonian.json (--development: outputs/hamiltonian.json)

example:  python benchmarks/hamiltonian.py --seeds 930 --systems spring r2 --dims 2 --development
"""

from itertools import product

import cell_files
import numpy as np
from tracks import timed

import distill
from distill.files import records
from distill.files.kinds import Generalization, LawRecord, LinearFit, MessagesRecord, Rollouts, RunConfig
from distill.files.names import dataset_name, messages_path, run_name
from distill.network.recipes import defaults
from distill.network.variants import VARIANTS
from distill.report.markdown import markdown, shown
from distill.report.numbers import law_numbers
from distill.search.registry import CONTROL, SPLINES
from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.statistics.rates import wilson

SYSTEMS = ("spring", "r1", "r2", "charge")  # with a potential that every pair has; damped is for --variants dissipative
# FlatHGN in Table 3 of Cranmer et al. 2020: (system, dim) -> test loss
PUBLISHED = {
    **{("charge", 2): 55.0, ("charge", 3): 3.54, ("damped", 2): 0.346, ("damped", 3): 0.474},
    **{("discontinuous", 2): 0.075, ("discontinuous", 3): 0.139, ("r1", 2): 0.050, ("r1", 3): 0.017},
    **{("r2", 2): 1.284, ("r2", 3): 2.476, ("spring", 2): 0.016, ("spring", 3): 0.010},
}
SMALL = {"n": 4}  # flags of simulate.py beside system, dimensions and seed
FLUIDS = {name: {"n": 250, "n_frames": 100, "every": 100, "equilibration": 20.0} for name in ("lj", "kob_andersen")}
COUNTED = ("force_recovered", "force_form", "potential_recovered", "potential_form", "searched_recovered")
COUNTED += ("searched_form", "kinetic_recovered", "recovered")


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=non_negative_int, nargs="+", required=True, help="of data, weights and searches")
    add("--systems", nargs="+", default=list(SYSTEMS), help="as simulate.py knows them")
    add("--dims", type=int, nargs="+", choices=(2, 3), default=[2, 3])
    add("--variants", nargs="+", choices=VARIANTS, default=["hamiltonian", "l1"], help="the last only for its rollouts")
    add("--recipe", default="newton")
    add("--epochs", type=positive_float, help="of the training (default: the recipe's)")
    add("--rollouts", type=positive_int, default=16, help="starts that are integrated")
    cell_files.add_flags(parser)
    return cell_files.parse(parser, argv)


SUMS = ("mae_component", "mae_particle", "mae_graph")  # of absolute errors: the paper's text leaves open which


def name_of(system: str, dim: int, variant: str, recipe: str, seed: int, epochs: float | None, rollouts: int) -> str:
    more = f"_e{defaults(recipe, variant, dim)['epochs'] if epochs is None else epochs:g}"
    return f"{system}_d{dim}_{variant}-{recipe}{more}_r{rollouts}_s{seed}"


def measured(system: str, dim: int, variant: str, recipe: str, seed: int, epochs: float | None, rollouts: int) -> dict:
    """A cell: what its stages write, in numbers."""
    seconds: dict = {}
    data = FLUIDS.get(system, SMALL)
    dataset = dataset_name(system, data["n"], dim, seed)
    tag = "" if epochs is None else f"e{epochs:g}"
    run = run_name(dataset, variant, recipe, seed, tag)
    timed(seconds, "simulate", distill.simulate, system=system, dim=dim, seed=seed, **data)
    flags = {"variant": variant, "recipe": recipe, "seed": seed, "epochs": epochs, "tag": tag, "resume": True}
    timed(seconds, "train", distill.train, dataset, **flags)
    timed(seconds, "extract_messages", distill.extract_messages, run)
    timed(seconds, "fit_linear", distill.fit_linear, run)
    rivals = (CONTROL, SPLINES) if system in FLUIDS else ()  # elsewhere benchmarks/recovery.py asks
    timed(seconds, "symbolic_reg", distill.search_law, run, rivals=rivals, seed=seed)
    if system not in FLUIDS:
        timed(seconds, "test_generalization", distill.compare, run, rollouts=rollouts)
    return collected(run, system, dim) | {"run": run, "seconds": seconds}


def collected(run: str, system: str, dim: int) -> dict:
    """Numbers from the files of a run."""
    out, load = paths.OUTPUTS / run, records.load
    config, fit = load(RunConfig, paths.MODEL_WEIGHTS / run / "config.json"), load(LinearFit, out / "linear_fit.json")
    law = load(LawRecord, out / "law.json")
    beyond = None if system in FLUIDS else load(Generalization, out / "generalization.json")
    mae = load(MessagesRecord, messages_path(run, "test").with_suffix(".json")).mae
    trained = config.cpu_seconds - config.polish_cpu_seconds
    found = {"cpu_seconds": config.cpu_seconds, "polish_cpu_seconds": config.polish_cpu_seconds}
    found |= {"graphs_a_second": config.graphs_seen / max(trained, 1e-9)}
    found |= {"trained_epochs": config.options["epochs"], "silent_start": bool(config.options.get("silent_start"))}
    found |= {"error": config.skill.network, "motion": config.skill.motion}
    found |= {"force_r2_all": fit.read_out.r2_all, "force_r2_trim90": fit.read_out.r2_trim90}
    found |= {"mae_component": mae, "mae_particle": mae * dim, "mae_graph": mae * dim * config.n}
    found |= {"published": PUBLISHED.get((system, dim))}
    early = law.from_messages
    found |= {"force": early.text, **_verdict("force", early.verdict)}
    found |= {"law": law.pair.text, "recovered": law.verdict.recovered}
    found |= {f"{name}_recovered": one.verdict and one.verdict.recovered for name, one in law.rivals.items()}
    flat = law_numbers(law)
    for name in ("sigma_off", "epsilon_off"):
        both = {f"{kind}{name}": flat.get(f"{early}{name}") for kind, early in (("", ""), ("read_", "from_messages_"))}
        found |= {key: abs(value) for key, value in both.items() if value is not None}
    if h := law.hamiltonian:
        found |= {"hamiltonian": h.text}
        if fit.potential:
            found |= {
                "potential_r2_all": fit.potential.read_out_r2_all,
                "potential_r2_trim90": fit.potential.read_out_r2_trim90,
            }
        if h.energy:
            found |= {"potential": h.energy.from_force or h.energy.text, **_verdict("potential", h.energy.verdict)}
            found |= {"searched": h.energy.text, **_verdict("searched", h.energy.searched_verdict)}
        if h.kinetic:
            found |= {"kinetic": h.kinetic.text, "kinetic_off": h.kinetic.off, "kinetic_recovered": h.kinetic.recovered}
    if beyond is not None and isinstance(beyond.rollouts, Rollouts):
        found |= {"drift": beyond.rollouts.models["gnn"].final_energy_drift_median}
        for name, one in beyond.rollouts.symplectic.items():
            found |= {f"drift_{name}": one.final_energy_drift_median, f"own_{name}": one.final_own_energy_drift_median}
    return found


def _verdict(what: str, verdict) -> dict:
    if verdict is None:
        return {}
    return {f"{what}_recovered": verdict.recovered, f"{what}_form": verdict.same_form}


def summary(rows: list[dict]) -> dict:
    """Counts and medians of every variant and recipe, and the drift beside that of the other variants."""
    out: dict = {}
    for group in dict.fromkeys((r["variant"], r["recipe"]) for r in rows):
        some = [r for r in rows if (r["variant"], r["recipe"]) == group and "run" in r]
        told: dict = {"n": len(some), "errors": sum((r["variant"], r["recipe"]) == group for r in rows) - len(some)}
        for key in COUNTED:
            known = [bool(r[key]) for r in some if r.get(key) is not None]
            if known:
                low, high = wilson(sum(known), [1] * len(known))
                told[key] = {"successes": sum(known), "n": len(known), "interval": [low, high]}
        numbers = [k for k in dict.fromkeys(k for r in some for k in r) if k.split("_")[0] in MEDIANS]
        for key in numbers:
            values = [r[key] for r in some if isinstance(r.get(key), float)]
            if values:
                told[key] = {
                    "median": float(np.median(values)),
                    "worst": float(WORST.get(key.split("_")[0], max)(values)),
                }
        for convention in SUMS:
            below = [r[convention] < r["published"] for r in some if r.get("published") is not None]
            told[f"{convention}_below_published"] = [sum(below), len(below)]
        out["-".join(group)] = told
    return out


MEDIANS = (
    "force",
    "potential",
    "error",
    "motion",
    "drift",
    "own",
    "cpu",
    "polish",
    "graphs",
    "kinetic",
    "sigma",
    "epsilon",
    "read",
)
WORST = {"force": min, "potential": min, "graphs": min}


SHOWN = tuple("force_r2_all force_r2_trim90 potential_r2_all kinetic_off drift drift_gnn drift_law".split())
SHOWN += ("read_sigma_off", "read_epsilon_off", "sigma_off", "epsilon_off")


def told(row: dict) -> str:
    numbers = "  ".join(f"{k} {shown(row[k])}" for k in SHOWN if row.get(k) is not None)
    return f"{row['force']} | {row.get('potential', '–')} | {row.get('kinetic', '–')}  {numbers}"


CELLS = cell_files.Benchmark(
    "hamiltonian",
    ("system", "dim", "variant", "recipe", "seed", "epochs", "rollouts"),
    place=lambda row: (row["variant"], row["recipe"], row["system"], row["dim"], row["seed"], row["epochs"] or 0),
    summary=lambda rows: {"summary": summary(rows)},
    told=told,
)


def table(rows: list[dict]) -> str:
    keys = (*SHOWN, "mae_component", "published", "cpu_seconds", "polish_cpu_seconds")
    head = ["system", "dim", "variant", "seed", *(k.replace("_", " ") for k in keys)]
    lines = [
        [*map(str, (r["system"], r["dim"], r["variant"], r["seed"])), *(shown(r.get(k)) for k in keys)] for r in rows
    ]
    return markdown(head, lines)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    keys = [
        (system, dim, variant, args.recipe, seed, args.epochs, args.rollouts)
        for seed, system, dim, variant in product(args.seeds, args.systems, args.dims, args.variants)
        if dim == 3 or system not in FLUIDS
    ]
    content = CELLS.run({name_of(*key): key for key in keys}, args)
    print(f"{table(content['rows'])}\n")
    for name, one in content["summary"].items():
        counts = "  ".join(f"{k} {one[k]['successes']}/{one[k]['n']}" for k in COUNTED if k in one)
        below = "  ".join(f"{c[4:]} {'/'.join(map(str, one[f'{c}_below_published']))}" for c in SUMS)
        print(f"{name}: n {one['n']}  {counts}  below FlatHGN of the paper, by convention: {below}")
    print(f"-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
