"""Simulate boxes of dark matter, find their haloes and make them a dataset.

reads    nothing
writes   datasets/<name>.npz and .json, a box a trajectory of one frame
example  python experiments/halos/make.py --name halos --train 2 3 4 --validation 5 --test 6

Own particle-mesh boxes (pmpp: pip install -r requirements-halos.txt), not Quijote; the target is the overdensity in
spheres of 20 Mpc/h around every halo. Then:  python train.py --dataset halos --variant l1
"""

from distill.files.names import dataset_path
from distill.halos.catalogue import CUTOFF, dataset_arrays, of_particles
from distill.halos.keeping import keep_dataset
from distill.halos.particles.box import Box, simulate
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_float, positive_int
from distill.shell.paths import relative
from distill.shell.stage import Stage, progress, run_script


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--name", required=True, help="of the dataset")
    seeds = {"nargs": "+", "type": int, "required": True, "metavar": "SEED"}
    add("--train", help="boxes to learn from", **seeds)
    add("--validation", help="boxes that training is watched on", **seeds)
    add("--test", help="boxes for errors alone", **seeds)
    add("--side", type=positive_float, default=250.0, help="of a box, in Mpc/h")
    add("--particles", type=positive_int, default=128, help="along a side")
    add("--cutoff", type=positive_float, default=CUTOFF, help="of the edges, in Mpc/h; at most half the side")
    add("--overwrite", action="store_true", help="replace a dataset of this name")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    stage, boxes, split = Stage("halos", args.name), [], []
    if (path := dataset_path(args.name)).is_file() and not args.overwrite:
        raise UserError(f"{relative(path)} is there already", "choose another --name, or add --overwrite")
    every = [*args.train, *args.validation, *args.test]
    if twice := sorted({seed for seed in every if every.count(seed) > 1}):
        found = f"the seeds {', '.join(map(str, twice))} are given more than once"
        raise UserError(found, "give each box to one of --train, --validation and --test")
    chosen = [(seed, k) for k, seeds in enumerate((args.train, args.validation, args.test)) for seed in seeds]
    for seed, which in progress(chosen, desc="boxes", unit="box"):
        box = Box(side=args.side, particles=args.particles, seed=seed)
        boxes.append(of_particles(box, simulate(box)))
        split.append(which)
    path = keep_dataset(args.name, dataset_arrays(boxes, split, args.cutoff), vars(args), stage, args.overwrite)
    haloes = sum(map(len, boxes))
    print(stage.done(path, boxes=len(boxes), haloes=haloes, edges_within=args.cutoff), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
