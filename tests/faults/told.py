"""What the tables of faults found, as sections of ``results/faults.json``, one for every kind of fault."""

import shlex
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import sections  # noqa: E402

from distill.files.provenance import provenance  # noqa: E402
from distill.report.numbers import hardware  # noqa: E402

PATH = ROOT / "results" / "faults.json"


def commit() -> str:
    """Of the code that is measured."""
    return provenance("faults", {}, {}, 0.0)["git"]["commit"]


def known(section: str) -> dict:
    return sections.read(PATH).get(section, {})


def save(section: str, content: dict, args, start: float) -> None:
    """Put what a program found since ``start`` into its section, with what says how and where."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    arguments = {k: v for k, v in vars(args).items() if k != "rows"}
    words = [word for word in sys.argv[1:] if word != str(getattr(args, "rows", None))]
    words = [word for word in words if word != "--rows"]
    about = provenance(str(script), arguments, {}, time.time() - start) | {"hardware": hardware()}
    about |= {"command_line": shlex.join(["python", str(script), *words]), "date": time.strftime("%Y-%m-%d")}
    sections.save(PATH, "faults", section, content | about)
