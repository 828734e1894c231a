"""Run the stages of ``make demo`` and keep the last line of each for README.md; pages.py writes them there.

reads   nothing
writes  results/demo.json, and datasets, weights and outputs as the stages do; best in a clone of its own, because a
        stage that is done says only that, and folders elsewhere would be named in what is kept

example:  python experiments/demo.py
"""

import os
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
from distill.shell.stage import Stage, run_script

OUT = paths.ROOT / "results" / "demo.json"
ARGUMENTS = demo.parse([])
RUN = demo.cell(ARGUMENTS).run
OF_THE_LAW = ("pair", "from_messages", "verdict")


def main(argv=None) -> int:
    Parser(__doc__).parse_args(argv)
    stage, steps = Stage("demo", RUN), []
    for script, *flags in demo.commands(ARGUMENTS):
        start, command = time.perf_counter(), " ".join([script, *flags])
        done = subprocess.run([sys.executable, script, *flags], cwd=paths.ROOT, text=True, stdout=subprocess.PIPE)
        lines = [line for line in done.stdout.splitlines() if line.startswith(script.removesuffix(".py") + "  ")]
        if done.returncode or not lines or any("already done" in line for line in lines):
            raise UserError(f"{command} failed or was done before", "start in a fresh clone")
        steps.append({"command": f"python {command}", "last_lines": lines, "seconds": time.perf_counter() - start})
    law = load_json(paths.OUTPUTS / RUN / "law.json")
    content = provenance("demo", {}, {}, stage.seconds) | {"hardware": hardware(), "date": time.strftime("%Y-%m-%d")}
    content["load"] = round(os.getloadavg()[1], 1)  # over five minutes: much more than 1 says that seconds are too many
    save_json(OUT, content | {"steps": steps, "law": {k: law[k] for k in OF_THE_LAW if k in law}})
    print(stage.done(OUT, stages=len(steps)), flush=True)
    return 0


if __name__ == "__main__":
    run_script(main)
