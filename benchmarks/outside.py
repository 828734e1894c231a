"""Are laws refused that no term can say? Systems outside the terms, as many inside them beside, and real fish.

Every cell: trajectories (``outside_data``), with exact accelerations or as positions alone with noise, read by
import_tracks, then look and symbolic_reg without a network. The data do not know the truth: all there is is the
verdict by the data alone. A law of the first kind must not be trusted, one of the second should be. Fish are the 100
juvenile zebrafish whose tracks come with the PyPI package trajectorytools (``pip install trajectorytools``).

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  results/outside.json (--development: outputs/outside.json)

example:  python benchmarks/outside.py --seeds 930 --kinds hidden --development
"""

import importlib.util
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import outside_data
import sections
from tracks import timed

import distill
from distill.files import records
from distill.files.kinds import LawRecord, LookRecord
from distill.files.names import splines_name
from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.report.numbers import hardware
from distill.report.words import trust_words
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, non_negative_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.statistics.rates import wilson

FISH = "fish"
KINDS = (*outside_data.OUTSIDE, *outside_data.INSIDE, FISH)
WAYS = ("accelerations", "positions")
DEVELOPMENT = range(930, 961)  # seeds that the tests of the code were made with


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=non_negative_int, nargs="+", required=True, help="of systems, noise and searches")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="systems; fish: the same whatever the seed")
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what was measured")
    add("--development", action="store_true", help="writes to outputs/ and not to results/")
    add("--overwrite", action="store_true", help="run finished cells again")
    args = parser.parse_args(argv)
    if not args.development and (seen := sorted(set(args.seeds) & set(DEVELOPMENT))):
        parser.error(f"seeds {seen} are those of the development: choose others, or --development")
    return args


def fish_file() -> Path:
    """The tracks of the package, which is not imported; ``UserError`` without it."""
    found = importlib.util.find_spec("trajectorytools")
    if found is None:
        raise UserError("the fish need the package trajectorytools", "pip install --no-deps trajectorytools")
    return Path(next(iter(found.submodule_search_locations))) / "data" / "test_trajectories.npy"


def table(name: str, kind: str, way: str, seed: int) -> tuple[Path, dict]:
    """(the arrays as a file to import, what was drawn)."""
    path = paths.OUTPUTS / "outside" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == FISH:
        np.savez(path, pos=np.load(fish_file(), allow_pickle=False)[None], t=np.arange(300.0))
        return path, {"what": "fish"}
    made = outside_data.made(kind, seed)
    np.savez(path, **(outside_data.positions_alone(made.arrays, seed) if way == WAYS[1] else made.arrays))
    return path, made.about


def measured(name: str, kind: str, way: str, seed: int) -> dict:
    """A cell: what look and symbolic_reg say."""
    seconds: dict = {}
    path, about = timed(seconds, "simulate", table, name, kind, way, seed)
    timed(seconds, "import_tracks", distill.import_tracks, path, name=name, overwrite=True)
    looked = timed(seconds, "look", distill.look, name)
    done = timed(seconds, "symbolic_reg", distill.search_law, dataset=name, rivals=(), seed=seed, overwrite=True)
    place = paths.OUTPUTS / splines_name(name)
    law, look = records.load(LawRecord, place / "law.json"), records.load(LookRecord, place / "look.json")
    path.unlink()
    out = about | {"trusted": law.data_verdict.trusted, "why": law.data_verdict.why, "verdict": trust_words(law)}
    out |= {"law": law.pair.text, "left": look.left, "look": looked.lines, "lines": done.lines}
    return out | {"seconds": seconds}


def cell(kind: str, way: str, seed: int, overwrite: bool) -> dict:
    """A row, measured unless it is there."""
    name = f"outside_{kind}_{way}" + ("" if kind == FISH else f"_s{seed}")
    path = paths.OUTPUTS / "outside" / f"{name}.json"
    found = None if overwrite or not path.is_file() else load_json(path, "move it away")
    if found is None:
        start = time.time()
        try:
            found = measured(name, kind, way, seed)
        except UserError as exc:
            found = {"error": str(exc)}
        about = provenance("benchmarks/outside.py", {"cell": name}, {}, time.time() - start)
        found |= {"git": about["git"], "hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
        save_json(path, found)
    told = found.get("error") or f"{'TRUSTED' if found['trusted'] else 'not trusted'}: {found['why']}"
    print(f"{name:42} {told}  {found.get('seconds')}", file=sys.stderr, flush=True)
    return {"kind": kind, "way": way, "seed": None if kind == FISH else seed} | found


def counted(rows: list[dict]) -> dict:
    """Name of a kind, ``outside`` and ``inside`` -> how many laws are trusted of how many, by what was measured.

    A cell that ended in an error has no law that anybody could trust; it is counted beside.
    """
    out: dict = {}
    groups = {kind: (kind,) for kind in KINDS}
    groups |= {"outside": (*outside_data.OUTSIDE, FISH), "inside": outside_data.INSIDE}
    for (name, kinds), way in product(groups.items(), WAYS):
        some = [r for r in rows if r["kind"] in kinds and r["way"] == way]
        if some:
            trusted = sum(r.get("trusted", False) for r in some)
            told = {"trusted": trusted, "n": len(some), "errors": sum("error" in r for r in some)}
            out.setdefault(name, {})[way] = told | {"interval": list(wilson(trusted, [1] * len(some)))}
    return out


def main(argv=None) -> int:
    args, start = parse_arguments(argv), time.time()
    set_threads(1)
    file = (paths.OUTPUTS if args.development else paths.ROOT / "results") / "outside.json"
    content: dict = {"counts": {}}
    todo = [(k, w, s) for s, k, w in product(args.seeds, args.kinds, args.ways) if k != FISH]
    todo += [(FISH, WAYS[1], 0)] if FISH in args.kinds and WAYS[1] in args.ways else []
    for kind, way, seed in todo:
        row = cell(kind, way, seed, args.overwrite)
        old = sections.read(file).get("outside", {})
        rows = {(r["kind"], r["way"], r["seed"]): r for r in old.get("rows", [])}
        rows[kind, way, row["seed"]] = row
        ordered = sorted(rows.values(), key=lambda r: (KINDS.index(r["kind"]), WAYS.index(r["way"]), r["seed"] or 0))
        content = {"rows": ordered, "counts": counted(ordered)} | sections.about("outside.py", args, start)
        sections.save(file, "outside", "outside", content)
    for name, told in content["counts"].items():
        print(f"{name:20}" + "  ".join(f"{way}: {one['trusted']} of {one['n']} trusted" for way, one in told.items()))
    print(f"-> {relative(file)}")
    return 0


if __name__ == "__main__":
    run_script(main)
