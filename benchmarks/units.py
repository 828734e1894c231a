"""Whether what is found depends on the unit or the origin of the data: writes results/units.json, keeps what it holds.

Every dataset is taken as it is and in other units: lengths, times, masses and charges each times 10^u, u uniform in
[-12, 12], and positions shifted by 10^6 typical distances in a random direction first. The shift leaves positions
with 1e-10 of a typical distance, as 64 bits do; accelerations are those of the positions before.

splines     symbolic_reg.py --dataset on each: the law turned back is judged on the test split as it is
networks    train.py on each, with the same seed; with --laws also extract_messages.py and symbolic_reg.py --run

example:  python benchmarks/units.py splines --seeds 930 --rescalings 20
"""

import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import sections

import distill
from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LawRecord, RunConfig
from distill.files.names import dataset_name
from distill.files.scales import ONE, Scales, scales_of
from distill.formulas.text import to_text
from distill.formulas.units import Units
from distill.law import verdict
from distill.physics.law import Law, law_of
from distill.physics.systems import load_system
from distill.physics.terms import TERMS
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_int
from distill.shell.stage import Stage, progress, run_script
from distill.splines.observations import observations

SYSTEMS = ("spring", "r1", "r2", "charge")
DECADES, AWAY = 12.0, 1e6
WITHIN = 0.1  # relative difference of network errors
TEST_GRAPHS = 2000
KEY = ("system", "dim", "seed", "rescaling")


def rescaling(seed: int, number: int, dim: int) -> tuple[Scales, np.ndarray]:
    """(units, shift [dim] in typical distances) of that number; 0: none."""
    if not number:
        return ONE, np.zeros(dim)
    rng = np.random.default_rng([seed, number, 97])
    length, time_, mass, charge = (float(v) for v in 10 ** rng.uniform(-DECADES, DECADES, 4))
    way = rng.normal(size=dim)
    return Scales(length, time_, {"mass": mass, "charge": charge}), AWAY * way / np.linalg.norm(way)


def in_units(dataset: Dataset, by: Scales, shift: np.ndarray, most: int | None) -> dict:
    """Arrays of a dataset in other units, of its first ``most`` trajectories of each split."""
    keep = np.sort(np.concatenate([np.flatnonzero(dataset.split == k)[:most] for k in range(3)]))
    unit = {"vel": by.speed, "acc": by.acceleration, "mass": by.of("mass"), "charge": by.of("charge")}
    out = {k: getattr(dataset, k)[keep].astype(float) * u for k, u in unit.items()}
    pos = (dataset.pos[keep].astype(float) + scales_of(dataset).length * shift) * by.length
    return out | {"pos": pos, "split": dataset.split[keep], "t": dataset.t * by.time}


def stage(folder: Path, script: str, *flags: str) -> None:
    """Run a stage with its files in ``folder``; ``UserError`` with its last line where it fails."""
    own = {"DISTILL_OUTPUTS": folder / "outputs", "DISTILL_MODEL_WEIGHTS": folder / "weights"}
    env = os.environ | {k: str(v) for k, v in own.items()} | {"PYTHONPATH": str(paths.ROOT)}
    command = [sys.executable, str(paths.ROOT / script), *flags]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{script} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")


def judged(path: Path, by: Scales, dataset: Dataset, system: str) -> dict:
    """The law of a law.json turned back, against the truth, on the test split of the ``dataset`` as it is."""
    found, units = law_of(records.load(LawRecord, path)), Units.of_scales(by)
    node = {k: v / TERMS[k].unit(units) for k, v in found.node.items()}
    law, edges = Law(units.pair(found.pair), node), observations(dataset, "test", TEST_GRAPHS)
    said = verdict.against_truth(law, load_system(system).formula, edges, np.zeros_like(edges["dx"]), split="test")
    told = {k: said[k] for k in ("recovered", "same_form", "why", "relative_error_in_range")}
    return {"law": to_text(found.pair, 6), "turned_back": to_text(law.pair, 6)} | told


def cell(command: str, key: tuple, args) -> dict:
    """What one dataset in one rescaling gives."""
    system, dim, seed, number = key
    name = dataset_name(system, 4, dim, seed)
    if not (paths.DATASETS / f"{name}.npz").is_file():
        distill.simulate(system, dim=dim, seed=seed)
    dataset, (by, shift), start = load_dataset(name), rescaling(seed, number, dim), time.perf_counter()
    out = dict(zip(KEY, key, strict=True)) | {"length": by.length, "time": by.time}
    out |= {k: by.of(k) for k in ("mass", "charge")} | {"shift": shift.tolist()}
    quick = ["--quick"] if args.quick else []
    search = ["--engine", "operon", "--targets", "radial", *quick]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.savez(folder / "data.npz", **in_units(dataset, by, shift, args.trajectories))
        given = str(folder / "data.npz")
        if command == "splines":
            stage(folder, "symbolic_reg.py", "--dataset", given, *search)
            law = folder / "outputs" / "data__splines" / "law.json"
        else:
            flags = ["--epochs", str(args.epochs)] if args.epochs else []
            stage(
                folder, "train.py", "--dataset", given, "--variant", args.variant, "--seed", str(seed), *flags, *quick
            )
            run = next((folder / "weights").iterdir()).name
            skill = records.load(RunConfig, folder / "weights" / run / "config.json").skill
            out |= {k: getattr(skill, k) for k in ("network", "zero", "mean")}
            law = folder / "outputs" / run / "law.json" if args.laws else None
            if args.laws:
                stage(folder, "extract_messages.py", "--run", run, *quick)
                stage(folder, "symbolic_reg.py", "--run", run, *search)
        out |= judged(law, by, dataset, system) if law else {}
    return out | {"seconds": round(time.perf_counter() - start, 1)}


def summary(rows: list[dict]) -> dict:
    """Counts over the rescaled datasets; network errors against those of the same data as they are."""
    plain = {tuple(r[k] for k in KEY[:3]): r for r in rows if not r["rescaling"]}
    other = [r for r in rows if r["rescaling"]]
    out = {"n": len(other), "datasets": len(plain)}
    if judged_ones := [r for r in other if "recovered" in r]:
        out |= {"n_laws": len(judged_ones), "recovered": sum(r["recovered"] for r in judged_ones)}
        out["recovered_as_they_are"] = sum(r["recovered"] for r in plain.values() if "recovered" in r)
    pairs = [(r, plain.get(tuple(r[k] for k in KEY[:3]))) for r in other if "network" in r]
    ratios = [r["network"] / own["network"] for r, own in pairs if own]
    if ratios:
        within = sum(abs(x - 1) <= WITHIN for x in ratios)
        out |= {
            "n_networks": len(ratios),
            "within": within,
            "largest_ratio": max(ratios),
            "smallest_ratio": min(ratios),
        }
    return out


def main(argv=None) -> int:
    parser = Parser(__doc__, prog="benchmarks/units.py")
    add = parser.add_argument
    add("command", choices=("splines", "networks"), help="what is found by")
    add("--seeds", type=int, nargs="+", required=True, help="of datasets, rescalings and networks")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="force laws")
    add("--dims", type=int, nargs="+", choices=(2, 3), default=[2], help="space dimensions")
    add("--rescalings", type=positive_int, default=20, help="of each dataset, beside the data as they are")
    add("--trajectories", type=positive_int, help="of each split, the first ones; default: all")
    add("--variant", default="l1", help="of the networks")
    add("--epochs", type=positive_int, help="of the networks; default: the recipe's")
    add("--laws", action="store_true", help="search the messages of the networks too")
    add("--out", type=Path, default=paths.ROOT / "results" / "units.json", help="the file written")
    add("--overwrite", action="store_true", help="measure again what the file holds")
    add("--quick", action="store_true", help="quick stages: numbers mean nothing")
    args = parser.parse_args(argv)
    told, start = Stage("units", args.command), time.time()
    old = {} if args.overwrite else sections.read(args.out).get(args.command, {})
    rows = {tuple(r[k] for k in KEY): r for r in old.get("rows", [])}
    wanted = product(args.systems, args.dims, args.seeds, range(args.rescalings + 1))
    for key in progress([key for key in wanted if key not in rows], desc=args.command, unit="dataset"):
        rows[key] = cell(args.command, key, args)
        content = {"rows": [rows[k] for k in sorted(rows)]}
        content |= {"summary": summary(content["rows"]), "provenance": sections.about("units.py", args, start)}
        sections.save(args.out, "units", args.command, content)
    print(told.done(args.out, **summary(list(rows.values()))), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
