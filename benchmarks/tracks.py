"""Is the law found in tables of positions alone? Noise, gaps, uneven times, frames further apart, one long film.

Every cell: 200 simulated trajectories of 100 frames, made worse (``distill.pipeline.degrade``) and written as CSV; then
import_tracks -> look -> symbolic_reg without a network, and with --networks train -> extract_messages -> symbolic_reg.
The imported data do not know the truth. Laws are judged here: by the form and the constants of the true law, and by
accelerations on other trajectories of the same simulation, clean ones.

recovered   the true form and nothing beside it, every constant that these data reach within 1 % (at 10 % noise and
            more: 2 %), before the refit or after it

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/tracks.json and docs/tracks.png (--development: to outputs/)

example:  python benchmarks/tracks.py --seeds 935 --systems r2 --conditions 1%_every1 --development
"""

import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import cell_files
import numpy as np
import sections
import tracks_figure

import distill
from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LawRecord
from distill.files.names import dataset_name, splines_name
from distill.files.storage import save_bytes
from distill.formulas.text import parse, to_text
from distill.law import verdict
from distill.messages.net_forces import nodes_of
from distill.network.evaluation import network_acceleration
from distill.network.weights import load_run
from distill.physics.law import Law, law_of
from distill.physics.systems import SYSTEMS as TABLE
from distill.pipeline.degrade import degrade
from distill.report import plots
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.splines.fit import fit_pair_force
from distill.splines.observations import edges_of_frames, observations
from distill.statistics.rates import wilson
from distill.survey.window_length import with_window
from distill.tracks.degrade import Worse

SYSTEMS = ("spring", "r1", "r2", "charge")
TRAJECTORIES, FRAMES, FRESH, FILM = 200, 100, 100, 5000
JUDGED = 4000  # frames of fresh trajectories
WAYS, EITHER = ("splines", "messages"), "either"


@dataclass(frozen=True)
class Condition:
    """``how``: what is done to the data. ``within``: what a constant may be off by. ``bar``: cells that must be
    recovered, of four systems and three seeds; None where nothing is asked. ``film``: one long trajectory.
    """

    how: Worse
    within: float = 0.01
    bar: int | None = None
    dim: int = 2
    film: bool = False


ALONE = Worse(trajectories=TRAJECTORIES, frames=FRAMES, velocities=False, accelerations=False)
NOISES, SPACINGS = (0.001, 0.01, 0.1, 0.5), (1, 2, 4)


def _on_the_grid(noise: float, every: int) -> Condition:
    how = replace(ALONE, noise=noise, frames=FRAMES // every, keep_every=every)
    return Condition(
        how, within=0.02 if noise >= 0.1 else 0.01, bar={0.01: 11, 0.1: 10}.get(noise if every == 1 else None)
    )


GRID = {(noise, every): f"{100 * noise:g}%_every{every}" for noise, every in product(NOISES, SPACINGS)}
OTHERS = {
    "1%_gaps": "10 % of rows missing, uneven times",
    "1%_3d": "three dimensions",
    "1%_film": f"one trajectory of {FILM:,} frames",
}
CONDITIONS = {name: _on_the_grid(*place) for place, name in GRID.items()} | {
    "1%_gaps": Condition(replace(ALONE, noise=0.01, drop_rows=0.1, jitter_times=0.5), bar=10),
    "1%_3d": Condition(replace(ALONE, noise=0.01), dim=3),
    "1%_film": Condition(Worse(noise=0.01, velocities=False, accelerations=False), film=True),
}


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="of simulations, noise and networks")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="force laws")
    add("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="what is done to the data")
    add("--networks", action="store_true", help="train a network too and search its messages")
    add("--epochs", type=positive_int, help="of the networks; default: the recipe's")
    add("--development", action="store_true", help="writes to outputs/ and not to results/ and docs/")
    add("--overwrite", action="store_true", help="run finished cells again")
    return parser.parse_args(argv)


# ---------------------------------------------------------------- data


def truth(system: str, dim: int, seed: int, film: bool = False) -> Dataset:
    """Clean data: ``TRAJECTORIES`` that are made worse and ``FRESH`` that laws are judged on; or one film."""
    tag = "film" if film else "tracks"
    if not (paths.DATASETS / f"{dataset_name(system, 4, dim, seed, tag)}.npz").is_file():
        size = {"n_trajectories": 10, "n_frames": FILM} if film else {"n_trajectories": TRAJECTORIES + FRESH}
        distill.simulate(system, dim=dim, seed=seed, tag=tag, **size)
    return load_dataset(dataset_name(system, 4, dim, seed, tag))


def table(name: str, system: str, seed: int, condition: Condition) -> tuple[Path, Dataset]:
    """(the table of what was seen, clean data)."""
    fresh, csv = truth(system, condition.dim, seed), paths.OUTPUTS / "tracks" / f"{name}.csv"
    source, how = fresh, replace(condition.how, seed=seed)
    if condition.film:
        source, how = truth(system, condition.dim, seed, film=True), replace(how, trajectories=1)
    if not csv.is_file():
        csv.parent.mkdir(parents=True, exist_ok=True)
        degrade(source.name, how, name=f"{name}_worse", csv=csv, overwrite=True)
    return csv, fresh


# ---------------------------------------------------------------- judging


class Judge:
    """The true law of ``system`` on the clean trajectories that nobody was shown."""

    def __init__(self, system: str, clean: Dataset, within: float):
        frames = clean.pos.shape[1]
        number = np.linspace(TRAJECTORIES * frames, len(clean.pos) * frames - 1, JUDGED).astype(int)
        self.system, self.within, self.clean = TABLE[system], within, clean
        self.at = np.divmod(number, frames)
        self.edges = edges_of_frames(clean, number)
        self.nodes = nodes_of(self.edges)

    def accelerations(self, found: np.ndarray) -> dict:
        """Errors of accelerations ``found`` [frame, particle, dim] at the frames judged: median and mean |error| over
        |a| of a particle.
        """
        acc = self.clean.acc[self.at].astype(float)
        off = np.linalg.norm(found - acc, axis=-1) / np.linalg.norm(acc, axis=-1)
        return {"median": float(np.median(off)), "mean": float(np.mean(off))}

    def of_splines(self, fit) -> dict:
        """Those of a fit without a formula."""
        first = self.nodes.first
        found = (self.nodes.sum(fit.force(self.edges)) + fit.node_force(self.edges, self.nodes)) / self._mass()
        acc = self.edges["acc_i"][first].astype(float)
        off = np.linalg.norm(found - acc, axis=-1) / np.linalg.norm(acc, axis=-1)
        return {"median": float(np.median(off)), "mean": float(np.mean(off)), "receivers": len(first)}

    def _mass(self):
        return self.edges["mass_i"][self.nodes.first].astype(float)[:, None]

    def of_law(self, law: Law) -> dict:
        """Form, constants and accelerations of a law."""
        said = verdict.against_truth(law, self.system.formula, self.edges, np.zeros_like(self.edges["dx"]))
        relation = said["equivalence"]
        kind = relation["relation"]
        off = {"same": 0.0, "same up to a constant factor": abs((relation["factor"] or 1.0) - 1)}.get(kind)
        off = relation["off"] or 0.0 if kind == "same functional form" else off
        beside = "node terms" in said["failed"]
        pos, vel = (getattr(self.clean, k)[self.at].astype(float) for k in ("pos", "vel"))
        properties = {k: v[self.at[0]].astype(float) for k, v in self.clean.properties.items()}
        return {
            "law": to_text(law.pair, 6),
            "beside": {k: np.asarray(v).tolist() for k, v in law.node.items()},
            "relation": kind,
            "off": off,
            "recovered": off is not None and off <= self.within and not beside,
            "constants": relation["constants"],
            "not_judged": said["not_judged"],
            "accelerations": self.accelerations(law.acceleration(pos, vel, properties)),
            "why": said["why"],
        }


def of_record(run: str, judge: Judge) -> dict:
    """Of a law.json: the law, that before the refit, and what the data said of it."""
    record = records.load(LawRecord, paths.OUTPUTS / run / "law.json")
    law, polish = law_of(record), record.polish
    before = Law(parse(record.from_messages.text, law.variables))
    out = {"after": judge.of_law(law), "before": judge.of_law(before)}
    out |= {"trusted": record.data_verdict.trusted, "data_verdict": record.data_verdict.why}
    return out | {"polished": None if polish is None else polish.why_not or "yes", "chi2": polish and polish.chi2}


def timed(seconds: dict, stage: str, function, *given, **flags):
    """What ``function`` returns; its time goes into ``seconds``."""
    return _timed(time.perf_counter, seconds, stage, function, *given, **flags)


def cpu_timed(seconds: dict, stage: str, function, *given, **flags):
    """The same with the time of the CPU, which other work on the machine does not change much."""
    return _timed(time.process_time, seconds, stage, function, *given, **flags)


def _timed(clock, seconds: dict, stage: str, function, *given, **flags):
    start = clock()
    out = function(*given, **flags)
    seconds[stage] = round(clock() - start, 2)
    return out


def through_splines(name: str, system: str, seed: int, condition: Condition) -> dict:
    """A cell without a network."""
    csv, clean = table(name, system, seed, condition)
    seconds, judge = {}, Judge(system, clean, condition.within)
    timed(seconds, "import_tracks", distill.import_tracks, csv, name=name, overwrite=True)
    timed(seconds, "look", distill.look, name)
    timed(seconds, "symbolic_reg", distill.search_law, dataset=name, rivals=(), seed=seed, overwrite=True)
    data = load_dataset(name)
    length = with_window(data, seed)
    edges = observations(data, "train", seed=seed)
    fit = fit_pair_force(edges, nodes_of(edges), seed)
    out = {"fit": judge.of_splines(fit), "window": length, "rows": csv.read_text().count("\n") - 1}
    return out | of_record(splines_name(name), judge) | {"seconds": seconds}


def through_network(name: str, system: str, seed: int, condition: Condition, epochs: int | None) -> dict:
    """A cell through a network, on the data that ``through_splines`` has imported."""
    judge, seconds = Judge(system, truth(system, condition.dim, seed), condition.within), {}
    run = timed(seconds, "train", distill.train, name, seed=seed, epochs=epochs, overwrite=True)[0].subject
    model, _ = load_run(run)
    pos, vel = (getattr(judge.clean, k)[judge.at] for k in ("pos", "vel"))
    properties = {k: v[judge.at[0]] for k, v in judge.clean.properties.items()}
    found = network_acceleration(model, judge.clean)(pos, vel, properties)
    timed(seconds, "extract_messages", distill.extract_messages, run, overwrite=True)
    timed(seconds, "symbolic_reg", distill.search_law, run, rivals=(), seed=seed, overwrite=True)
    return {"fit": judge.accelerations(found), "run": run} | of_record(run, judge) | {"seconds": seconds}


def cell(system: str, seed: int, name: str, args) -> dict:
    """A row, measured unless it is there, with an entry for each of ``WAYS`` that was asked for."""
    condition = CONDITIONS[name]
    dataset = f"{system}_tracks_{name.replace('%', 'pc')}_s{seed}"
    row = {"system": system, "seed": seed, "condition": name, "dim": condition.dim, "dataset": dataset}
    ways = {WAYS[0]: through_splines}
    if args.networks:
        ways[WAYS[1]] = lambda *given: through_network(*given, args.epochs)
    for way, function in ways.items():
        found = cell_files.kept(
            "tracks", f"{dataset}.{way}", args.overwrite, partial(function, dataset, system, seed, condition)
        )
        row[way] = found
        law = found.get("after", {})
        told = f"{law.get('recovered')}  {law.get('law')}  {found.get('seconds')}"
        print(f"{dataset} {way}: {found.get('error') or told}", file=sys.stderr, flush=True)
    return row


# ---------------------------------------------------------------- counting


def rate(found: list[bool]) -> dict:
    """Of cells that are independent data sets."""
    return {"recovered": sum(found), "n": len(found), "interval": list(wilson(sum(found), [1] * len(found)))}


def counted(rows: list[dict]) -> dict:
    """By condition: cells recovered through splines, messages, or either, before and after the refit; errors of
    accelerations on clean fresh frames, the median of each cell: their median and the largest.
    """
    out = {}
    for name, condition in CONDITIONS.items():
        some = [r for r in rows if r["condition"] == name]
        if not some:
            continue
        told: dict = {"bar": condition.bar, "within": condition.within}
        for way in WAYS:
            done = [r[way] for r in some if r.get(way)]
            if not done:
                continue
            good, before = ([bool(d.get(k, {}).get("recovered")) for d in done] for k in ("after", "before"))
            errors = [d["fit"]["median"] for d in done if "fit" in d]
            laws = [d["after"]["accelerations"]["median"] for d in done if "after" in d]
            told[way] = rate(good) | {"before_refit": rate(before), "failed": sum("error" in d for d in done)}
            told[way] |= {"fit_error": spread(errors), "law_error": spread(laws)}
            told[way]["seconds"] = spread([sum(d["seconds"].values()) for d in done if "seconds" in d])
        either = [any((r.get(way) or {}).get("after", {}).get("recovered") for way in WAYS) for r in some]
        out[name] = told | {EITHER: rate(either)}
    return out


def spread(values: list[float]) -> dict | None:
    return {"median": float(np.median(values)), "largest": float(np.max(values))} if values else None


def main(argv=None) -> int:
    args, start = parse_arguments(argv), time.time()
    set_threads(1)
    place = paths.OUTPUTS if args.development else paths.ROOT / "results"
    file = place / "tracks.json"
    for name, seed, system in product(args.conditions, args.seeds, args.systems):
        row = cell(system, seed, name, args)

        def put(former: dict, key=(system, seed, name), row=row) -> dict:
            rows = {(r["system"], r["seed"], r["condition"]): r for r in former.get("rows", [])}
            rows[key] = rows.get(key, {}) | row
            ordered = [r for _, r in sorted(rows.items(), key=lambda kv: (list(CONDITIONS).index(kv[0][2]), kv[0]))]
            return {"rows": ordered, "counts": counted(ordered)} | sections.about("tracks.py", args, start)

        content = sections.change(file, "tracks", "tracks", put)
    figure = (paths.OUTPUTS if args.development else paths.ROOT / "docs") / "tracks.png"
    save_bytes(figure, plots.save_bytes(tracks_figure.draw(content["rows"], GRID, OTHERS)))
    for name, told in content["counts"].items():
        ways = "  ".join(f"{w} {told[w]['recovered']}/{told[w]['n']}" for w in (*WAYS, EITHER) if w in told)
        print(f"{name:14} {ways}")
    print(f"-> {relative(file)} and {relative(figure)}")
    return 0


if __name__ == "__main__":
    run_script(main)
