"""Run the stages of ``make demo`` and keep the last line of each for README.md; pages.py writes them there.

reads   nothing
writes  results/demo.json, and datasets, weights and outputs as the stages do

A stage that is done says only that, so what a former run of the demo has made is taken away first: its dataset, its
network and its outputs. Folders that lie elsewhere (DISTILL_DATASETS and the others) are kept by their usual names.

example:  python experiments/demo.py
"""

import os
import shutil
import subprocess
import sys
import time

from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.pipeline.runs import demo
from distill.report.numbers import hardware
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.flags import Parser
from distill.shell.paths import relative
from distill.shell.stage import Stage, run_script

OUT = paths.ROOT / "results" / "demo.json"
ARGUMENTS = demo.parse([])
RUN, DATASET = demo.cell(ARGUMENTS).run, demo.cell(ARGUMENTS).dataset
OF_THE_LAW = ("pair", "from_messages", "verdict")


def main(argv=None) -> int:
    Parser(__doc__).parse_args(argv)
    begin_anew()  # before the commands are asked for: they go on with a training that was stopped
    stage, steps = Stage("demo", RUN), []
    for script, *flags in demo.commands(ARGUMENTS):
        start, command = time.perf_counter(), " ".join([script, *flags])
        done = subprocess.run([sys.executable, script, *flags], cwd=paths.ROOT, text=True, stdout=subprocess.PIPE)
        lines = [line for line in done.stdout.splitlines() if line.startswith(script.removesuffix(".py") + "  ")]
        if done.returncode or not lines or any("already done" in line for line in lines):
            raise UserError(f"{command} failed or was done meanwhile", "see its lines above, then run this again")
        took = time.perf_counter() - start
        steps.append({"command": f"python {command}", "last_lines": list(map(as_usual, lines)), "seconds": took})
    law = load_json(paths.OUTPUTS / RUN / "law.json")
    content = provenance("demo", {}, {}, stage.seconds) | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
    content["load"] = round(os.getloadavg()[1], 1)  # over five minutes: much more than 1 says that seconds are too many
    save_json(OUT, content | {"steps": steps, "law": {k: law[k] for k in OF_THE_LAW if k in law}})
    print(stage.done(OUT, stages=len(steps)), flush=True)
    return 0


def begin_anew() -> None:
    """Take away what a former run of the demo has made, finished or not."""
    for end in ("npz", "json"):
        (paths.DATASETS / f"{DATASET}.{end}").unlink(missing_ok=True)
    for folder in (paths.MODEL_WEIGHTS, paths.OUTPUTS):
        shutil.rmtree(folder / RUN, ignore_errors=True)


def as_usual(line: str) -> str:
    """A stage's last line, with the folder that it names as it is called where nobody has chosen another."""
    told, arrow, path = line.rpartition("-> ")
    for usual in ("datasets", "model_weights", "outputs"):
        folder = relative(getattr(paths, usual.upper()) / "x")[:-1]
        if arrow and path.startswith(folder):
            return f"{told}{arrow}{usual}/{path[len(folder) :]}"
    return line


if __name__ == "__main__":
    run_script(main)
