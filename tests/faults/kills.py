"""A stage that is stopped anywhere, and then called again: are its results those of one call, and is nothing lost?

As a program it prints the table:  python tests/faults/kills.py --how KILL full --stages simulate extract

- KILL: what SIGKILL leaves at ``--points`` of the steps on the disk, and after real SIGKILLs at ``--moments`` drawn by
  ``--seed``. The same command again has to end with the results of one call.
- TERM, INT, HUP: the signal at so many steps and moments. One line, no child five seconds later, and as above.
- over: what SIGKILL leaves at so many steps while results that are there are made again. All files are there and fit
  together at once, old or new, without the command.
- full: the disk is full from one of so many steps on, while results that are there are to be made again. One line, and
  the old results are as they were, or those that are whole are new.

Steps are those of ``under.py``. States of the disk that differ only in times of a clock are the same, and the command
is repeated in them once.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FAULTS = Path(__file__).resolve().parent
sys.path[:0] = [str(FAULTS.parent), str(FAULTS.parents[1])]

import scripts  # noqa: E402
import told  # noqa: E402

from distill.files.storage import PLANS, is_there  # noqa: E402

DATASET, BODIES = "spring_n4_d2_s950", "spring_n3_d2_s950_bodies"
RUN = f"{DATASET}__l1-newton__s950"
SEED = ("--seed", "950", "--quick")
HOW = ("KILL", "TERM", "INT", "HUP", "full", "over")
SIGNALS = ("TERM", "INT", "HUP")


@dataclass(frozen=True)
class Stage:
    """``words``: script and flags; ``needs``: the stages before it; ``again``: flags that make results again."""

    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    again: tuple[str, ...] = ("--overwrite",)


SEARCH = ("symbolic_reg.py", "--run", RUN)
SHORT = ("--rows", "300", "--restarts", "1", "--min-restarts", "1", "--max-complexity", "12")
CHAIN = ("simulate", "train", "extract", "fit", "law")
STAGES = {
    "simulate": Stage(
        ("simulate.py", "--system", "spring", "--n-trajectories", "20", "--n-frames", "10", "--plot", *SEED)
    ),
    "train": Stage(("train.py", "--dataset", DATASET, "--message-dim", "4", *SEED), CHAIN[:1]),
    "extract": Stage(("extract_messages.py", "--run", RUN, *SEED), CHAIN[:2]),
    "fit": Stage(("fit_linear.py", "--run", RUN, *SEED), CHAIN[:3]),
    "law": Stage((*SEARCH, "--rivals", "--targets", "radial", *SHORT, *SEED), CHAIN[:3]),
    "export": Stage((*SEARCH, "--export", "openmm", "lammps"), CHAIN, ()),
    "compare": Stage(("test_generalization.py", "--run", RUN, "--rollouts", "0", "--seed", "951", "--quick"), CHAIN),
    "import": Stage(("import_tracks.py", "table.csv", "--name", "mine", *SEED)),
    "look": Stage(("look.py", "--dataset", DATASET, *SEED), CHAIN[:1], ()),
    "train unknown": Stage(("train.py", "--dataset", BODIES, "--unknown", "mass", "--message-dim", "4", *SEED)),
    "learn": Stage(("learn_properties.py", "--dataset", BODIES, *SEED)),
}
BODIES_OF = ("simulate.py", "--system", "spring", "--n", "3", "--bodies", "3", "--tag", "bodies", "--n-trajectories")
BODIES_OF += ("20", "--n-frames", "10", *SEED)
CHILDREN = {"law": ("--targets", "radial", "node", "--threads", "2", "--overwrite")}  # where signals have to reach some
# what depends on the clock, or on what has it; and flags that say how results were come by
TIMED = ("seconds", "cpu_seconds", "content_sha256", "sha256", "front_sha256", "git", "overwrite", "resume")
PLACES = ("datasets", "model_weights", "outputs")


def stage(folder: Path, name: str, more=(), ending=None):
    """Call a stage below ``folder``; ``ending``: (seconds, number of a signal) that it gets then."""
    script, *flags = STAGES[name].words
    return scripts.run(folder, script, *flags, *more, ending=ending)


def under(folder: Path, name: str, place: Path, asked: dict, more=()):
    """Call a stage below ``folder`` with what is ``asked`` happening at its steps; ``place`` keeps what comes of it."""
    place.mkdir()
    script, *flags = STAGES[name].words
    words = (place, json.dumps(asked), scripts.ROOT / script, *flags, *more)
    return scripts.run(folder, str(FAULTS / "under.py"), *words)


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
    """The files that are not as they should be, and what in them, or nothing."""
    names = sorted(k for k in {*found, *right} if found.get(k, 0) != right.get(k, 0))
    return "; ".join(f"{name}{_inside(found.get(name), right.get(name))}" for name in names[:4])


def _inside(found, right) -> str:
    """Where two values begin to differ: ``: key: key: this, not that``."""
    if isinstance(found, dict) and isinstance(right, dict):
        key = next(k for k in {**right, **found} if found.get(k, 0) != right.get(k, 0))
        return f": {key}{_inside(found.get(key), right.get(key))}"
    return "" if isinstance(found, bytes) else f": {str(found)[:60]}, not {str(right)[:60]}"


def state(folder: Path) -> str:
    """What is on the disk, but for times, and for what files under way are called: as a digest."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name, content = str(path.relative_to(folder)), b""
        if path.name.endswith((".tmp", PLANS)):
            name = str(path.relative_to(folder).with_name(path.name.split(".json.")[0].split(".npz.")[0] + ".tmp"))
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".json":
                content = json.dumps(untimed(json.loads(content)), sort_keys=True).encode()
            elif path.suffix in (".html", ".tmp", f".{PLANS}"):
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


def said(code: int, text: str, left=()) -> str:
    """What is wrong with how a process has ended, or nothing."""
    lines = [line for line in text.strip().splitlines() if line and not line.startswith("warning: ")]
    if "Traceback" in text:
        return f"TRACEBACK: {lines[-1]}"
    if left:
        return f"CHILDREN LEFT: {len(left)}"
    if code == -signal.SIGALRM:
        return "HANG"
    if code not in (0, 1, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return f"EXIT {code}: {lines[-1:]}"
    if code in (1, 130) and len(lines) != 1:
        return f"NOT ONE LINE: {lines[:3]}"
    return ""


class Table:
    """Makes what every stage starts from, in ``place``, and tries the stages."""

    def __init__(
        self,
        place: Path,
        names: list[str],
        hows: list[str],
        points: dict,
        moments: dict,
        seed: int,
        tell=print,
        each=lambda: None,
    ):
        self.place, self.names, self.hows, self.points, self.moments = place, names, hows, points, moments
        self.seed, self.tell, self.each = seed, tell, each
        self.rows: list[dict] = []
        self.known: dict[tuple, str] = {}  # (stage, flags, state of the disk) -> what the same command made of it

    def fill(self) -> None:
        before = self.place / "before"
        for folder in PLACES:
            (before / folder).mkdir(parents=True)
        write_table(before)
        if {"learn", "train unknown"} & set(self.names):
            scripts.ok(scripts.run(before, *BODIES_OF))
        needed = set(self.names).union(*(STAGES[name].needs for name in self.names))
        for name in (name for name in STAGES if name in needed):
            after = self.place / name
            if name in self.names:
                try:
                    self.tried(name, before, after)
                except subprocess.TimeoutExpired as late:
                    self.add(name, "", "", f"HANG: {late}")
                    return
                self.each()
            else:
                shutil.copytree(before, after)
                scripts.ok(stage(after, name))
            before = after

    def tried(self, name: str, before: Path, after: Path) -> None:
        """All that is asked of a stage that starts from the folder ``before``; its results come to lie in ``after``."""
        kept, start = self.place / f"{name} killed", time.monotonic()
        done = under(copy := self.copy(before), name, kept, {"KILL": "all"})
        seconds = time.monotonic() - start
        scripts.ok(done)
        shutil.copytree(copy, after)
        right, steps = results(after), (kept / "steps").read_text().splitlines()
        self.known[name, (), state(before)] = "repeated"  # it just was
        self.tell(f"{name}: {done.cpu:.1f} s of CPU, {seconds:.1f} s, {len(steps)} steps")
        if "KILL" in self.hows:
            self.killed(name, kept, steps, right)
        shutil.rmtree(kept)
        if "over" in self.hows:
            self.killed_over(name, after, right)
        asked = {how: evenly(range(1, len(steps) + 1), self.points[how]) for how in self.hows if how in SIGNALS}
        self.children(name, before, asked, (), right)
        if "full" in self.hows:
            asked = {"full": evenly(range(1, len(steps) + 1), self.points["full"])}
            self.children(name, after, asked, STAGES[name].again, right)
        for how in self.hows:
            self.at_moments(name, how, before, after, right, seconds)
            self.tell(line(self.rows, name, how))

    def add(self, name: str, how: str, at: str, outcome: str, **more) -> None:
        self.rows.append({"stage": name, "how": how, "at": at, "outcome": outcome, **more})
        if outcome != "repeated":
            self.tell(self.rows[-1])

    def killed(self, name: str, kept: Path, steps: list[str], right: dict) -> None:
        """Call a stage again in what was on the disk at steps of it, in states that are all different."""
        chosen, seen = [], set()
        for step in range(1, len(steps) + 1):
            if (key := state(kept / f"KILL {step}")) not in seen:
                seen.add(key)
                chosen.append(step)
        for step in evenly(chosen, self.points["KILL"]):
            at = f"step {step} of {len(steps)}, {steps[step - 1]}"
            self.add(name, "KILL", at, self.again(name, self.copy(kept / f"KILL {step}"), right))

    def killed_over(self, name: str, after: Path, right: dict) -> None:
        """What is there after a kill at steps of a stage that makes its results again, of states that all differ."""
        kept = self.place / f"{name} over"
        scripts.ok(under(self.copy(after), name, kept, {"KILL": "all"}, STAGES[name].again))
        steps, chosen = (kept / "steps").read_text().splitlines() if (kept / "steps").is_file() else [], {}
        for step in range(1, len(steps) + 1):
            chosen.setdefault(state(kept / f"KILL {step}"), step)
        for step in evenly(chosen.values(), self.points["over"]):
            folder = self.copy(kept / f"KILL {step}")
            whole = [file for file in right if is_there(folder / file)]  # as a stage looks that reads it
            found = results(folder)
            differ, loose = difference({file: found[file] for file in whole}, right), unmatched(folder)
            wrong = f"LOST: {differ or loose}" if differ or loose else "repeated"
            self.add(name, "over", f"step {step} of {len(steps)}, {steps[step - 1]}", wrong)
        shutil.rmtree(kept)

    def children(self, name: str, start: Path, asked: dict, more: tuple, right: dict) -> None:
        """What becomes of processes that get a signal, or have no room on the disk, at steps of a stage."""
        if not any(asked.values()):
            return
        kept = self.place / "kept"
        scripts.ok(under(self.copy(start), name, kept, asked, more))
        for how, steps in asked.items():
            for step in (s for s in steps if (kept / f"{how} {s}").is_dir()):
                text, code = (kept / f"{how} {step}.said").read_text(), int((kept / f"{how} {step}.code").read_text())
                folder = self.copy(kept / f"{how} {step}")
                wrong = said(code, text) or (self.lost(code, text, folder, right) if how == "full" else "")
                outcome = wrong or self.again(name, folder, right)
                self.add(name, how, f"step {step}", outcome, code=code, said=text)
        shutil.rmtree(kept)

    def lost(self, code: int, text: str, folder: Path, right: dict) -> str:
        """What is wrong after a full disk, or nothing."""
        if code == 1 and "No space left" not in text:
            return f"NOT TOLD: {text.strip()[-200:]}"
        if differ := difference(results(folder), right):
            return f"LOST: {differ}"
        if loose := unmatched(folder):
            return f"LOST: {', '.join(loose)} is not of what lies beside it"
        return ""

    def at_moments(self, name: str, how: str, before: Path, after: Path, right: dict, seconds: float) -> None:
        """Real signals from outside at moments; of a stage with children, to one that makes its results again."""
        many = name in CHILDREN and how != "KILL"
        start, more = (after, CHILDREN[name]) if many else (before, ())
        if many and self.moments[how]:
            whole = self.copy(after)
            scripts.ok(stage(whole, name, more))
            right = results(whole)
        for moment in drawn(self.seed, name, how, self.moments[how]):
            copy = self.copy(start)
            late = max(0.1, moment * seconds * (2 if many else 1))  # children start slowly
            done = stage(copy, name, more, ending=(late, getattr(signal, f"SIG{how}")))
            wrong = said(done.returncode, done.stderr, done.left) or self.again(name, copy, right, more)
            self.add(name, how, f"{late:.2f} s", wrong, code=done.returncode, said=done.stderr)

    def copy(self, folder: Path) -> Path:
        """A copy to work in, at the one place: some files know where they lie."""
        copy = self.place / "copy"
        if copy.exists():
            shutil.rmtree(copy)
        return Path(shutil.copytree(folder, copy, symlinks=True))

    def again(self, name: str, folder: Path, right: dict, more: tuple = ()) -> str:
        """What the same command, with ``more`` flags, makes of what is on the disk: "repeated", or what is wrong."""
        key = (name, more, state(folder))
        if key not in self.known:
            self.known[key] = self._again(name, folder, right, more)
        return self.known[key]

    def _again(self, name: str, folder: Path, right: dict, more: tuple) -> str:
        done = stage(folder, name, more)
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
    """Tracks as a table: bodies on circles of different speeds."""
    rows = ["trajectory,t,particle,x,y"]
    for k, f, i in np.ndindex(6, 10, 3):
        phase, size = (1 + i) * 0.1 * f + k + 2 * i, 1 + i + 0.1 * k
        rows.append(f"{k},{0.1 * f:.6f},{i},{size * np.cos(phase):.9f},{size * np.sin(phase):.9f}")
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
    parser.add_argument("--how", nargs="+", choices=HOW, default=list(HOW))
    parser.add_argument("--points", type=int, nargs="+", default=[14, 3, 3, 3, 10, 10], help="steps, of each of HOW")
    parser.add_argument("--moments", type=int, nargs="+", default=[6, 2, 2, 2, 0, 0], help="moments, of each of HOW")
    parser.add_argument("--seed", type=int, default=955)
    parser.add_argument("--rows", type=Path, help="write every try to this file")
    parser.add_argument("--results", action="store_true", help="put the counts into results/faults.json")
    args, start = parser.parse_args(), time.time()
    many = [
        dict(zip(HOW, one * (len(HOW) if len(one) == 1 else 1), strict=True)) for one in (args.points, args.moments)
    ]
    many[1] |= {"full": 0, "over": 0}  # are at a step
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
    with tempfile.TemporaryDirectory() as place:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(place, "compiled")))
        os.environ |= {"OMP_NUM_THREADS": "1"}
        os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        tell = lambda text: print(text, flush=True)  # noqa: E731

        def keep() -> None:
            if args.rows:
                args.rows.write_text(json.dumps(table.rows, indent=1))
            for how, stages in counted(table.rows).items() if args.results else ():
                of = {name: counts | {"commit": told.commit()} for name, counts in stages.items()}
                told.save(how, {"stages": told.known(how).get("stages", {}) | of}, args, start)

        table = Table(Path(place), args.stages, args.how, *many, args.seed, tell, keep)
        table.fill()
    keep()
    for row in wrong(table.rows):
        print(row)
    return bool(wrong(table.rows))


if __name__ == "__main__":
    sys.exit(main())
