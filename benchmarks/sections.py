"""Files of results with sections, one for every command: ``results/<benchmark>.json``."""

import shlex
import sys
import time
from pathlib import Path

from distill.files.provenance import provenance
from distill.files.storage import load_json, save_json
from distill.report.numbers import hardware


def about(command: str, args, start: float) -> dict:
    """Provenance, command line, machine and date of what ``command`` has measured since ``start``."""
    made = provenance(f"benchmarks/{command}", vars(args), {}, time.time() - start)
    line = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return made | {"command_line": line, "hardware": hardware(), "date": time.strftime("%Y-%m-%d")}


def read(path: Path) -> dict[str, dict]:
    """Sections of a file by name; none if it is not there."""
    return load_json(path, "move it away")["sections"] if path.is_file() else {}


def save(path: Path, benchmark: str, section: str, content: dict) -> None:
    """Put one section into a file; the others stay as they are."""
    save_json(path, {"benchmark": benchmark, "sections": read(path) | {section: content}})
