"""Make a dataset of a catalogue of haloes that others found: friends-of-friends files, or a table.

reads    group_tab_NNN.0 and the files beside it (--delta FILE with the overdensities), or a .csv with a column delta
writes   datasets/<name>.npz and .json, a box a trajectory of one frame
example  python experiments/halos/read.py --file haloes.csv --name mine --side 250

A table has columns x, y, z (Mpc/h), mass, delta, and vx, vy, vz (km/s) and box if there are such. Files of friends of
friends hold no overdensities: --delta is a .npy or a text of one number a group, all groups of at least --least
particles in the order of the files. Of fewer than three boxes the haloes of one octant are the validation split and
those of another the test split; all haloes are neighbours.
"""

from pathlib import Path

import numpy as np

from distill.files.fields import SPLITS
from distill.halos.catalogue import CUTOFF, Catalogue, dataset_arrays
from distill.halos.keeping import keep_dataset
from distill.halos.reading import read_group_tab, read_table, with_delta
from distill.shell.errors import UserError
from distill.shell.flags import Parser, non_negative_int, positive_float
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

OCTANTS = 8


def parse(argv):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--file", type=Path, required=True, help="group_tab_NNN.0 (or its folder), or a .csv")
    add("--name", required=True, help="of the dataset")
    add("--side", type=positive_float, required=True, help="of the box, in Mpc/h")
    add("--delta", type=Path, help="overdensities of the groups: .npy or text")
    add("--least", type=non_negative_int, default=20, help="particles of a group")
    add("--redshift", type=float, default=0.0, help="of the catalogue, for its velocities")
    add("--mass-unit", type=positive_float, default=1e14, help="of a table, in Msun/h")
    add("--cutoff", type=positive_float, default=CUTOFF, help="of the edges, in Mpc/h; at most half the side")
    add("--overwrite", action="store_true", help="replace a dataset of this name")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse(argv)
    stage = Stage("halos", args.name)
    if args.file.suffix.lower() in (".csv", ".tsv", ".txt"):
        boxes = read_table(args.file, args.side, args.mass_unit)
    else:
        boxes = [read_group_tab(args.file, args.side, args.redshift, args.least)]
    if args.delta:
        if len(boxes) > 1:
            raise UserError(f"--delta is for one box, and {relative(args.file)} holds {len(boxes)}", "make it a column")
        boxes = [with_delta(boxes[0], overdensities(args.delta), relative(args.delta))]
    if any(np.isnan(box.delta).any() for box in boxes):
        told = f"{relative(args.file)} holds no overdensities, which no catalogue of haloes does by itself"
        raise UserError(told, "measure them in the particles and give them: --delta FILE, or a column delta")
    arrays = split_arrays(boxes, args.cutoff)
    path = keep_dataset(args.name, arrays, vars(args), stage, args.overwrite)
    print(stage.done(path, boxes=len(boxes), haloes=sum(map(len, boxes))), flush=True)
    return 0


def overdensities(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{relative(path)} does not exist")
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
    except (ValueError, OSError) as exc:
        raise UserError(f"{relative(path)} holds no numbers ({exc})", "one number a line") from None


def split_arrays(boxes: list[Catalogue], cutoff: float) -> dict[str, np.ndarray]:
    """Boxes by tenths to the splits; of one or two boxes every halo's split is that of its octant, of which two are for
    validation and test: a trajectory for each split, in which only its own haloes have a target.
    """
    if len(boxes) >= len(SPLITS):
        some = max(1, len(boxes) // 10)
        return dataset_arrays(boxes, [0] * (len(boxes) - 2 * some) + [1] * some + [2] * some, cutoff)
    repeated, masks, split = [], [], []
    for box in boxes:
        octant = ((box.pos >= box.side / 2) * np.array([1, 2, 4])).sum(1)
        for number, own in enumerate((range(OCTANTS - 2), (OCTANTS - 2,), (OCTANTS - 1,))):
            repeated.append(box)
            masks.append(np.isin(octant, list(own)))
            split.append(number)
    return dataset_arrays(repeated, split, cutoff, masks)


if __name__ == "__main__":
    run_script(main)
