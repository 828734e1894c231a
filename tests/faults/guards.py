"""Run a script and count the time that it spends on what guards its files: ``guards.py PLACE SCRIPT FLAGS...``.

Guards are digests, checks of what files hold, sizes against memory and disk, locks, and looking for what killed
processes have left. ``PLACE`` gets a JSON with the CPU and wall seconds in them, and of the whole process from here on.
"""

import atexit
import json
import runpy
import sys
import time
import types
from collections import Counter
from pathlib import Path

from distill.files import arrays, dataset, messages, npz, provenance, records, storage, tensors
from distill.shell import processes

GUARDS = (provenance.sha256, provenance.sha256_of, provenance.digested, records.digest_of, records.build)
GUARDS += (tensors.digest_of, arrays.check_fields, messages.check_edges, dataset.check_magnitudes, dataset.check_box)
GUARDS += (
    npz.headers,
    storage.is_there,
    storage._sweep,
    storage.require_memory,
    storage.require_disk,
    processes._locked,
)
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


def called(*args, **named):
    return COUNTED(*args, **named)  # noqa: F821 (a name that is put into the code)


def watch(functions) -> tuple[Counter, Counter]:
    """(seconds by clock, calls by name) in ``functions``, from now on and wherever they were imported to: the objects
    stay, and their code calls what counts. What one guard does for another is counted once.
    """
    seconds, calls, depth = Counter(dict.fromkeys(CLOCKS, 0.0)), Counter(), [0]

    def counting(function):
        def counted(*args, **named):
            calls[function.__name__] += 1
            if depth[0]:
                return function(*args, **named)
            start, depth[0] = {name: clock() for name, clock in CLOCKS.items()}, 1
            try:
                return function(*args, **named)
            finally:
                depth[0] = 0
                seconds.update({name: clock() - start[name] for name, clock in CLOCKS.items()})

        return counted

    for one in functions:
        own = types.FunctionType(one.__code__, one.__globals__, one.__name__, one.__defaults__, one.__closure__)
        own.__kwdefaults__ = one.__kwdefaults__
        name = f"_counted_{one.__name__}"
        one.__globals__[name] = counting(own)
        one.__code__ = called.__code__.replace(co_names=(name,))
        one.__defaults__ = one.__kwdefaults__ = None
    return seconds, calls


def main() -> None:
    place, script, *flags = sys.argv[1:]
    start = {name: clock() for name, clock in CLOCKS.items()}
    seconds, calls = watch(GUARDS)

    def tell() -> None:
        whole = {name: clock() - start[name] for name, clock in CLOCKS.items()}
        Path(place).write_text(json.dumps({"guards": seconds, "whole": whole, "calls": calls}))

    atexit.register(tell)
    sys.argv = [script, *flags]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
