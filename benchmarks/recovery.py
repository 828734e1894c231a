"""How often is the law found? Rates over seeds, with intervals, that say what the pipeline can be trusted with.

planted      the symbolic-regression engine alone, on messages whose law is known: laws x dimensions x noise x
             seeds, one formula for a message component and one for the radial force of each
pipeline     all six stages: systems x dimensions x variants x seeds (x noise on the accelerations); seed k makes
             the dataset and the training; --matrix names what the README reports
near-misses  laws that are nearly right: the verdict has to refuse them all, and no right one however it is spelt
summary      tables and the figure from the results that are there
cell         run one cell and print its row as JSON (what planted and near-misses start)

reads   nothing, or what an interrupted call left behind: a finished cell is found done
writes  outputs/recovery/<kind>/<cell>.json  results/recovery_<kind>.json; summary: docs/recovery.png

example:  python benchmarks/recovery.py pipeline --matrix newton --seeds 201 202 203

One process a core, one thread each. A cell that fails is reported in its row and does not stop the others. The
seeds used in development are refused, unless --development sends everything to other files.
"""

import json
import os
import time
from importlib import import_module

import sections
from recovery_cells import NOISE, WITHOUT, Measurement, pipelines, run_all

from distill.files.provenance import provenance
from distill.files.storage import plain, save_bytes
from distill.search.registry import RIVALS
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser, fraction, non_negative_int, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

# settings were chosen looking at these; 201 to 203 are those of the results before ``FRESH``
DEVELOPMENT_SEEDS = (*range(10), 100, 101, 102, 201, 202, 203, *range(901, 931))
FRESH = (1501, 1502, 1503)
ALL = ("spring", "r1", "r2", "charge")
HARD = ("damped", "discontinuous", "superposition")


def matrix(systems=ALL, dims=(2,), variants=("l1",), noise=(0.0,), noise_is="multiplied", without=("",), n=4) -> dict:
    made = {"systems": systems, "dims": dims, "variants": variants}
    return made | {"noise": noise, "noise_is": noise_is, "without": without, "n": n}


MATRICES = {
    "newton": matrix(dims=(2, 3), variants=("l1", "bottleneck", "pruning")),
    "standard": matrix(dims=(2, 3), variants=("standard",)),
    "hard": matrix(HARD),
    "noise": matrix(noise=(0.01, 0.05)),
    "added-noise": matrix(noise=(0.01, 0.05), noise_is="added"),
    "argon": matrix(("lj",), (3,), ("l1", "bottleneck", "kl", "pruning", "std", "standard"), n=258),
    "priors": matrix(("r1", "charge"), without=tuple(WITHOUT)),
}
PLANTED = {"laws": ALL, "dims": (2, 3), "noise": (0.005, 0.02), "noise_is": "added", "paths": ("components", "radial")}
SEEDS = {"planted": range(301, 306), "pipeline": FRESH, "near-misses": (401,)}
KINDS = tuple(SEEDS)
MODULES = {"planted": "recovery_planted", "near-misses": "recovery_near_misses"}  # imported late: --help is at once


def parse(argv):
    parser = Parser(__doc__)
    commands = parser.add_subparsers(dest="kind", metavar="command", required=True)

    def command(name, what):
        sub = commands.add_parser(name, description=what, help=what)
        if name != "cell":
            sub.add_argument("--development", action="store_true", help="development seeds, other files")
        if name in SEEDS:
            default = "default: " + " ".join(map(str, SEEDS[name]))
            sub.add_argument("--seeds", nargs="+", type=non_negative_int, help=default)
            sub.add_argument("--jobs", type=positive_int, default=os.cpu_count(), help="processes at a time")
            sub.add_argument("--overwrite", action="store_true", help="run finished cells again")
            dirty = "measure although tracked files are changed; it is recorded (development: always)"
            sub.add_argument("--allow-dirty", action="store_true", help=dirty)
        return sub.add_argument

    narrow = "instead of the matrix's; goes to the section 'custom'"
    add = command("planted", "the symbolic-regression engine alone")
    add("--engine", choices=("operon", "pysr"), default="operon")
    add(
        "--forms", action="store_true", help="radial forces that are no system's, 'radial' only: section <engine>_forms"
    )
    add("--laws", nargs="+", choices=ALL, help="instead of all; goes to the section 'custom', as the next three do")
    add("--dims", nargs="+", type=int, choices=(2, 3))
    add("--noise", nargs="+", type=fraction)
    add("--noise-is", choices=sorted(NOISE), help="how it is put on (added)")
    add("--paths", nargs="+", choices=PLANTED["paths"])
    add("--rows", type=positive_int, default=4000, help="rows of a search")
    add("--restarts", type=positive_int, default=8, help="operon: at most this many")
    add("--min-restarts", type=positive_int, default=3, help="operon: at least this many")
    add("--niterations", type=positive_int, default=100, help="pysr: iterations")
    add = command("pipeline", "all six stages")
    add("--matrix", choices=sorted(MATRICES), default="newton")
    add("--systems", nargs="+", help=narrow)
    add("--dims", nargs="+", type=int, choices=(2, 3), help=narrow)
    add("--variants", nargs="+", help=narrow)
    add("--noise", nargs="+", type=fraction, help=narrow)
    add("--noise-is", choices=sorted(NOISE), help="how it is put on: " + narrow)
    add("--without", nargs="+", choices=[k for k in WITHOUT if k], help="priors to switch off, one each; " + narrow)
    add("--recipe", default="newton", help="of train.py")
    add("--n", type=positive_int, help="particles; " + narrow)
    add("--targets", nargs="+", default=["radial", "node"], help="of symbolic_reg.py")
    add("--rivals", nargs="*", choices=RIVALS, default=list(RIVALS), help="beside the first network of a dataset (all)")
    add = command("near-misses", "laws that are nearly right")
    add("--count", type=positive_int, default=300, help="near-misses a seed, and a third as many right laws")
    command("summary", "tables and the figure from the results that are there")
    add = command("cell", "run one cell and print its row as JSON")
    add("what", choices=list(MODULES))
    add("arguments", help="a JSON object")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    if args.kind == "cell":
        print(json.dumps(plain(run_cell(args.what, args.arguments)), allow_nan=False))
        return 0
    if args.kind == "summary":
        return summary(args.development)
    args.seeds = seeds_of(args)
    require_clean(args)
    section, todo = {"planted": planted, "pipeline": pipeline, "near-misses": near_misses}[args.kind](args)
    start = time.time()
    content = describe(args, run_all(todo, args.jobs, args.overwrite), start)
    path = results_path(args.kind, args.development)
    sections.save(path, f"recovery {args.kind}", section, content)
    print(f"\n{content['table']}\n\n-> {relative(path)}, section {section}")
    return 0


def seeds_of(args) -> list[int]:
    """The seeds asked for; ``UserError`` if development and reported ones are mixed up."""
    seeds = list(args.seeds or ((100, 101, 102) if args.development else SEEDS[args.kind]))
    used = [k for k in seeds if k in DEVELOPMENT_SEEDS]
    if used and not args.development:
        raise UserError(
            f"seed {used[0]} was used in development and says nothing of what is new",
            "choose other --seeds, or add --development to write other files",
        )
    if args.development and len(used) < len(seeds):
        other = next(k for k in seeds if k not in used)
        known = " ".join(map(str, DEVELOPMENT_SEEDS))
        raise UserError(
            f"seed {other} is no development seed, and looking at it now would spoil it",
            f"with --development choose among {known}",
        )
    return seeds


def require_clean(args) -> None:
    """``UserError`` if what is to be reported would not be that of a commit."""
    if provenance("recovery", {}, {}, 0)["git"]["dirty"] and not (args.allow_dirty or args.development):
        raise UserError(
            "tracked files differ from the commit, so nobody could repeat what is measured",
            "commit first, or add --allow-dirty, which is recorded",
        )


def chosen(args, preset: dict) -> tuple[dict, bool]:
    """``preset`` with what the command line changes, and whether it changes anything."""

    def comparable(value):
        return value if isinstance(value, str | int) else tuple(value)

    own = {k: comparable(getattr(args, k)) for k in preset if getattr(args, k) is not None}
    return preset | own, any(own[k] != comparable(preset[k]) for k in own)


def planted(args) -> tuple[str, list[Measurement]]:
    from recovery_data import FORMS

    from distill.search.engine import USUAL
    from distill.search.registry import resolve_engine

    resolve_engine(args.engine)
    preset = PLANTED | ({"laws": tuple(FORMS), "paths": ("radial",)} if args.forms else {})
    what, narrowed = chosen(args, preset)
    options = {"operators": list(USUAL), "max_complexity": 30}
    options |= {k: getattr(args, k) for k in ("rows", "restarts", "min_restarts", "niterations")}
    made = import_module(MODULES["planted"]).cells(**what, seeds=args.seeds, engine=args.engine, options=options)
    section = args.engine + ("_forms" if args.forms else "")
    return "custom" if narrowed else section, [Measurement("planted", *item) for item in made.items()]


def pipeline(args) -> tuple[str, list[Measurement]]:
    what, narrowed = chosen(args, MATRICES[args.matrix])
    narrowed = narrowed or args.recipe != "newton"
    own = {k: getattr(args, k) for k in ("seeds", "recipe", "targets", "rivals")}
    made = pipelines(**what, **own)
    return "custom" if narrowed else args.matrix, made


def near_misses(args) -> tuple[str, list[Measurement]]:
    cells = import_module(MODULES["near-misses"]).cells
    made = [Measurement("near-misses", *item) for seed in args.seeds for item in cells(seed, args.count).items()]
    return "all" if args.count == 300 else "custom", made


def run_cell(what: str, text: str) -> dict:
    """The row of one cell, in this process."""
    try:
        arguments = json.loads(text)
    except ValueError as exc:
        raise UserError(f"the cell's arguments are no JSON: {exc}") from None
    set_threads(1)
    return import_module(MODULES[what]).measure(arguments) | {"versions": provenance("cell", {}, {}, 0)["versions"]}


# ---------------------------------------------------------------- results


def results_path(kind: str, development: bool):
    """Where the results of ``kind`` go; those of development are nothing to keep in the repository."""
    name = f"recovery_{kind.replace('-', '_')}"
    if development:
        return paths.OUTPUTS / "recovery" / f"{name}_development.json"
    return paths.ROOT / "results" / f"{name}.json"


def describe(args, contents: list[dict], start: float) -> dict:
    """A section of the results: provenance, every row, rates and the table."""
    import recovery_summary

    made = sections.about(f"recovery {args.kind}", args, start)
    made["versions"] = contents[-1]["versions"] or made["versions"]
    made["cells_made"] = {k: sorted({str(c[k]) for c in contents}) for k in ("hardware", "date")}
    made["cells_made"] |= {k: sorted({str(c["git"][k]) for c in contents}) for k in ("commit", "dirty")}
    return made | recovery_summary.summarise(args.kind, [c["row"] | dict(c["git"]) for c in contents])


def summary(development: bool) -> int:
    """Rates and tables are made anew from the rows, which alone were measured."""
    import recovery_figure
    import recovery_summary

    from distill.report import plots

    found = {}
    for kind in KINDS:
        for section, content in sections.read(results_path(kind, development)).items():
            if kind != "near-misses":  # its rows are those of several formulas each
                made = plain(content | recovery_summary.summarise(kind, content["rows"]))
                if made != content:
                    sections.save(results_path(kind, development), f"recovery {kind}", section, made)
                content = made
            found[kind, section] = content
            print(f"## {kind}, {section}: {content['date']}, {content['hardware']}\n\n{content['table']}\n")
    if not found:
        raise UserError("there are no results yet", f"run this first:  python benchmarks/recovery.py {KINDS[1]}")
    runs = {section: content["rows"] for (kind, section), content in found.items() if kind == "pipeline"}
    beside = {k: rows for k, rows in runs.items() if any("noise_is" in r for r in rows)}
    runs = beside or runs  # what was measured before the rivals were is no row beside them
    if runs:
        out = (paths.OUTPUTS / "recovery" if development else paths.ROOT / "docs") / "recovery.png"
        save_bytes(out, plots.save_bytes(recovery_figure.recovery(runs)))
        print(f"drawn  {relative(out)}")
    return 0


if __name__ == "__main__":
    run_script(main)
