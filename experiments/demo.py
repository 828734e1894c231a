"""Run the stages of ``make demo`` and keep the last line of each for README.md; pages.py writes them there.

reads   nothing
writes  results/demo.json, and datasets, weights and outputs as the stages do: where they are done, they say only that

example:  DISTILL_DATASETS=/data/d DISTILL_MODEL_WEIGHTS=/data/w DISTILL_OUTPUTS=/data/o python experiments/demo.py
"""

import os
import shlex
import subprocess
import sys
import time

from distill.files.names import dataset_name, run_name
from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.stage import Stage, run_script

OUT = paths.ROOT / "results" / "demo.json"
DATASET = dataset_name("r2", 4, 2, 0)
RUN = run_name(DATASET, "l1", "newton", 0)
COMMANDS = (
    "simulate.py --system r2 --n 4 --dim 2 --seed 0",
    f"train.py --dataset {DATASET} --variant l1 --recipe newton --seed 0",
    f"extract_messages.py --run {RUN}",
    f"fit_linear.py --run {RUN}",
    f"symbolic_reg.py --run {RUN} --threads 2",
    f"test_generalization.py --run {RUN}",
)
OF_THE_LAW = ("pair", "from_messages", "verdict")


def main(argv=None) -> int:
    Parser(__doc__).parse_args(argv)
    stage, steps = Stage("demo", RUN), []
    for command in COMMANDS:
        start = time.perf_counter()
        words = [sys.executable, *shlex.split(command)]
        done = subprocess.run(words, cwd=paths.ROOT, env=os.environ, text=True, stdout=subprocess.PIPE)
        lines = [line for line in done.stdout.splitlines() if line.startswith(command.partition(".py")[0] + "  ")]
        if done.returncode or not lines or any("already done" in line for line in lines):
            raise UserError(f"{command} failed or was done before", "start with empty folders, as in the example")
        steps.append({"command": f"python {command}", "last_lines": lines, "seconds": time.perf_counter() - start})
    law = load_json(paths.OUTPUTS / RUN / "law.json")
    content = provenance("demo", {}, {}, stage.seconds) | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
    save_json(OUT, content | {"steps": steps, "law": {k: law[k] for k in OF_THE_LAW if k in law}})
    print(stage.done(OUT, stages=len(steps)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
