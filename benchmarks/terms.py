"""Is the whole law found where more acts than a central pair force: fields, friction, one-sided forces, the clock?

Every cell: a system of one of ten kinds, or one of five others, 200 simulated trajectories of 100 frames, either with
clean velocities and accelerations or as a table of positions alone with noise of 1 % of a step between frames
(import_tracks); then look and symbolic_reg without a network. Laws are judged here, on other trajectories of the same
simulation, clean ones.

recovered   every true term found and no false one: each function of pairs has the true form, every constant within
            2 %; what acts on single particles, by kind (of the place or nothing, of the velocity, turning it), makes
            the true force within 2 % (root mean squares) both on the states seen and half as far out again
assumptions the lines of look.py against what the terms of the system say

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/terms.json (--development: to outputs/)

example:  python benchmarks/terms.py --seeds 947 --systems trap magnetic --data clean --development
"""

import time
from dataclasses import replace
from itertools import product

import cell_files
import numpy as np

import distill
from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LawRecord, LookRecord
from distill.files.names import dataset_name, splines_name
from distill.files.storage import finite_or_none
from distill.formulas.equivalence import equivalence
from distill.law.receivers import Receivers, law_acceleration, receivers
from distill.law.verdict import EXTRA
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law, law_of, law_of_system
from distill.physics.systems import SYSTEMS as TABLE
from distill.physics.terms import State, force
from distill.physics.terms.state import TIME, exchanged
from distill.pipeline.degrade import degrade
from distill.report.markdown import markdown
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.splines.blocks import with_motion
from distill.splines.observations import edges_of_frames
from distill.statistics.rates import wilson
from distill.tracks.degrade import Worse

KINDS = ("trap", "off_centre_well", "quadratic_drag", "magnetic", "uniform", "non_reciprocal", "alignment")
KINDS += ("transverse", "modulated", "screened")
OTHERS = ("finite_range", "string", "string_ball", "damped", "discontinuous", "superposition")
CLEAN, NOISY = "clean", "noisy"
TRAJECTORIES, FRAMES, FRESH = 200, 100, 60
JUDGED = 2000  # frames of fresh trajectories
WITHIN = 0.02  # constants, and forces on single particles
BEYOND = 1.5  # times as far from the middle of all states
ACTS = {  # what acts on single particles: alike where particles are
    "at rest": ("constant_force", "constant_acceleration", "field", "central"),
    "along the velocity": ("drag", "drag_per_mass"),
    "across the velocity": ("magnetic", "coriolis", "gyration"),
}
BROKEN_BY = {  # what a term does to an assumption, written down once more: look's own table is judged by it
    "central": ("relative_velocity", "transverse"),
    "velocity-free": ("relative_velocity", "approach", "drag", "drag_per_mass", *ACTS["across the velocity"]),
    "homogeneous": ("field", "central"),
}


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of simulations and noise")
    add("--systems", nargs="+", choices=(*KINDS, *OTHERS), default=[*KINDS, *OTHERS])
    add("--data", nargs="+", choices=(CLEAN, NOISY), default=[CLEAN, NOISY], help="of which laws are found")
    add("--n", type=positive_int, default=4, help="particles")
    cell_files.add_flags(parser, limit=1200)
    return cell_files.parse(parser, argv)


# ---------------------------------------------------------------- data


def truth(system: str, n: int, seed: int) -> Dataset:
    """Clean data: ``TRAJECTORIES`` that laws are found in and ``FRESH`` that they are judged on."""
    name = dataset_name(system, n, 2, seed, "terms")
    if not (paths.DATASETS / f"{name}.npz").is_file():
        size = {"n_trajectories": TRAJECTORIES + FRESH, "n_frames": FRAMES}
        distill.simulate(system, n=n, dim=2, seed=seed, tag="terms", **size)
    return load_dataset(name)


def given(system: str, n: int, seed: int, data: str) -> str:
    """The name of the dataset that a law is found in."""
    source, name = truth(system, n, seed).name, f"{system}_terms_{data}_n{n}_s{seed}"
    if data == CLEAN:
        degrade(source, Worse(trajectories=TRAJECTORIES, seed=seed), name=name)
        return name
    how = Worse(trajectories=TRAJECTORIES, velocities=False, accelerations=False, noise=0.01, seed=seed)
    csv = paths.OUTPUTS / "terms" / f"{name}.csv"
    csv.parent.mkdir(parents=True, exist_ok=True)
    degrade(source, how, name=f"{name}_worse", csv=csv, overwrite=True)
    distill.import_tracks(csv, name=name, overwrite=True)
    csv.unlink()
    return name


# ---------------------------------------------------------------- judging


def seen_fresh(clean: Dataset) -> Receivers:
    """Receivers of trajectories that nobody was shown."""
    frames = clean.pos.shape[1]
    number = np.linspace(TRAJECTORIES * frames, len(clean.pos) * frames - 1, JUDGED).astype(int)
    edges = with_motion(edges_of_frames(clean, number), clean)
    nodes = nodes_of(edges)
    return receivers(edges | {"acc_pred_i": edges["acc_i"]}, nodes, np.arange(len(nodes.first)))


class Judge:
    """``true``: the law of the system, in ``data``."""

    def __init__(self, true: Law, data: Receivers):
        self.true, self.data = true, data
        motion, first = data.seen.motion, data.start
        self.states = {"seen": State(motion.vel[first], data.state.properties, motion.pos[first], motion.t[first])}
        wide = {k: _spread(getattr(self.states["seen"], k)) for k in ("vel", "pos", "t")}
        self.states["beyond"] = replace(self.states["seen"], **wide)
        self.size = _rms(law_acceleration(true, data))

    def law(self, law: Law) -> dict:
        terms = self.of_pairs(law) | self.of_particles(law)
        data = law_acceleration(law, self.data) - law_acceleration(self.true, self.data)
        return {
            "law": law.equation()["text"],
            "terms": terms,
            "wrong": [name for name, one in terms.items() if not one["right"]],
            "recovered": all(one["right"] for one in terms.values()),
            "off": max((one["off"] for one in terms.values() if one["off"] is not None), default=None),
            "acceleration_error": finite_or_none(_rms(data) / self.size),
        }

    def of_pairs(self, law: Law) -> dict:
        """Of every function of pairs that is there or should be: its relation to the true one."""
        seen, out = self.data.seen, {}
        columns = {**seen.ends, "r": seen.r, TIME: seen.motion.t}
        some = np.unique(np.linspace(0, len(seen.r) - 1, 4000).astype(int))
        samples = {"in": {name: np.asarray(value, float)[some] for name, value in columns.items()}}
        own, true = law.pair_functions, self.true.pair_functions
        for name in dict.fromkeys([*true, *own]):
            found, asked = own.get(name, 0), true.get(name, 0)
            if found == 0 or asked == 0:
                if found != asked:
                    out[name] = {"right": False, "off": None, "why": "missing" if found == 0 else "there is none"}
                continue
            one = equivalence(found, asked, samples)
            off = {"same": 0.0, "same up to a constant factor": abs((one["factor"] or 1.0) - 1)}.get(one["relation"])
            off = one["off"] or 0.0 if one["relation"] == "same functional form" else off
            out[name] = {"right": off is not None and off <= WITHIN, "off": off, "why": one["text"]}
        return out

    def of_particles(self, law: Law) -> dict:
        """Of what acts on single particles, by kind, root mean squares: the difference over the true force, or over
        all accelerations where there is none.
        """
        out = {}
        for kind, names in ACTS.items():
            own, true = ({k: v for k, v in one.node.items() if k in names} for one in (law, self.true))
            if not own and not true:
                continue
            off = {}
            for where, state in self.states.items():
                with np.errstate(all="ignore"):
                    mine, there = (
                        np.nan_to_num(force(one, state) / state.mass[:, None], nan=1e9) for one in (own, true)
                    )
                off[where] = finite_or_none(_rms(mine - there) / (_rms(there) if true else self.size)) or 0.0
            if true:
                out[kind] = {"right": max(off.values()) <= WITHIN, "off": max(off.values()), "why": off}
            elif off["seen"] > EXTRA:
                out[kind] = {"right": False, "off": None, "why": f"there is none, {off['seen']:.2g} of accelerations"}
        return out

    def assumptions(self, said: dict) -> dict:
        """Of every assumption whether it holds, and whether look says so."""
        holds = assumed(self.true)
        return {k: {"holds": v, "said": said[k]["holds"], "right": said[k]["holds"] == v} for k, v in holds.items()}


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(values**2, -1))))


def _spread(values: np.ndarray) -> np.ndarray:
    return (middle := values.mean(0)) + BEYOND * (values - middle)


def assumed(true: Law) -> dict[str, bool]:
    """What holds of a law."""
    names = {name for name, f in true.pair_functions.items() if f != 0} | set(true.node)
    out = {assumption: not names & set(broken) for assumption, broken in BROKEN_BY.items()}
    out["stationary"], out["superposing"] = not true.in_time, true.response is None
    out["reciprocal"] = all(f == f.xreplace(_swap(f)) for f in true.pair_functions.values())
    return out


def _swap(f) -> dict:
    known = {s.name: s for s in f.free_symbols}
    return {s: known.get(exchanged(name), s.func(exchanged(name), **s.assumptions0)) for name, s in known.items()}


# ---------------------------------------------------------------- cells


def measured(system: str, n: int, seed: int, data: str) -> dict:
    """A cell: the law that is found, how it is judged, what look says, CPU seconds of the stages."""
    seconds = {}

    def timed(stage, function, *of, **flags):
        start = time.process_time()
        out = function(*of, **flags)
        seconds[stage] = round(time.process_time() - start, 1)
        return out

    name = timed("data", given, system, n, seed, data)
    clean = truth(system, n, seed)
    judge = Judge(law_of_system(TABLE[system], 2), seen_fresh(clean))
    timed("look", distill.look, name, seed=seed)
    look = records.load(LookRecord, paths.OUTPUTS / splines_name(name) / "look.json")
    out = {"assumptions": judge.assumptions(look.assumptions), "further": look.further, "left": look.left}
    timed("symbolic_reg", distill.search_law, dataset=name, rivals=(), seed=seed, overwrite=True)
    record = records.load(LawRecord, paths.OUTPUTS / splines_name(name) / "law.json")
    out |= judge.law(law_of(record))
    out |= {"trusted": record.data_verdict.trusted, "data_verdict": record.data_verdict.why}
    polish = record.polish
    out["polished"] = None if polish is None else polish.why_not or "yes"
    return out | {"cpu_seconds": seconds}


# ---------------------------------------------------------------- counting


def counted(rows: list[dict]) -> dict:
    """Cells recovered, of the ten kinds and of the others, and assumptions told rightly, by data."""
    out = {}
    for data in (CLEAN, NOISY):
        some = [r for r in rows if r["data"] == data]
        kinds = {"ten kinds": lambda r: r["system"] in KINDS, "others": lambda r: r["system"] in OTHERS}
        for name, of in kinds.items():
            found = [bool(r.get("recovered")) for r in some if of(r)]
            if found:
                told = {"recovered": sum(found), "n": len(found)}
                told["interval"] = list(wilson(sum(found), [1] * len(found)))
                out.setdefault(data, {})[name] = told
        lines = [line for r in some for line in r.get("assumptions", {}).items()]
        for holds in (True, False):
            right = [one["right"] for _, one in lines if one["holds"] == holds]
            if right:
                name = "assumptions that hold" if holds else "assumptions that do not"
                out[data][name] = {"right": sum(right), "n": len(right)}
    return out


def table(rows: list[dict]) -> str:
    """System by system: seeds recovered, what is wrong, CPU seconds."""
    lines = []
    for system, data in product((*KINDS, *OTHERS), (CLEAN, NOISY)):
        some = [r for r in rows if (r["system"], r["data"]) == (system, data)]
        if not some:
            continue
        good = [r["seed"] for r in some if r.get("recovered")]
        wrong = "; ".join(
            f"{r['seed']}: {r.get('error') or ', '.join(r['wrong'])}" for r in some if r["seed"] not in good
        )
        lies = sum(not one["right"] for r in some for one in r.get("assumptions", {}).values())
        cpu = [sum(r["cpu_seconds"].values()) for r in some if "cpu_seconds" in r]
        worst = f"{100 * max((r['off'] for r in some if r.get('off') is not None), default=0):.2g} %"
        told = [system, data, f"{len(good)}/{len(some)}", worst, wrong, lies, f"{max(cpu):.0f}" if cpu else "-"]
        lines.append(list(map(str, told)))
    head = ["system", "data", "recovered", "constants off", "wrong", "assumptions wrong", "CPU seconds, most"]
    return markdown(head, lines)


def told(row: dict) -> str:
    return f"{row['recovered']}  {row['wrong']}  {row['law']}  {row['cpu_seconds']}"


ORDER = (*KINDS, *OTHERS)
CELLS = cell_files.Benchmark(
    "terms",
    ("system", "n", "seed", "data"),
    place=lambda row: (ORDER.index(row["system"]), row["data"], row["seed"]),
    summary=lambda rows: {"counts": counted(rows)},
    told=told,
)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    cells = {
        f"{system}_{data}_n{args.n}_s{seed}": (system, args.n, seed, data)
        for system, seed, data in product(args.systems, args.seeds, args.data)
    }
    content = CELLS.run(cells, args)
    print(f"\n{table(content['rows'])}\n\n{content['counts']}\n-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
