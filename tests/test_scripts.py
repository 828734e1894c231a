"""A script that is forked (``forked``) does what one that is started does, however it ends."""

import sys

import pytest
from scripts import run

PROGRAMS = {
    "where it is": "import os, sys; print(sys.argv, os.getcwd(), __name__, __file__, sys.path[:2], sys.stdin.read())",
    "what it is told": "import os; print(os.environ['DISTILL_OUTPUTS'], os.environ['TOLD'], 'PWD' in os.environ)",
    "both streams": "import sys; print('a' * 99_999); print('out'); print('err', file=sys.stderr)",
    "a number": "raise SystemExit(3)",
    "a word": "raise SystemExit('gone')",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "Ctrl-C": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "at the end": """
import atexit, threading

atexit.register(print, "bye")
threading.Timer(0.05, print, ["last"]).start()
""",
    "an error": "import sys; sys.excepthook = lambda *e: print(e[0], file=sys.stderr)\n1 / 0",
    "the project": "import distill, numpy; from distill.shell import paths; print(distill.__file__, paths.DATASETS)",
    "its own processes": """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

def twice(x):
    return 2 * x

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        print(list(pool.map(twice, [1, 2])))
""",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_forked_as_started(tmp_path, what):
    (tmp_path / "program.py").write_text(PROGRAMS[what])
    started, forked = (run(tmp_path, tmp_path / "program.py", "x", 1, start=s, TOLD="so") for s in (True, False))
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]
    assert started.stdout or started.returncode or started.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked there")
def test_libraries_are_there_and_the_project_is_not(tmp_path):
    code = "import sys; loaded = set(sys.modules); print('torch' in loaded, {'distill', 'models', 'scripts'} & loaded)"
    (tmp_path / "program.py").write_text(code)
    assert run(tmp_path, tmp_path / "program.py").stdout == "True set()\n"
