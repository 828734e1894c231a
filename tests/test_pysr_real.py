"""Searches with a real Julia, as a user starts them; the same with the embedded engine, to test the tests, and with
the one that ``auto`` takes here.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripts import ROOT, environment, ok, run

from distill.search.pysr.julia import julia_problem

pytestmark = pytest.mark.slow
PROBLEM = julia_problem()
REAL = pytest.param("pysr", marks=pytest.mark.skipif(bool(PROBLEM), reason=f"PySR cannot run here: {PROBLEM}"))
ENGINES = pytest.mark.parametrize("engine", ["operon", REAL])
OR_AUTO = pytest.mark.parametrize("engine", ["operon", REAL, "auto"])
TAKEN = {"auto": "operon" if PROBLEM else "pysr"}
DATASET, RUN = "r2_n4_d2_s0", "r2_n4_d2_s0__bottleneck-newton__s0"
TARGETS = ("radial", "shared", "node")
STAGES = (
    ("simulate.py", "--system", "r2", "--n-trajectories", "1000"),
    ("train.py", "--dataset", DATASET, "--variant", "bottleneck", "--epochs", "10"),
    ("extract_messages.py", "--run", RUN),
    ("fit_linear.py", "--run", RUN),
)
# of a search's time, from Julia's start to the composition of the law; None: as soon as a target is finished
MOMENTS = (0.02, 0.15, None, 0.4, 0.7, 0.95)


def search(engine: str, *more: str) -> tuple[str, ...]:
    how = ("--engine", engine, "--niterations", "40", "--rivals", "--targets", *TARGETS, *more)
    return "symbolic_reg.py", "--run", RUN, *how


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pysr")
    for stage in STAGES:
        ok(run(folder, *stage, start=True))
    return folder


@pytest.fixture(scope="module")
def searched(trained, tmp_path_factory):
    """engine -> (a folder in which its search has ended, the seconds that it took)."""
    found: dict[str, tuple[Path, float]] = {}

    def of(engine: str) -> tuple[Path, float]:
        if engine not in found:
            folder, begun = copied(trained, tmp_path_factory.mktemp(engine)), time.monotonic()
            ok(finished(started(folder, *search(engine))))
            found[engine] = folder, time.monotonic() - begun
        return found[engine]

    return of


def copied(trained: Path, place: Path) -> Path:
    shutil.copytree(trained, place / "copy")
    return place / "copy"


def started(folder: Path, script: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> subprocess.CompletedProcess:
    out, err = process.communicate(timeout=1800)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def law(folder: Path) -> dict:
    return json.loads((folder / "outputs" / RUN / "law.json").read_text())


def fronts(folder: Path) -> dict[str, str]:
    place = folder / "outputs" / RUN / "symbolic"
    return {target: (place / target / "hall_of_fame.csv").read_text() for target in TARGETS}


def kept(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Front files of targets that are finished: when each was written, and what is in it."""
    place = folder / "outputs" / RUN / "symbolic"
    done = [place / target for target in TARGETS if (place / target / "hall_of_fame.csv").is_file()]
    files = [one / name for one in done for name in ("front.json", "hall_of_fame.csv")]
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def wait(process: subprocess.Popen, folder: Path, moment: float | None, seconds: float) -> None:
    """Until ``moment`` of a search that takes so many ``seconds``, or until one of its targets is finished."""
    if moment is not None:
        time.sleep(moment * seconds)
        return
    until = time.monotonic() + 10 * seconds
    while not kept(folder):
        assert process.poll() is None and time.monotonic() < until, "no target was finished"
        time.sleep(0.02)
    assert process.poll() is None and not (folder / "outputs" / RUN / "law.json").exists()


def resumed(folder: Path, engine: str, before: dict) -> None:
    """Search again what was not finished ``before``: that is read, and not searched and written anew."""
    ok(finished(started(folder, *search(engine))))
    after = kept(folder)
    assert len(after) == 2 * len(TARGETS) and {file: after[file] for file in before} == before


@OR_AUTO
def test_every_target_is_searched_and_the_law_is_right(searched, engine):
    folder, _ = searched(engine)
    found, engine = law(folder), TAKEN.get(engine, engine)
    assert found["engine"] == engine and found["verdict"]["recovered"], found["verdict"]["why"]
    for target in TARGETS:
        front = json.loads((folder / "outputs" / RUN / "symbolic" / target / "front.json").read_text())
        assert front["engine"] == engine and len(front["formulas"]) > 2
    shared = found["targets"]["shared"]["chosen"]["equation"]
    assert "r" in shared and "m_j" in shared, shared


@OR_AUTO
@pytest.mark.parametrize("moment", [None, 0.6])
def test_a_search_that_was_killed_goes_on_to_the_same_rows(searched, trained, tmp_path, engine, moment):
    whole, seconds = searched(engine)
    folder = copied(trained, tmp_path)
    process = started(folder, *search(engine))
    wait(process, folder, moment, seconds)
    process.kill()
    process.communicate()
    before = kept(folder)
    assert before or moment is not None
    resumed(folder, engine, before)
    assert law(folder)["pair"]["text"] == law(whole)["pair"]["text"]
    if (
        TAKEN.get(engine, engine) == "operon"
    ):  # of PySR's an interrupted search goes on from its rows, and may find more
        assert fronts(folder) == fronts(whole)


@ENGINES
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_one_line_and_loses_nothing(searched, trained, tmp_path, engine, moment):
    whole, seconds = searched(engine)
    folder = copied(trained, tmp_path)
    process = started(folder, *search(engine))
    wait(process, folder, moment, seconds)
    process.send_signal(signal.SIGINT)
    stopped = finished(process)
    assert stopped.returncode in (130, -signal.SIGINT, 0), stopped.stderr  # 0: it had ended
    assert "Traceback" not in stopped.stderr and len(stopped.stderr.strip().splitlines()) <= 1, stopped.stderr
    assert not [p for p in (folder / "outputs").rglob("*") if ".tmp" in p.name]
    before = kept(folder)
    assert before or moment is not None
    resumed(folder, engine, before)
    assert law(folder)["verdict"]["recovered"]
    assert law(folder)["pair"]["text"] == law(whole)["pair"]["text"]
