"""Compare the law with the network it came from, on data unlike the training data, and write the report.

reads   outputs/<run>/law.json  model_weights/<run>/  and the dataset the run was trained on
writes  outputs/<run>/generalization.json  generalization.png  report.html

example:  python test_generalization.py --run r2_n4_d2_s0__l1-newton__s0

Sets, each labelled by the true accelerations: interpolation (simulated anew), more_particles (twice as
many), longer (frames after the training time), wide (positions x 3), heavy (masses x 3), close (positions
x 0.3). Then truth, law and network are integrated from the same starts for 3 training times. Where the
true law is not known here, only the dataset's own test split is used.

In a periodic box (argon): forces in kJ/mol/nm; sets simulated anew like the dataset, at two and three times its
temperature, dilute, dense, and with four times as many atoms. Then truth, law and network drive the fluid: g(r) and
temperature at the dataset's temperature, drifts of energy and momentum at constant energy.
"""

import distill
from distill.generalization.comparison import FRESH_SEED, OPEN, comparisons
from distill.shell.flags import Parser, add_run_flags, non_negative_int, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--run", required=True, help="name (or path) of a folder in model_weights/ with a law.json in outputs/")
    # No defaults here: they depend on the data, and stand in distill/generalization/comparison.py.
    size = {name: f"({value})" for name, value in OPEN.defaults.items()}
    add("--n-trajectories", type=positive_int, help=f"new trajectories a set {size['n_trajectories']}")
    add("--max-graphs", type=positive_int, help=f"frames drawn at random from each set {size['max_graphs']}")
    add("--rollouts", type=non_negative_int, help=f"starts that are integrated; 0 = none {size['rollouts']}")
    add("--max-steps", type=positive_int, help=f"of law and network in each of these {size['max_steps']}")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    for kind in comparisons():
        if kind.add_flags:
            kind.add_flags(parser)
    add_run_flags(parser, "seed of the new trajectories; must differ from the dataset's")
    parser.set_defaults(seed=FRESH_SEED)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    set_threads(args.threads)
    print(distill.compare(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
