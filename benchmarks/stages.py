"""What the benchmarks share: child processes with their costs, the six stages of a run, and what they wrote.

Imported by the scripts of this folder; no script itself. Nothing heavy is imported: on Linux a child's peak
memory is at least that of the process that started it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from distill.files.names import dataset_name, run_name
from distill.shell.stage import progress

ROOT = Path(__file__).resolve().parent.parent

ONE_THREAD = {n: "1" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


@dataclass
class Outcome:
    """How a child ended: ``error`` is its last line on stderr (None if it succeeded); ``cpu_s`` user + system
    seconds and ``peak_mb`` the largest resident set, of the child and of its own children.
    """

    error: str | None
    stdout: str
    seconds: float
    cpu_s: float
    peak_mb: float

    @property
    def done_before(self) -> bool:
        """True if a stage found its output there already, so that its cost says nothing."""
        return "already done with the same arguments" in self.stdout

    def costs(self) -> dict:
        """Seconds and megabytes, for a row."""
        return {
            "cpu_s": round(self.cpu_s, 2),
            "seconds": round(self.seconds, 2),
            "peak_mb": round(self.peak_mb, 1),
            "done_before": self.done_before,
        }


class Children:
    """Child processes started from several threads, measured, and stopped together."""

    def __init__(self):
        self._lock, self._running, self._stopped = threading.Lock(), set(), False

    def run(self, words) -> Outcome:
        """Run a command to its end, one numerical thread; raises ``KeyboardInterrupt`` after ``stop``."""
        start = time.perf_counter()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with self._lock:
                if self._stopped:
                    raise KeyboardInterrupt
                # a session of its own: Ctrl-C reaches the child once, from ``stop``
                child = subprocess.Popen(
                    [str(w) for w in words],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=os.environ | ONE_THREAD,
                    start_new_session=True,
                )
                self._running.add(child.pid)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but its number is not free yet
            with self._lock:
                self._running.remove(child.pid)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                if self._stopped:
                    raise KeyboardInterrupt
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        error = None
        if child.returncode:
            error = (texts[1].strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return Outcome(
            error, texts[0], time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * BYTES / 1e6
        )

    def script(self, name: str, *arguments) -> Outcome:
        """Run a script of the repository."""
        return self.run([sys.executable, str(ROOT / name), *arguments])

    def stop(self) -> None:
        """Interrupt what runs and start nothing more."""
        # a job in the background of a shell ignores SIGINT, and so do its children
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with self._lock:
            self._stopped = True
            for pid in self._running:
                os.kill(pid, signal.SIGTERM if ignored else signal.SIGINT)


def in_threads(function, items, jobs: int, children: Children) -> list:
    """``[function(item) ...]``, ``jobs`` at a time; an interrupt stops ``children`` and is raised again."""
    pool = ThreadPoolExecutor(jobs)
    main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, _interrupt) if main else None  # what batch systems send
    try:
        futures = [pool.submit(function, item) for item in items]
        for future in progress(as_completed(futures), total=len(futures), unit="cell"):
            future.result()
    except BaseException:
        children.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if main:
            signal.signal(signal.SIGTERM, former)
    return [f.result() for f in futures]


def _interrupt(*_):
    raise KeyboardInterrupt


# ---------------------------------------------------------------- the stages of a run


def names_of(system, n, dim, data_seed, variant, recipe, seed, noise=0.0) -> tuple[str, str, str]:
    """(dataset, run, tag) of a run on a dataset with relative noise ``noise`` on its accelerations."""
    tag = f"noise{noise:g}" if noise else ""
    dataset = dataset_name(system, n, dim, data_seed, tag)
    return dataset, run_name(dataset, variant, recipe, seed), tag


def simulate_words(system, n, dim, seed, noise=0.0) -> list[str]:
    words = ["simulate.py", "--system", system, "--dim", dim, "--n", n, "--seed", seed]
    if noise:
        words += ["--tag", f"noise{noise:g}", "--acceleration-noise", noise]
    return [str(w) for w in words]


def run_words(dataset, run, variant, recipe, seed, train=(), symbolic=(), generalization=()) -> list[list[str]]:
    """The five stages after the simulation as words; extra options for three of them."""
    stages = [
        [
            "train.py",
            "--dataset",
            dataset,
            "--variant",
            variant,
            "--recipe",
            recipe,
            "--seed",
            seed,
            "--resume",
            *train,
        ],
        ["extract_messages.py", "--run", run, "--seed", seed],
        ["fit_linear.py", "--run", run, "--seed", seed],
        ["symbolic_reg.py", "--run", run, "--seed", seed, *symbolic],
        ["test_generalization.py", "--run", run, *generalization],
    ]
    return [[str(w) for w in words] for words in stages]
