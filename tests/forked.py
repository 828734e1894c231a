"""Scripts as processes of their own, forked from one that has imported the libraries: a start takes hundredths of a
second instead of seconds. Nothing of the project is imported before the fork, so that folders, flags and threads are
those of the script's own environment; exit code, output and files are those of a process.

As a script this is the process that forks: one request a line, the exit code as the answer.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

GRACE = 5.0  # seconds that children have to end after their parent
LIBRARIES = (
    "torch torch._dynamo jax jax.numpy matplotlib.pyplot matplotlib.backends.backend_agg safetensors.numpy"
    " safetensors.torch scipy.fft scipy.integrate scipy.interpolate scipy.linalg scipy.optimize scipy.signal"
    " scipy.sparse.linalg scipy.spatial scipy.special scipy.stats sympy threadpoolctl tqdm"
).split()


class Finished(subprocess.CompletedProcess):
    """``cpu``: seconds of a process and of the children that it waited for; ``left``: processes that outlive it by
    ``GRACE`` seconds.
    """

    cpu: float
    left: list[int]


def run(script: Path, arguments, cwd, env: dict, timeout: float, ending: tuple | None = None) -> Finished:
    """As ``subprocess.run`` of ``python script arguments``, both streams captured as text, nothing to read.

    ``ending``: (seconds, number of a signal) that it gets then, if it is still there.
    """
    server = _server(env.get("OMP_NUM_THREADS"))
    with tempfile.TemporaryDirectory() as folder:
        places = [str(Path(folder, name)) for name in ("out", "err")]
        words = [str(script), *map(str, arguments)]
        request = {"argv": words, "cwd": str(cwd), "env": env, "places": places, "timeout": timeout, "ending": ending}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code, cpu, left = json.loads(server.stdout.readline())
        if code is None:
            raise subprocess.TimeoutExpired(words, timeout)
        done = Finished(words, code, *(Path(place).read_text() for place in places))
        done.cpu, done.left = cpu, left
        return done


@functools.cache
def _server(threads: str | None) -> subprocess.Popen:
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "DISTILL_PROGRESS")}
    env |= {"OMP_NUM_THREADS": threads} if threads else {}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, str(Path(__file__).resolve())], env=env, **pipes)
    atexit.register(server.stdin.close)
    return server


# ---------------------------------------------------------------- the process that forks


def serve() -> None:
    requests, answers = (os.fdopen(os.dup(fd), mode) for fd, mode in ((0, "r"), (1, "w")))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    sys.path.pop(0)  # these tests are no modules of a script
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # collecting would copy what children share
    for line in requests:
        request = json.loads(line)
        child = os.fork()
        if not child:
            requests.close()
            answers.close()
            _become(**request)
        answers.write(json.dumps(_ended(child, request["timeout"], request["ending"])) + "\n")
        answers.flush()


def _ended(child: int, timeout: float, ending: list | None) -> tuple[int | None, float, list[int]]:
    """(code, CPU seconds, processes left) of ``child``. Its exit code, minus the number of the signal that ended it;
    ``None`` and killed after ``timeout`` s.
    """

    def late(*_):
        if not ending:
            raise TimeoutError
        seconds, number = ending
        ending.clear()
        signal.setitimer(signal.ITIMER_REAL, max(timeout - seconds, 0.1))
        os.kill(child, number)

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(ending[0], 1e-6) if ending else timeout)
    try:
        _, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
    except TimeoutError:
        os.killpg(child, signal.SIGKILL)
        _, _, used = os.wait4(child, 0)
        code = None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return code, used.ru_utime + used.ru_stime, _left(child)


def _left(group: int) -> list[int]:
    """Processes of a group that are there ``GRACE`` seconds later, which are killed; seldom is one there at all."""
    deadline = time.monotonic() + GRACE
    while alive := _members(group):
        if time.monotonic() > deadline:
            os.killpg(group, signal.SIGKILL)
            return alive
        time.sleep(0.05)
    return []


def _members(group: int) -> list[int]:
    try:
        os.killpg(group, 0)
    except OSError:
        return []
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = place.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":  # one that nobody waits for is no longer running
                found.append(int(place.parent.name))
    return found


def _become(argv, cwd, env, places, **_) -> None:
    """Be ``python argv`` in ``cwd`` with ``env``, and end as the interpreter would, but for freeing what is loaded."""
    os.setpgid(0, 0)
    for fd, place in zip((1, 2), places, strict=True):
        os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = argv
    sys.path[:0] = [str(Path(argv[0]).parent), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    code = 1
    try:
        runpy.run_path(argv[0], run_name="__main__")
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
    except BaseException as exc:
        sys.excepthook(type(exc), exc, exc.__traceback__)
        code = -signal.SIGINT if isinstance(exc, KeyboardInterrupt) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed by the script
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    serve()
