"""Make a worse copy of a dataset: how good must data be? Noise, gaps, fewer frames, positions alone, other units.

reads    datasets/<dataset>.npz
writes   datasets/<name>.npz and .json, the true system carried along; with --csv a table as import_tracks.py reads it
example  python experiments/degrade.py --dataset r2_n4_d2_s0 --name bad --noise 0.01 --no-velocities --no-accelerations
"""

from pathlib import Path

from distill.pipeline.degrade import degrade
from distill.shell.flags import Parser, fraction, non_negative_int, positive_float, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.tracks.degrade import UNITS, Worse


def parser() -> Parser:
    p = Parser(__doc__, prog="degrade.py")
    p.add_argument("--dataset", required=True, help="name in datasets/, or path")
    p.add_argument("--name", required=True, help="of the copy")
    p.add_argument("--csv", type=Path, metavar="FILE", help="write a table of the copy too")
    add = p.add_argument_group("what is done, in this order").add_argument
    add("--trajectories", type=positive_int, metavar="N", help="keep the first N")
    add("--frames", type=positive_int, metavar="N", help="keep N frames of each")
    add("--keep-every", type=positive_int, default=1, metavar="K", help="keep every K-th frame")
    add(
        "--jitter-times",
        type=fraction,
        default=0.0,
        metavar="SHARE",
        help="uneven times: move each by up to SHARE/2 of a step",
    )
    add(
        "--drop-frames",
        type=fraction,
        default=0.0,
        metavar="SHARE",
        help="leave whole frames out, others in every trajectory",
    )
    noise = "standard deviation of a coordinate, in units of the median displacement between the frames left"
    add("--noise", type=float, default=0.0, metavar="SIZE", help=noise)
    add("--drop-rows", type=fraction, default=0.0, metavar="SHARE", help="a particle in a frame is not seen")
    add("--no-velocities", action="store_true", help="leave velocities out")
    add("--no-accelerations", action="store_true", help="leave accelerations out")
    add("--shift", type=float, default=0.0, metavar="X", help="move all positions, in median distances of pairs")
    add("--rescale", type=positive_float, nargs=4, default=[1.0] * 4, metavar="FACTOR", help=f"of {', '.join(UNITS)}")
    add = p.add_argument_group("run").add_argument
    add("--seed", type=non_negative_int, default=0, help="of noise and of what is left out")
    add("--overwrite", action="store_true", help="replace existing output")
    return p


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    set_threads(1)
    flags = vars(args)
    flags |= {"velocities": not flags.pop("no_velocities"), "accelerations": not flags.pop("no_accelerations")}
    flags["rescale"] = dict(zip(UNITS, args.rescale, strict=True))
    own = {name: flags.pop(name) for name in ("dataset", "name", "csv", "overwrite")}
    print(degrade(own.pop("dataset"), Worse(**flags), **own), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
