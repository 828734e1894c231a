"""A cell is one run through the six stages: its names, the command lines of its stages, and how they are run.

``make demo``, the benchmarks, the tables and argon all take theirs from here. Nothing heavy is imported: on Linux a
child's peak memory is at least that of the process that started it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from distill.files.names import dataset_name, run_name
from distill.shell import paths
from distill.shell.stage import progress

STAGES = {
    "simulate": "simulate.py",
    "train": "train.py",
    "extract": "extract_messages.py",
    "fit": "fit_linear.py",
    "law": "symbolic_reg.py",
    "compare": "test_generalization.py",
}
ONE_THREAD = {n: "1" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
BYTES = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss


def places(home: Path) -> dict[str, str]:
    """Environment in which stages have their datasets, weights and outputs in ``home``."""
    return {f"DISTILL_{name.upper()}": str(home / name) for name in ("datasets", "model_weights", "outputs")}


@dataclass(frozen=True)
class Cell:
    """One run: its dataset, its network, and whether its law is searched. ``data``, ``train``, ``law_flags`` and
    ``compare`` are flags of their scripts beside those that the other fields give.
    """

    system: str
    dim: int
    variant: str
    recipe: str
    seed: int
    n: int = 4
    tag: str = ""
    train: tuple = ()
    law: bool = True
    data: tuple = ()
    data_tag: str = ""
    data_seed: int | None = None  # None: ``seed``
    targets: tuple = ("radial", "node")  # of symbolic_reg.py; empty: its default
    law_flags: tuple = ()  # of symbolic_reg.py beside them
    compare: tuple = ("--rollouts", 0)

    @property
    def dataset(self) -> str:
        return dataset_name(self.system, self.n, self.dim, self._data_seed, self.data_tag)

    @property
    def run(self) -> str:
        return run_name(self.dataset, self.variant, self.recipe, self.seed, self.tag)

    @property
    def _data_seed(self) -> int:
        return self.seed if self.data_seed is None else self.data_seed

    def words(self, stage: str, *more) -> list[str]:
        """The command line of a stage: the script, its flags, then ``more`` flags."""
        flags = ["--run", self.run, *(("--seed", self.seed) if self.seed else ())]  # 0 is the scripts' default
        if stage == "simulate":
            flags = ["--system", self.system, "--n", self.n, "--dim", self.dim, "--seed", self._data_seed]
            flags += ["--tag", self.data_tag] if self.data_tag else []
            flags += self.data
        elif stage == "train":
            flags = ["--dataset", self.dataset, "--variant", self.variant, "--recipe", self.recipe, "--seed", self.seed]
            flags += ["--tag", self.tag] if self.tag else []
            flags += ["--resume", *self.train]
        elif stage == "law":
            flags += ["--targets", *self.targets] if self.targets else []
            flags += self.law_flags
        elif stage == "compare":
            flags = ["--run", self.run, *self.compare]
        return [str(w) for w in (STAGES[stage], *flags, *more)]


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
    stderr: str = ""

    @property
    def done_before(self) -> bool:
        """True if a stage found its output there already, so that its cost says nothing."""
        return "already done with the same arguments" in self.stdout

    def costs(self) -> dict:
        """Seconds and megabytes, for a row."""
        rounded = {"cpu_s": round(self.cpu_s, 2), "seconds": round(self.seconds, 2), "peak_mb": round(self.peak_mb, 1)}
        return rounded | {"done_before": self.done_before}


class Children:
    """Child processes started from several threads, measured, and stopped together."""

    def __init__(self):
        self._lock, self._running, self._stopped = threading.Lock(), set(), False
        self._datasets: dict[str, threading.Lock] = {}

    def run(self, words, limit: float | None = None) -> Outcome:
        """Run a command to its end, one numerical thread, or for ``limit`` seconds, after which it is killed with what
        it started; raises ``KeyboardInterrupt`` after ``stop``.
        """
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
            late = _Limit(child.pid, limit)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but its number is not free yet
            late.lift()
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
            error = f"did not end within {limit:g} s" if late.passed else error
        cpu_s, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * BYTES / 1e6
        return Outcome(error, texts[0], time.perf_counter() - start, cpu_s, peak_mb, texts[1])

    def script(self, name: str, *arguments) -> Outcome:
        """Run a script of the repository."""
        return self.run([sys.executable, paths.ROOT / name, *arguments])

    def stages(self, cell: Cell, stages, former: dict | None = None) -> dict:
        """Run ``stages`` of a cell up to its first failure: "error", and "stages", the costs by script. A stage that
        finds its output there keeps the costs in ``former``, those of an earlier call, if it has any.
        """
        found = {"error": None, "stages": {}}
        for stage in stages:
            with self._lock:
                made = self._datasets.setdefault(cell.dataset, threading.Lock())
            script, *flags = cell.words(stage)
            with made if stage == "simulate" else nullcontext():  # cells share datasets
                outcome = self.script(script, *flags)
            costs = outcome.costs()
            found["stages"][script] = (former or {}).get(script, costs) if outcome.done_before else costs
            if outcome.error:
                found["error"] = f"{script}: {outcome.error}"
                break
        return found

    def map(self, function, items, jobs: int) -> list:
        """``[function(item) ...]``, ``jobs`` at a time; an interrupt stops all children and is raised again."""
        pool = ThreadPoolExecutor(jobs)
        main = threading.current_thread() is threading.main_thread()
        former = signal.signal(signal.SIGTERM, _interrupt) if main else None  # what batch systems send
        try:
            futures = [pool.submit(function, item) for item in items]
            for future in progress(as_completed(futures), total=len(futures), unit="cell"):
                future.result()
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            if main:
                signal.signal(signal.SIGTERM, former)
        return [f.result() for f in futures]

    def stop(self) -> None:
        """Interrupt what runs and start nothing more."""
        # a job in the background of a shell ignores SIGINT, and so do its children
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        with self._lock:
            self._stopped = True
            for pid in self._running:
                os.kill(pid, signal.SIGTERM if ignored else signal.SIGINT)


class _Limit:
    """Kills a process and the group that it leads after ``seconds``; ``passed`` tells that it has. None: never."""

    def __init__(self, leader: int, seconds: float | None):
        self.passed, self._leader = False, leader
        self._timer = threading.Timer(seconds, self._kill) if seconds else None
        if self._timer:
            self._timer.start()

    def _kill(self) -> None:
        self.passed = True
        os.killpg(self._leader, signal.SIGKILL)

    def lift(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()


def _interrupt(*_):
    raise KeyboardInterrupt


@contextmanager
def working_in(home: Path, children: Children) -> Iterator[None]:
    """``children`` started in the block have their files in ``home``, and end where it is left by an exception."""
    former = dict(os.environ)
    try:
        os.environ.update(places(home))
        yield
    except BaseException:
        children.stop()
        raise
    finally:
        os.environ.clear()
        os.environ.update(former)
