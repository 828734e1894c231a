"""Search for the equations behind the messages and compose the force law.

reads   outputs/<run>/messages_train.npz  and the run's dataset; with --dataset that alone, with --messages a file
writes  outputs/<run>/symbolic/<target>/hall_of_fame.csv  front.json
        outputs/<run>/pareto.png  law.json  law.py (needs NumPy only), with --export law_openmm.py  law.table

example:  python symbolic_reg.py --run r2_n4_d2_s0__l1-newton__s0
          python symbolic_reg.py --dataset r2_n4_d2_s0        into outputs/r2_n4_d2_s0__splines/
          python symbolic_reg.py --messages theirs.npz        into outputs/theirs/
          python symbolic_reg.py --run r2_n4_d2_s0__l1-newton__s0 --hall-of-fame hall_of_fame.csv --names r m_i m_j

Targets: "radial", the radial force f(r, m_i, m_j, q_i, q_j) from the read-out of all components that was
fitted on the net forces that the network predicts; "components", the most important message components
in dx, dy, r, m, q as in the paper; "shared", one radial function behind these components, their mixture
found with it; "node", the node function from the read-out's net force. No search sees a label. The law is
composed from the radial target: every formula on its front is refitted on training accelerations, the
best is kept.
Of a network trained with --no-linear-node the response of a particle to its net force is searched too (docs/method.md).

engines: pysr needs Julia (make pysr); operon is installed with the requirements.
"""

from argparse import BooleanOptionalAction

import distill
from distill.export.registry import PROGRAMS
from distill.formulas.functions import OPERATORS
from distill.search.registry import DEFAULT_RIVALS, DEFAULT_TARGETS, ENGINES, FORCE_FROM, LOSSES, RIVALS, TARGETS
from distill.shell.flags import Parser, add_run_flags, positive_float, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    add, usual = parser.add_argument, " ".join(DEFAULT_TARGETS)
    which = parser.add_mutually_exclusive_group(required=True).add_argument
    which("--run", help="name (or path) of a folder in model_weights/")
    which("--dataset", help="in place of a run: splines fitted to the accelerations of this dataset, without a network")
    which(
        "--messages", metavar="FILE", help="in place of a run: messages made elsewhere, an .npz as in docs/formats.md"
    )
    add("--name", help="of the folder in outputs/ for --messages (what the file is called)")
    add(
        "--force-from",
        choices=FORCE_FROM,
        help="the pair force that is searched: messages, splines fitted to accelerations, or both, the splines as one"
        " of the --rivals (messages; of a dataset splines)",
    )
    add("--targets", nargs="+", choices=TARGETS, help=f"what to search; the law needs radial ({usual})")
    add("--engine", choices=("auto", *ENGINES), default="auto", help="auto: pysr if Julia is ready here")
    add(
        "--rivals",
        nargs="*",
        choices=RIVALS,
        default=list(DEFAULT_RIVALS),
        help="other ways to a law from the same data, each refitted and judged alike; control: the refit alone,"
        " untrained: the network before its first step, splines: fitted to the accelerations",
    )
    add(
        "--node",
        choices=("auto", "linear", "function"),
        default="auto",
        help="what a particle does with its net force S: linear: a = S/m; function: a = alpha S + beta v is searched"
        " too; auto: function if the network was trained with --no-linear-node",
    )
    add(
        "--sr-on-inputs",
        action="store_true",
        help="also search on the whole system's inputs: the baseline without"
        " a network, with distances and nearest-first order given; see distill/search/whole_system.py",
    )
    add("--raw-inputs", action="store_true", help="with --sr-on-inputs: positions of all particles as they are")
    add(
        "--export",
        nargs="+",
        choices=PROGRAMS,
        default=[],
        help="write the law for these programs too, that of a finished run without another search",
    )
    add = parser.add_argument_group("formulas of a file, in place of a search").add_argument
    add("--hall-of-fame", metavar="FILE", help="PySR's front, or a table with a column Equation: refitted and judged")
    add("--names", nargs="+", default=[], help="what its names are: x0=r x1=m_i, or r m_i for its x0 and x1")
    add = parser.add_argument_group("search").add_argument
    add("--operators", nargs="+", choices=OPERATORS, help="(+ - * / square exp; in a box pow as well)")
    add("--loss", choices=LOSSES, default="relative", help="what a row is fitted to")
    add("--rows", type=positive_int, default=4000, help="edges (or particles) drawn for a search")
    add("--max-complexity", type=positive_int, default=30, help="nodes of a formula")
    add("--restarts", type=positive_int, default=8, help="operon: at most this many")
    add("--min-restarts", type=positive_int, default=3, help="operon: at least this many")
    add("--niterations", type=positive_int, default=100, help="pysr: iterations")
    add(
        "--guesses",
        action=BooleanOptionalAction,
        default=True,
        help="pysr: start from formulas of the embedded engine, where both are installed",
    )
    add(
        "--time-limit",
        type=positive_float,
        help="seconds for each target's search (pysr: some 15 more for Julia to compile)",
    )
    add(
        "--deterministic",
        action=BooleanOptionalAction,
        default=True,
        help="pysr: same result for the same seed, on one thread; without it --threads are Julia's",
    )
    add_run_flags(parser, "seed of the search and of the rows drawn")
    args = parser.parse_args(argv)
    if args.raw_inputs and not args.sr_on_inputs:
        parser.error("argument --raw-inputs: only with --sr-on-inputs")
    return args


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(1)  # targets are searched in processes of their own
    print(distill.search_law(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
