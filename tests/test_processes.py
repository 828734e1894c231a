"""Signals, children and threads: what batch systems and closed terminals do to a stage, by real signals."""

import os
import signal
import subprocess
import sys
import time

import pytest
from scripts import ROOT, environment

from distill.shell.errors import UserError
from distill.shell.processes import GUARD, alone, alone_making

SIMULATOR = """
import os, time
from distill.files.kinds import SystemRecord
from distill.generalization.extrapolation import fresh_sets
from distill.shell.stage import run_script

def maker(system):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    run_script(lambda: fresh_sets(SystemRecord(), maker))
"""
STAGE = """
import sys, time
from distill.shell.processes import workers
from distill.shell.stage import run_script

def main():
    with workers(2) as pool:
        list(pool.map(abs, range(4)))
        print(*pool._processes, flush=True)
        list(pool.map(time.sleep, [600, 600]))

if __name__ == "__main__":
    run_script(main)
"""


def started(folder, code=STAGE, **options):
    """A stage with workers, and their process ids."""
    (folder / "stage.py").write_text(code)
    command = [sys.executable, str(folder / "stage.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(folder), **pipes, **options)
    return process, [int(pid) for pid in process.stdout.readline().split()]


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"  # one that nobody waits for is no longer running
    except OSError:
        return False


def ended(pids, seconds=20) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(running, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stage_and_its_workers_in_one_line(tmp_path, number):
    process, pids = started(tmp_path)
    assert len(pids) == 2 and all(map(running, pids))
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.strip().startswith("interrupted") and "Traceback" not in err
    assert ended(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("code", [STAGE, SIMULATOR])
def test_nobody_outlives_a_stage_however_it_ends(tmp_path, code, number):
    process, pids = started(tmp_path, code)
    assert pids
    process.send_signal(number)
    process.communicate(timeout=30)
    assert ended(pids)


def test_a_closed_terminal_means_nothing_below_nohup(tmp_path):
    process, pids = started(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130 and ended(pids)


def test_threads_are_limited_in_libraries_loaded_before():
    code = (
        "import numpy, threadpoolctl; from distill.shell.threads import set_threads\n"
        "before = [p['num_threads'] for p in threadpoolctl.threadpool_info()]\n"
        "set_threads(1)\n"
        "print(before, [p['num_threads'] for p in threadpoolctl.threadpool_info()])"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = {k: v for k, v in os.environ.items() if k not in names} | {
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONPATH": str(ROOT),
    }
    out = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = (part.strip("[] \n").split(", ") for part in out.stdout.split("] ["))
    assert set(after) == {"1"} and (os.cpu_count() == 1 or set(before) == {"2"})


def test_asking_for_help_loads_nothing_numerical():
    code = "import sys, distill, train, extract_messages, fit_linear; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SIMULATOR.partition("if __name__")[0] + "run_script(lambda: fresh_sets(SystemRecord(), maker))\n")
    done = subprocess.run([sys.executable, script], env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "out of memory" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"exit code 1; {GUARD}")


def test_two_processes_do_not_work_on_the_same(tmp_path):
    """Whoever comes second is told; a process that was killed holds nothing."""
    place = tmp_path / "run"
    text = f"import sys, time; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\n"
    text += f"from distill.shell.processes import alone\nwith alone(Path({str(place)!r})):\n"
    text += "    print('in', flush=True)\n    time.sleep(60)\n"
    other = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    with pytest.raises(UserError, match="another process is at work in .*run; wait for it"), alone(place):
        pass
    other.kill()
    other.communicate()
    with alone(place):
        (place / "something").touch()
    with alone(place), alone(tmp_path / "empty"):
        pass
    assert place.is_dir() and not (tmp_path / "empty").exists()


def test_a_file_is_made_by_one_process_at_a_time(tmp_path):
    """What is there for the time is gone afterwards, also where a process that was killed has left it."""
    file = tmp_path / "new" / "data.npz"
    left = file.with_name(".data.npz.lock")
    with alone_making(file):
        assert left.is_dir()
        with pytest.raises(UserError, match="another process is at work in .*data.npz; wait"), alone_making(file):
            pass
        with alone_making(file.with_name("other.npz")):
            pass
    assert not file.parent.exists()
    left.mkdir(parents=True)
    with alone_making(file):
        file.touch()
    assert [p.name for p in file.parent.iterdir()] == ["data.npz"]


def test_a_lock_on_a_folder_that_was_taken_away_is_none(tmp_path, monkeypatch):
    """One that waits to open a folder while its owner removes it gets the folder that is there then."""
    place, opened = tmp_path / "run", os.open

    def late(path, flags):
        monkeypatch.setattr(os, "open", opened)
        handle = opened(path, flags)
        place.rmdir()  # by its owner, now
        return handle

    monkeypatch.setattr(os, "open", late)
    with alone(place), pytest.raises(UserError, match="another process"), alone(place):
        pass


def test_a_signal_that_comes_when_all_is_done_ends_it_without_a_word(tmp_path):
    code = "import atexit, os, signal\nfrom distill.shell.stage import run_script\n"
    code += "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\nrun_script(lambda: print('done'))\n"
    (tmp_path / "stage.py").write_text(code)
    command = [sys.executable, tmp_path / "stage.py"]
    done = subprocess.run(command, env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "done\n", "")


@pytest.mark.parametrize("below_a_shell", [False, True])
def test_a_signal_that_comes_while_memory_is_tidied_up_is_not_lost(tmp_path, below_a_shell):
    """Also where a shell that started it in the background had it ignore Ctrl-C. JAX has functions that are called
    then; what they raise is printed, and the work goes on.
    """
    code = "import gc, os, signal, time\nfrom distill.shell.stage import run_script\n"
    code += "def called(phase, _):\n    if phase == 'start':\n        gc.callbacks.clear()\n"
    code += "        os.kill(os.getpid(), signal.SIGTERM)\n        list(range(9))\n"
    code += "def main():\n    gc.callbacks.append(called)\n    gc.collect()\n    time.sleep(9)\nrun_script(main)\n"
    (tmp_path / "stage.py").write_text(code)
    command = [sys.executable, tmp_path / "stage.py"]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command] if below_a_shell else command
    done = subprocess.run(command, env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr.strip().startswith("interrupted") and "Trace" not in done.stderr
