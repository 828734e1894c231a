"""Copy the networks of the newton rows to model_weights/ as they are shipped: no folder of a machine in them.

reads   model_weights/<run>/  datasets/  (or DISTILL_MODEL_WEIGHTS and DISTILL_DATASETS)
writes  <to>/<run>/model.safetensors  config.json  history.csv

example:  python experiments/ship.py --to shipped

A config.json keeps the digest of the dataset its network was trained on and that of the dataset's start, by which a
dataset that is simulated again with the same arguments is known.
"""

from pathlib import Path

from cells import SECTIONS, SEEDS

from distill.files.dataset import load_dataset
from distill.files.names import run_dir
from distill.files.of_run import start_of
from distill.files.provenance import sha256
from distill.files.records import digest_of
from distill.files.storage import load_json, save_bytes, save_json
from distill.shell.flags import Parser
from distill.shell.stage import Stage, run_script

SHIPPED = ("bottleneck", "l1", "pruning", "kl")


def parse(argv):
    parser = Parser(__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder to copy to")
    return parser.parse_args(argv)


def runs() -> list[str]:
    """Names of the shipped runs: the eight rows, four variants, the first seed."""
    return [c.run for c in SECTIONS["newton"].cells if c.variant in SHIPPED and c.seed == SEEDS[0]]


def main(argv=None) -> int:
    args = parse(argv)
    stage, size = Stage("ship", "newton rows"), 0
    for run in runs():
        folder = run_dir(run)
        config = load_json(folder / "config.json")
        dataset = load_dataset(config["dataset"])
        if sha256(dataset.path) == config["inputs"]["dataset"]["sha256"]:
            config["dataset_start"] = start_of(dataset)
        config["inputs"]["dataset"]["path"] = config["dataset_path"] = config["dataset"]
        save_json(args.to / run / "config.json", config | {"content_sha256": digest_of(config)})
        for name in ("model.safetensors", "history.csv"):
            content = (folder / name).read_bytes()
            save_bytes(args.to / run / name, content)
            size += len(content)
    print(stage.done(args.to, runs=len(runs()), megabytes=size / 1e6), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
