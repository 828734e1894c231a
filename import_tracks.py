"""Read tracks of particles that somebody else recorded or simulated, say what is in them, and write a dataset.

reads    a long table (CSV, TSV, other text, Parquet): a row a particle and frame; .npz, .npy or HDF5 with arrays
writes   datasets/<name>.npz and .json
example  python import_tracks.py my.csv --name mine

Columns are known by their usual names (trajectory, t or frame, particle, x y z, vx .., ax .., fx .., mass, charge; id,
time, track_id, pos_x, ... too); --columns says what others are. Any further column of numbers that do not change in
time is a property of the particles; one of words, such as species, is a category, which forces may depend on as they
like. Rows may be in any order and may be missing, particles may come and go, times may
be uneven. Nothing but positions is required.
"""

from pathlib import Path

import distill
from distill.shell.flags import Parser, add_run_flags, non_negative_int, positive_float, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import set_threads
from distill.tracks.blocks import FEWEST, SPLITS


def parser() -> Parser:
    p = Parser(__doc__, prog="import_tracks.py")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="each table is a recording of its own")
    p.add_argument("--name", help="of the dataset (that of the first file)")
    add = p.add_argument_group("what is what").add_argument
    add(
        "--columns",
        nargs="+",
        default=[],
        metavar="OURS=THEIRS",
        help="names of columns or arrays, as in x=pos_x t=time",
    )
    add("--leave-out", nargs="+", default=[], metavar="COLUMN", help="columns or arrays that are not read")
    add("--categories", nargs="+", default=[], metavar="NAME", help="properties whose whole numbers are names")
    same = "a particle's name means the same body in every recording (only within one): for learn_properties.py"
    add("--same-bodies", action="store_true", help=same)
    add("--dt", type=positive_float, help="time from one frame number to the next, where no times are given (1)")
    add("--mass", type=positive_float, help="of every particle, where no masses are given (1)")
    add(
        "--box", type=positive_float, nargs="+", metavar="L", help="side lengths of a periodic box, where none is given"
    )
    add("--cutoff", type=positive_float, metavar="R", help="of the pair force, in a periodic box")
    add = p.add_argument_group("training, validation and test").add_argument
    splits = (
        f"recordings: whole ones, 80/10/10; time: each one's first part trains, its end tests; auto: time where there"
        f" are fewer than {FEWEST} recordings"
    )
    add("--split", choices=SPLITS, default="auto", help=splits)
    add(
        "--block-frames",
        type=positive_int,
        metavar="K",
        help="cut recordings into blocks of so many frames (found out)",
    )
    add("--gap", type=non_negative_int, metavar="K", help="frames left out between splits in time (a block)")
    add_run_flags(p, "seed of a split by recordings")
    return p


def main(argv=None) -> int:
    args = parser().parse_args(argv)
    set_threads(args.threads)
    print(distill.import_tracks(**vars(args)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
