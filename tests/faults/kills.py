"""A stage that is stopped anywhere, and then called again: are its results those of one call, and is nothing lost?

As a program it prints the table:  python tests/faults/kills.py --how kill --stages simulate extract --points 14

- kill: what SIGKILL leaves at every step on the disk, of which ``--points`` are taken evenly, and after real SIGKILLs
  at ``--moments`` drawn by ``--seed``. The same command again has to end with the results of one call.
- TERM, INT, HUP: the signal at so many steps and moments. One line, no child five seconds later, and as above.
- full: the disk is full from one of so many steps on, while results that are there are to be made again. One line, and
  the old results are as they were, or those that are whole are new.

States of the disk that differ only in times of a clock are the same, and are taken up once.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FAULTS = Path(__file__).resolve().parent
sys.path[:0] = [str(FAULTS.parent), str(FAULTS.parents[1])]

import scripts  # noqa: E402

DATASET, BODIES = "spring_n4_d2_s950", "spring_n3_d2_s950_bodies"
RUN = f"{DATASET}__l1-newton__s950"
SEED = ("--seed", "950", "--quick")
HOW = ("kill", "TERM", "INT", "HUP", "full")


@dataclass(frozen=True)
class Stage:
    """``words``: script and flags; ``again``: those that make results again which are there."""

    words: tuple[str, ...]
    again: tuple[str, ...] = ("--overwrite",)


SEARCH = ("symbolic_reg.py", "--run", RUN)
SHORT = ("--rows", "300", "--restarts", "1", "--min-restarts", "1", "--max-complexity", "12")
STAGES = {
    "simulate": Stage(
        ("simulate.py", "--system", "spring", "--n-trajectories", "20", "--n-frames", "10", "--plot", *SEED)
    ),
    "import": Stage(("import_tracks.py", "table.csv", "--name", "mine", *SEED)),
    "look": Stage(("look.py", "--dataset", DATASET, *SEED), ()),
    "learn": Stage(("learn_properties.py", "--dataset", BODIES, *SEED)),
    "train": Stage(("train.py", "--dataset", DATASET, "--message-dim", "4", *SEED)),
    "train unknown": Stage(("train.py", "--dataset", BODIES, "--unknown", "mass", "--message-dim", "4", *SEED)),
    "extract": Stage(("extract_messages.py", "--run", RUN, *SEED)),
    "fit": Stage(("fit_linear.py", "--run", RUN, *SEED)),
    "law": Stage((*SEARCH, "--rivals", "--targets", "radial", *SHORT, *SEED)),
    "export": Stage((*SEARCH, "--export", "openmm", "lammps"), ()),
    "compare": Stage(("test_generalization.py", "--run", RUN, "--rollouts", "0", "--seed", "951", "--quick")),
}
BODIES_OF = ("simulate.py", "--system", "spring", "--n", "3", "--bodies", "3", "--tag", "bodies", "--n-trajectories")
BODIES_OF += ("20", "--n-frames", "10", *SEED)
CHILDREN = {"law": ("--targets", "radial", "node", "--threads", "2", "--overwrite")}  # where signals have to reach some
# what depends on the clock, or on what has it; and the flag that makes results again
TIMED = ("seconds", "cpu_seconds", "content_sha256", "sha256", "front_sha256", "git", "overwrite")
PLACES = ("datasets", "model_weights", "outputs")


def stage(folder: Path, name: str, more=(), how: str | None = None, step: int = 0, place=None, ending=None):
    """Call a stage below ``folder``, under a fault (``under.py``) if there is one."""
    script, *flags = STAGES[name].words
    if how is None:
        return scripts.run(folder, script, *flags, *more, ending=ending)
    words = (how, step, place or folder, scripts.ROOT / script, *flags, *more)
    return scripts.run(folder, str(FAULTS / "under.py"), *words, ending=ending)


def results(folder: Path) -> dict[str, object]:
    """File -> what it says but for times; pages by being whole."""
    out: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        value: object = path.read_bytes()
        if path.suffix == ".json":
            value = untimed(json.loads(path.read_text()))
        elif path.suffix == ".npz":
            with np.load(path) as file:
                value = {k: a.tobytes() for k, a in file.items()}
        elif path.suffix == ".html":
            value = path.read_text().rstrip().endswith("</html>")
        out[str(path.relative_to(folder))] = value
    return out


def untimed(value):
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMED}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def difference(found: dict, right: dict) -> str:
    """The files that are not as they should be, or nothing."""
    names = sorted(k for k in {*found, *right} if found.get(k, 0) != right.get(k, 0))
    return ", ".join(names[:4])


def state(folder: Path) -> str:
    """What is on the disk, but for times, and for what files under way are called: as a digest."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name, content = str(path.relative_to(folder)), b""
        if path.name.endswith(".tmp"):
            name = str(path.relative_to(folder).with_name(path.name.split(".json.")[0].split(".npz.")[0] + ".tmp"))
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps(untimed(json.loads(content)), sort_keys=True).encode()
            elif path.suffix in (".html", ".tmp"):
                content = str(bool(content)).encode()
        digest.update(f"\n{name} {path.is_dir()} ".encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def unmatched(folder: Path) -> list[str]:
    """JSON files whose digests are not those of their content, or of the arrays and weights beside them."""
    out = []
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text())
        own = {k: v for k, v in content.items() if k != "content_sha256"}
        text = json.dumps(own, sort_keys=True, separators=(",", ":")).encode()
        good = content.get("content_sha256") in (None, hashlib.sha256(text).hexdigest())
        if "arrays_sha256" in content:
            arrays = path.with_suffix(".npz")
            good &= arrays.is_file() and content["arrays_sha256"] == hashlib.sha256(arrays.read_bytes()).hexdigest()
        if "weights_sha256" in content:
            weights = path.with_name("model.safetensors")
            good &= weights.is_file() and content["weights_sha256"].encode() in weights.read_bytes()
        if "front_sha256" in content:
            csv = path.with_name("hall_of_fame.csv")
            good &= csv.is_file() and content["front_sha256"] == hashlib.sha256(csv.read_bytes()).hexdigest()
        out += [] if good else [path.name]
    return out


def said(done, children: bool = True) -> str:
    """What is wrong with how a process has ended, or nothing."""
    lines = [line for line in done.stderr.strip().splitlines() if line and not line.startswith("warning: ")]
    if "Traceback" in done.stderr:
        return f"TRACEBACK: {lines[-1]}"
    if done.left:
        return f"CHILDREN LEFT: {len(done.left)}"
    if done.returncode not in (0, 1, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return f"EXIT {done.returncode}: {lines[-1:]}"
    if done.returncode in (1, 130) and len(lines) != 1:
        return f"NOT ONE LINE: {lines[:3]}"
    return ""


class Table:
    """Makes what every stage starts from, in ``place``, and tries the stages."""

    def __init__(self, place: Path, names: list[str], tell=print):
        self.place, self.names, self.tell = place, names, tell
        self.rows: list[dict] = []
        self.known: dict[tuple[str, str], str] = {}  # (stage, state of the disk) -> what the same command made of it

    def fill(self, hows: list[str], points: int, moments: int, seed: int) -> None:
        before = self.place / "before"
        for folder in PLACES:
            (before / folder).mkdir(parents=True)
        for name in STAGES:
            if name == "import":
                write_table(before)
                scripts.ok(scripts.run(before, *BODIES_OF))
            after, watched = self.place / name, self.place / f"{name} watched"
            shutil.copytree(before, after)
            start = time.monotonic()
            once = stage(after, name)
            seconds = time.monotonic() - start
            scripts.ok(once)
            self.tell(f"{name}: {once.cpu:.1f} s of CPU, {seconds:.1f} s")
            if name in self.names:
                right = results(after)
                for how in hows:
                    trying = self.full if how == "full" else self.killed if how == "kill" else self.ended
                    try:
                        for row in trying(name, how, before, after, right, points, moments, seconds, seed, watched):
                            self.add({"stage": name, "how": how, **row})
                    except subprocess.TimeoutExpired as late:
                        self.add({"stage": name, "how": how, "at": "", "outcome": f"HANG: {late}"})
                    self.tell(line(self.rows, name, how))
            before = after
            if name == [s for s in STAGES if s in self.names][-1]:
                break

    def add(self, row: dict) -> None:
        self.rows.append(row)
        if row["outcome"] != "repeated":
            self.tell(row)

    def watched(self, name: str, before: Path, watched: Path) -> int:
        """How many steps a stage has; folders with what is on the disk at each of them lie in ``watched`` then."""
        if not watched.is_dir():
            watched.mkdir()
            copy = self.copy(before)
            scripts.ok(stage(copy, name, how="watch", place=watched))
            shutil.rmtree(copy)
        return len((watched / "steps").read_text().splitlines())

    def copy(self, folder: Path) -> Path:
        """A copy to work in, at the one place: some files know where they lie."""
        copy = self.place / "copy"
        if copy.exists():
            shutil.rmtree(copy)
        return Path(shutil.copytree(folder, copy, symlinks=True))

    def killed(self, name, how, before, after, right, points, moments, seconds, seed, watched) -> Iterator[dict]:
        count = self.watched(name, before, watched)
        names = (watched / "steps").read_text().splitlines()
        chosen, seen = [], set()
        for step in range(1, count + 1):  # of equal states the first
            if (key := state(watched / str(step))) not in seen:
                seen.add(key)
                chosen.append(step)
        for step in evenly(chosen, points):
            at = f"step {step} of {count}, {names[step - 1]}"
            yield {"at": at, "outcome": self.again(name, self.copy(watched / str(step)), right)}
        for moment in drawn(seed, name, how, moments):
            copy = self.copy(before)
            done = stage(copy, name, ending=(moment * seconds, signal.SIGKILL))
            wrong = said(done) or self.again(name, copy, right)
            yield {"at": f"{moment:.2f} of the time", "outcome": wrong, "code": done.returncode}

    def ended(self, name, how, before, after, right, points, moments, seconds, seed, watched) -> Iterator[dict]:
        count = self.watched(name, before, watched)
        start, more = (after, CHILDREN[name]) if name in CHILDREN else (before, ())
        for step in evenly(range(1, count + 1), points):
            copy = self.copy(before)
            done = stage(copy, name, how=how, step=step)
            wrong = said(done) or self.again(name, copy, right)
            yield {"at": f"step {step} of {count}", "outcome": wrong, "code": done.returncode, "said": done.stderr}
        for moment in drawn(seed, name, how, moments):
            copy = self.copy(start)
            done = stage(copy, name, more, ending=(max(0.1, moment * seconds), getattr(signal, f"SIG{how}")))
            wrong = said(done) or self.again(name, copy, right)
            where = f"{moment:.2f} of the time"
            yield {"at": where, "outcome": wrong, "code": done.returncode, "said": done.stderr}

    def full(self, name, how, before, after, right, points, moments, seconds, seed, watched) -> Iterator[dict]:
        count = self.watched(name, before, watched)
        for step in evenly(range(1, count + 1), points):
            copy = self.copy(after)
            done = stage(copy, name, STAGES[name].again, "full", step)
            wrong = said(done) or ("" if done.returncode in (0, 1) else f"EXIT {done.returncode}")
            if done.returncode == 1 and "No space left" not in done.stderr:
                wrong = wrong or f"NOT TOLD: {done.stderr.strip()[-200:]}"
            if not wrong and (differ := difference(results(copy), right)):
                wrong = f"LOST: {differ}"
            if not wrong and (loose := unmatched(copy)):
                wrong = f"LOST: {', '.join(loose)} is not of what lies beside it"
            wrong = wrong or self.again(name, copy, right)
            yield {"at": f"step {step} of {count}", "outcome": wrong, "code": done.returncode, "said": done.stderr}

    def again(self, name: str, folder: Path, right: dict) -> str:
        """What the same command makes of what is on the disk: "repeated", or what is wrong."""
        key = (name, state(folder))
        if key not in self.known:
            self.known[key] = self._again(name, folder, right)
        return self.known[key]

    def _again(self, name: str, folder: Path, right: dict) -> str:
        done = stage(folder, name)
        if done.returncode == 1 and "add --resume to go on" in done.stderr:
            done = stage(folder, name, ("--resume",))
        if done.returncode:
            return f"NOT REPEATABLE: {done.stderr.strip()[-300:]}"
        if differ := difference(results(folder), right):
            return f"OTHER RESULT: {differ}"
        if loose := unmatched(folder):
            return f"OTHER RESULT: {', '.join(loose)} is not of what lies beside it"
        return "repeated"


def evenly(of, count: int) -> list[int]:
    """``count`` of these numbers, the first and the last among them."""
    of = list(of)
    places = np.linspace(0, len(of) - 1, min(count, len(of))) if count else []
    return [of[k] for k in sorted({round(x) for x in places})]


def drawn(seed: int, name: str, how: str, count: int) -> list[float]:
    """Moments as shares of a stage's time, one in each of ``count`` parts of it."""
    rng = np.random.default_rng([seed, *name.encode(), *how.encode()])
    return ((np.arange(count) + rng.random(count)) / max(count, 1)).tolist()


def write_table(folder: Path) -> None:
    """The places of a dataset as a table."""
    with np.load(folder / "datasets" / f"{DATASET}.npz") as file:
        pos, t = file["pos"][:6], file["t"]
    rows = ["trajectory,t,particle,x,y"]
    for k, f, i in np.ndindex(pos.shape[:3]):
        rows.append(f"{k},{t[f]:.6f},{i},{pos[k, f, i, 0]:.9f},{pos[k, f, i, 1]:.9f}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")


def counted(rows: list[dict]) -> dict[str, dict[str, dict[str, int]]]:
    """How -> stage -> {"n": tries, "good": those that ended as they have to}."""
    out: dict = {}
    for row in rows:
        own = out.setdefault(row["how"], {}).setdefault(row["stage"], Counter(n=0, good=0))
        own["n"] += 1
        own["good"] += row["outcome"] == "repeated"
    return out


def line(rows: list[dict], name: str, how: str) -> str:
    own = counted([row for row in rows if (row["stage"], row["how"]) == (name, how)]).get(how, {}).get(name, {})
    return f"{name:14} {how}: {own.get('good', 0)} of {own.get('n', 0)}"


def wrong(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["outcome"] != "repeated"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--how", nargs="+", choices=HOW, default=["kill"])
    parser.add_argument("--points", type=int, default=14, help="steps on the disk")
    parser.add_argument("--moments", type=int, default=6, help="moments drawn")
    parser.add_argument("--seed", type=int, default=955)
    parser.add_argument("--rows", type=Path, help="write every try to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        compiled = Path(place, "compiled")
        os.environ |= {"OMP_NUM_THREADS": "1", "JAX_COMPILATION_CACHE_DIR": str(compiled)}
        os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        table = Table(Path(place), args.stages, lambda text: print(text, flush=True))
        table.fill(args.how, args.points, args.moments, args.seed)
    if args.rows:
        args.rows.write_text(json.dumps(table.rows, indent=1))
    for row in wrong(table.rows):
        print(row)
    return bool(wrong(table.rows))


if __name__ == "__main__":
    sys.exit(main())
