"""How fast is every stage, against the original way of doing it and against what the machine can do?

simulation   trajectories a second: one adaptive solve per trajectory, heyoka.py, simulate.py; with their accuracy
training     graphs a second of the paper's network: PyTorch Geometric as published, ours, the matrix peak
sizes        the same for 8, 32 and 100 particles, with memory
time-to-r2   CPU seconds until the messages are the force, newton recipe and paper recipe
extraction   graphs a second and memory of extract_messages.py
search       CPU seconds a recovered law, against a plain search without the choice of budgets
gpu          graphs a second with the paper's network: step by step, captured, stacked
pipeline     the stages of ``make demo``, --help of every script, and a large dataset: seconds and memory
summary      tables and the figure from the results that are there

reads   nothing
writes  results/speed.json, one section a command (and a number of threads); summary: docs/speed.png

example:  python benchmarks/speed.py training --threads 2

Timings of one process, one thread unless --threads says otherwise, bracketed by the baseline's; medians.
"""

import importlib
import time

import sections

from distill.shell import paths
from distill.shell.flags import Parser, non_negative_int, positive_int
from distill.shell.paths import relative
from distill.shell.stage import run_script
from distill.shell.threads import set_threads

RESULTS = paths.ROOT / "results" / "speed.json"
# command: module of this folder; its measure(args) gives {"table": Markdown, "bars": [speed_timing.bar(...)], ...}
COMMANDS = {
    "simulation": "speed_simulation",
    "training": "speed_training",
    "sizes": "speed_training",
    "time-to-r2": "speed_time_to_r2",
    "extraction": "speed_extraction",
    "search": "speed_search",
    "pipeline": "speed_pipeline",
    "gpu": "speed_gpu",
}
SEEDS = {"time-to-r2": (211, 212, 213, 214, 215), "search": (311, 312, 313)}


def parse(argv):
    parser = Parser(__doc__)
    commands = parser.add_subparsers(dest="kind", metavar="command", required=True)
    for name in COMMANDS:
        sub = commands.add_parser(name, description=__doc__)
        sub.add_argument("--threads", type=positive_int, default=1, help="numerical threads of this process")
        sub.add_argument("--rounds", type=positive_int, default=5, help="timings of each, bracketed")
        sub.add_argument("--quick", action="store_true", help="tiny sizes through the same code; nothing is stored")
        if name in SEEDS:
            sub.add_argument("--seeds", nargs="+", type=non_negative_int, default=SEEDS[name], help="fresh seeds")
        if name == "search":
            sub.add_argument(
                "--against",
                metavar="FILE",
                help="another search: a Python file with a function"
                " sr_front(X, y, names) -> (table with loss and sympy, anything)",
            )
    commands.add_parser("summary", description="tables and the figure from the results that are there")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    if args.kind == "summary":
        from speed_figure import summary

        return summary(RESULTS)
    set_threads(args.threads)  # before anything numerical is imported
    start = time.time()
    content = importlib.import_module(COMMANDS[args.kind]).measure(args)
    print(f"\n{content['table']}\n")
    for bar in content["bars"]:
        print(
            f"{ {True: 'met', False: 'MISSED', None: 'not measured'}[bar['met']]:13s}{bar['what']}:"
            f" {bar['measured']} (wanted: {bar['wanted']})"
        )
    if not args.quick:
        section = args.kind if args.threads == 1 else f"{args.kind}, {args.threads} threads"
        made = sections.about(f"speed {args.kind}", args, start)
        sections.save(RESULTS, "speed", section, made | content)
        print(f"-> {relative(RESULTS)}, section {section}")
    return 0


if __name__ == "__main__":
    run_script(main)
