"""Run a script without what guards its files: ``unchecked.py SCRIPT FLAGS...``. For ``cost.py``, which holds the time
of the same code with it against this.

Left out are digests, checks of what files hold, sizes against memory and disk, locks, plans of renames and looking for
those of killed processes. Files written so say so nowhere, and no other process can read them with checks.
"""

import runpy
import sys
from pathlib import Path

from distill.files import arrays, dataset, messages, provenance, records, storage, tensors
from distill.shell import processes


def no_digest(*_, **__):
    return "0" * 64


def nothing(*_, **__):
    return None


def no_lock(folder, _):
    folder.mkdir(parents=True, exist_ok=True)


def one_by_one(files):
    for path, content in reversed(files.items()):
        with atomic(path) as file:  # noqa: F821 (of storage.py, whose function this becomes)
            file.write(content) if isinstance(content, bytes) else content(file)


LEFT_OUT = {
    no_digest: (provenance.sha256, provenance.sha256_of, records.digest_of, tensors.digest_of),
    nothing: (arrays.check_fields, messages.check_edges, dataset.check_magnitudes, dataset.check_box),
    lambda *_: True: (provenance.digested,),
    no_lock: (processes._locked,),
    one_by_one: (storage.save_together,),
    lambda path: path.is_file(): (storage.there,),
    lambda *_: iter(()): (storage._left_behind,),
    lambda *_, **__: False: (storage.require_memory, storage.require_disk),
}


def leave_out() -> None:
    """Wherever they were imported to: the functions stay, and their code is another."""
    for instead, functions in LEFT_OUT.items():
        for function in functions:
            function.__code__, function.__defaults__ = instead.__code__, None


if __name__ == "__main__":
    leave_out()
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
