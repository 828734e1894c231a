"""Files of results with sections, one for every command: ``results/<benchmark>.json``."""

import contextlib
import fcntl
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
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
    change(path, benchmark, section, lambda former: content)


def change(path: Path, benchmark: str, section: str, make: Callable[[dict], dict]) -> dict:
    """Put what ``make`` gives for the former content of a section ({}: none) in its place; what it gave.

    Commands that run side by side and write into one file lose nothing of each other.
    """
    with _in_turn(path.parent):
        former = read(path)
        content = make(former.get(section, {}))
        save_json(path, {"benchmark": benchmark, "sections": former | {section: content}})
    return content


@contextlib.contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """Let other processes and threads wait at the block with the same ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # gone with the process, however that ends
        yield
    finally:
        os.close(handle)
