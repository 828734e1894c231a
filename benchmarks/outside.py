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
from itertools import product
from pathlib import Path

import cell_files
import numpy as np
import outside_data
from tracks import timed

import distill
from distill.files import records
from distill.files.kinds import LawRecord, LookRecord
from distill.files.names import splines_name
from distill.report.words import trust_words
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, non_negative_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.statistics.rates import wilson

FISH = "fish"
KINDS = (*outside_data.OUTSIDE, *outside_data.INSIDE, FISH)
WAYS = ("accelerations", "positions")


def parse_arguments(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seeds", type=non_negative_int, nargs="+", required=True, help="of systems, noise and searches")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="systems; fish: the same whatever the seed")
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what was measured")
    cell_files.add_flags(parser)
    return cell_files.parse(parser, argv)


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


def name_of(kind: str, way: str, seed: int | None) -> str:
    """Of a cell and its dataset; the fish are the same whatever the seed, which is None."""
    return f"outside_{kind}_{way}" + ("" if seed is None else f"_s{seed}")


def measured(kind: str, way: str, seed: int | None) -> dict:
    """A cell: what look and symbolic_reg say."""
    name, seed, seconds = name_of(kind, way, seed), seed or 0, {}
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


def told(row: dict) -> str:
    return f"{'TRUSTED' if row['trusted'] else 'not trusted'}: {row['why']}  {row['seconds']}"


CELLS = cell_files.Benchmark(
    "outside",
    ("kind", "way", "seed"),
    place=lambda row: (KINDS.index(row["kind"]), WAYS.index(row["way"]), row["seed"] or 0),
    summary=lambda rows: {"counts": counted(rows)},
    told=told,
)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    cells = {name_of(k, w, s): (k, w, s) for s, k, w in product(args.seeds, args.kinds, args.ways) if k != FISH}
    if FISH in args.kinds and WAYS[1] in args.ways:
        cells[name_of(FISH, WAYS[1], None)] = (FISH, WAYS[1], None)
    for name, one in CELLS.run(cells, args)["counts"].items():
        print(f"{name:20}" + "  ".join(f"{w}: {one[w]['trusted']} of {one[w]['n']} trusted" for w in one))
    print(f"-> {relative(CELLS.results(args))}")
    return 0


if __name__ == "__main__":
    run_script(main)
