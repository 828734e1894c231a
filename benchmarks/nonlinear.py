"""Systems whose particles do not respond by a = F/m: is pair law and response recovered through the network?

reads   nothing, or what an interrupted call left behind: every stage skips what is done
writes  results/nonlinear.json, and a Markdown table on stdout

example:  python benchmarks/nonlinear.py --systems saturating relativistic mond --seeds 1 2 3

simulate -> train (newton, --no-linear-node) -> extract -> symbolic_reg -> test_generalization, a run for each system,
variant and seed. Datasets have the run's seed. A stage that fails is reported in its row and does not stop the others.
Beside every law stand its rivals: the same network read as if its node were linear, what was asked for with --rivals
(none of these has a response to fit), and the composition without a network, which has.
"""

import time

import sections

from distill.files import records
from distill.files.kinds import Generalization, LawRecord
from distill.pipeline.runs.cells import STAGES, Cell, Children
from distill.report.markdown import markdown, shown
from distill.search.registry import RIVALS
from distill.shell import paths
from distill.shell.flags import Parser, positive_int
from distill.shell.stage import run_script

SYSTEMS = ("saturating", "relativistic", "mond")


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--systems", nargs="+", default=list(SYSTEMS))
    add("--variants", nargs="+", default=["bottleneck"])
    add("--seeds", nargs="+", type=int, required=True)
    add("--dim", type=int, choices=(2, 3), default=2)
    add("--epochs", help="for train.py (default: the recipe's)")
    add("--rivals", nargs="*", choices=sorted(RIVALS), default=sorted(RIVALS), help="for symbolic_reg.py")
    add("--development", action="store_true", help="write to outputs/ and not to results/")
    add("--jobs", type=positive_int, default=1, help="runs at a time")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args, start, children = parse(argv), time.time(), Children()
    train = ("--no-linear-node", *(("--epochs", args.epochs) if args.epochs else ()))
    more = {"tag": "free", "train": train, "targets": (), "law_flags": ("--rivals", *args.rivals)}
    more |= {"compare": ("--rollouts", 8)}
    cells = [Cell(s, args.dim, v, "newton", k, **more) for k in args.seeds for s in args.systems for v in args.variants]

    def row(cell: Cell) -> dict:
        named = {k: getattr(cell, k) for k in ("system", "variant", "seed", "run")}
        return named | children.stages(cell, [s for s in STAGES if s != "fit"]) | collected(cell.run)

    rows = children.map(row, cells, args.jobs)
    content = sections.about("nonlinear", args, start) | {"rows": rows, "summary": summary(rows), "n": len(rows)}
    content["recovered_is"] = "pair law and response of the true form, constants within 1 % up to the factor they share"
    name = "nonlinear_development.json" if args.development else "nonlinear.json"
    place = (paths.OUTPUTS if args.development else paths.ROOT / "results") / name
    sections.save(place, "nonlinear", f"{args.dim}-D", content)
    print(f"\n{table(rows)}\n\n{content['summary']}\n-> {place.name}")
    return 0


def collected(run: str) -> dict:
    """The numbers of a run's law.json and generalization.json; nothing where they are not there."""
    path = paths.OUTPUTS / run / "law.json"
    if not path.is_file():
        return {}
    law = records.load(LawRecord, path)
    out = {
        "pair": law.pair.text,
        "response": response_of(law),
        "recovered": law.verdict.recovered,
        "why": law.verdict.why,
        "from_messages": law.from_messages.text,
        "from_messages_recovered": getattr(law.from_messages.verdict, "recovered", None),
        "error_law": law.acceleration_error.law,
        "error_network": law.acceleration_error.gnn,
        "choice": law.node_choice and vars(law.node_choice),
        "rivals": {
            name: {
                "pair": rival.pair.text,
                "error": rival.acceleration_error.law,
                "recovered": getattr(rival.verdict, "recovered", None),
            }
            for name, rival in law.rivals.items()
        },
    }
    beyond = paths.OUTPUTS / run / "generalization.json"
    if beyond.is_file():
        sets = records.load(Generalization, beyond).sets
        out["law_over_network_mae"] = {name: one.law_over_gnn_mae for name, one in sets.items()}
    return out


def response_of(law: LawRecord) -> str:
    """What the law says that a particle does with its net force S."""
    found = law.node.response
    if found is None:
        return "a = S/m_i"
    return f"a = ({found.alpha}) S" + ("" if found.beta == "0" else f" + ({found.beta}) v")


def summary(rows: list[dict]) -> dict:
    """Recovered, of how many, of the law and of every rival."""
    done = [r for r in rows if "recovered" in r]
    names = sorted({name for r in done for name in r["rivals"]})
    out = {"network": [sum(bool(r["recovered"]) for r in done), len(rows)]}
    out["network, before the refit"] = [sum(bool(r["from_messages_recovered"]) for r in done), len(rows)]
    for name in names:
        found = [r["rivals"][name] for r in done if name in r["rivals"]]
        out[name] = [sum(bool(f["recovered"]) for f in found), len(found)]
    return out


def table(rows: list[dict]) -> str:
    names = sorted({name for r in rows for name in r.get("rivals", {})})
    head = ["system", "variant", "seed", "pair law", "response", "recovered", "error", "network", *names]
    lines = []
    for r in rows:
        rivals = [shown(r.get("rivals", {}).get(name, {}).get("error")) for name in names]
        told = [r["system"], r["variant"], r["seed"], r.get("pair", r.get("error")), r.get("response", "-")]
        lines.append(
            [*map(str, told), str(r.get("recovered")), shown(r.get("error_law")), shown(r.get("error_network"))]
        )
        lines[-1] += rivals
    return markdown(head, lines)


if __name__ == "__main__":
    run_script(main)
