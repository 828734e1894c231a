"""Rows of a long table, one a particle and frame, in any order, to the arrays of a dataset.

Labels of recordings and particles may be anything. Frames are the different times of a recording in order; a particle
that has no row in one of them was not seen. Recordings are cut into blocks before arrays are made, and a block knows
only the particles that are in it: a film in which a hundred thousand tracks come and go needs no more memory than its
rows.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from distill.files.properties import KNOWN, MOST_LEVELS
from distill.shell.errors import UserError
from distill.tracks.blocks import Block, Cut, plan
from distill.tracks.names import AXES, KEYS, VECTORS, vector_columns
from distill.tracks.tracks import Tracks

SAME_TIME = 1e-6  # times closer than this part of the usual spacing are one frame
CONSTANT = 1e-6  # relative change along a trajectory that a property may have
DOUBLED = 0.01  # share of rows with another place for the same particle and time that is an error
_NUMBERS = (*KEYS, *KNOWN, *(c for kind in VECTORS for c in vector_columns(kind)))
DENSE = 24.0  # most entries of the arrays for one row, before they are refused as too empty


class Codes:
    """Labels -> numbers in order of first appearance; numbers that are equal are one label, however written."""

    def __init__(self):
        self.of: dict = {}

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Code of each label; -1 where there is none (an empty cell)."""
        kinds, inverse = _factorized(values)
        return np.array([self._one(kind) for kind in kinds], dtype=np.int32)[inverse]

    def _one(self, value) -> int:
        key = label(value)
        return -1 if key is None else self.of.setdefault(key, len(self.of))

    def ranks(self) -> np.ndarray:
        """Place of each code when labels are ordered: numbers by size, then words."""
        names = list(self.of)
        order = sorted(range(len(names)), key=lambda k: (isinstance(names[k], str), names[k]))
        out = np.empty(len(names), dtype=np.int32)
        out[order] = np.arange(len(names), dtype=np.int32)
        return out

    def __len__(self):
        return len(self.of)


def _factorized(values: np.ndarray) -> tuple:
    if values.dtype.kind == "f":
        kinds, inverse = np.unique(values, return_inverse=True)
        return kinds.tolist(), inverse
    known: dict = {}
    inverse = np.fromiter((known.setdefault(v, len(known)) for v in values.tolist()), dtype=np.int64, count=len(values))
    return list(known), inverse


def label(value):
    """A label as it is compared: a number where it is one, else a word; None for an empty cell."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        text = value.strip()
        try:
            number = float(text)
        except ValueError:
            return text or None
        value = number if repr(number) == text or (text.isdigit() and str(int(text)) == text) else text
        if isinstance(value, str):
            return value or None
    if value is None or value != value:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass
class Rows:
    """Collects rows; ``add`` a part, then ``tracks``. ``where``: the file, as it is named in what is said."""

    where: str
    line: Callable[[int], str] = lambda row: f"row {row + 1}"  # where a row is, for errors
    recordings: Codes = field(default_factory=Codes)
    particles: Codes = field(default_factory=Codes)
    columns: dict[str, list] = field(default_factory=dict)
    count: int = 0
    lost: int = 0  # rows without a place, a time or a particle
    first_date: int | None = None  # nanoseconds
    left_out: dict[str, str] = field(default_factory=dict)  # column -> why
    kinds: dict[str, Codes] = field(default_factory=dict)  # column of words -> their numbers
    box: np.ndarray | None = None
    lines: list[str] = field(default_factory=list)

    def add(self, part: Mapping[str, np.ndarray], recording=None) -> None:
        """Rows by our names of columns (``names.of_columns``). ``recording``: label of all of them, or None where they
        have a column ``trajectory``; given with one, it tells files apart.
        """
        if not (rows := len(part["x"])):
            return
        code = self.recordings.encode(self._labels(part, recording, rows))
        own = {"recording": code, "particle": self.particles.encode(_objects(part["particle"]))}
        for name, values in part.items():
            if name not in ("trajectory", "particle") and name not in self.left_out:
                if (numbers := self._numbers(name, values)) is not None:
                    own[name] = numbers
        keys = [own[name] for name in ("x", "y", "z", "t", "frame") if name in own]
        fine = np.isfinite(keys).all(0) & (own["recording"] >= 0) & (own["particle"] >= 0)
        self.lost += int(rows - fine.sum())
        own["row"] = np.arange(self.count, self.count + rows, dtype=np.int32 if self.count + rows < 2**31 else np.int64)
        for name, values in own.items():
            self.columns.setdefault(name, []).append(values if fine.all() else values[fine])
        self.count += rows

    def _labels(self, part, recording, rows) -> np.ndarray:
        if "trajectory" not in part:
            return np.full(
                rows, 0.0 if recording is None else recording, dtype=object if recording is not None else float
            )
        own = part["trajectory"]
        if recording is None:
            return _objects(own)
        return np.array([f"{recording}\0{label(v)}" for v in own.tolist()], dtype=object)

    def _numbers(self, name: str, values: np.ndarray) -> np.ndarray | None:
        if values.dtype.kind in "fiub":
            return values.astype(np.float64, copy=False)
        if name == "t" and (found := _dates(values)) is not None:
            self.first_date = found[0] if self.first_date is None else self.first_date
            return (found - self.first_date) / 1e9  # seconds since 1970 would cost digits
        if name not in _NUMBERS and (found := self._kinds(name, values)) is not None:
            return found
        out = np.array([_float(v) for v in values.tolist()])
        bad = np.flatnonzero(np.isnan(out) & np.array([_word(v) for v in values.tolist()]))
        if not len(bad):
            return out
        if name in _NUMBERS:
            row = self.count + int(bad[0])
            raise UserError(
                f"{self.where}, {self.line(row)}: {str(values[bad[0]])[:40]!r} in the column of '{name}' is no number",
                "mend it, or leave the cell empty where nothing was measured"
                + ("; times are numbers or dates as 2024-05-01T12:00:00" if name == "t" else ""),
            )
        words = "words in some rows only" if len(bad) < len(out) else "too many different words"
        self.left_out[name] = f"it holds {words}, like {str(values[bad[0]])[:20]!r}"
        self.columns.pop(name, None)
        self.kinds.pop(name, None)
        return None

    def _kinds(self, name: str, values: np.ndarray) -> np.ndarray | None:
        """Words as numbers, where they are few from the first row on: a category of particles."""
        if name not in self.kinds and (self.count or values.dtype.kind in "fiub"):
            return None
        if not all(_word(v) and _float(v) != _float(v) for v in values.tolist()):
            return None
        found = self.kinds.setdefault(name, Codes()).encode(_objects(values)).astype(float)
        return found if len(self.kinds[name]) <= MOST_LEVELS else None

    def tracks(self, cut: Cut, dt: float = 1.0, same_bodies: bool = False) -> Tracks:
        """Everything that was added, cut into blocks. ``dt``: time from one number of a frame to the next;
        ``same_bodies``: whether a name means the same body in every recording.
        """
        if not self.columns or not (total := sum(map(len, self.columns["x"]))):
            raise UserError(f"{self.where} holds no row with a place, a time and a particle", "see docs/own_data.md")
        columns = self._joined()
        lines = self.lines + [f"the column '{name}' is left out: {why}" for name, why in self.left_out.items()]
        by_time = "t" in columns
        recording, t, number = columns.pop("recording"), columns.pop("t", None), columns.pop("frame", None)
        if number is not None and t is not None:
            lines += ["frames are told apart by their number, their times are those of the column"]
        if self.first_date is not None:
            t, lines = t - t.min(), [*lines, "times are dates: seconds since the first one"]
        t = number * dt if t is None else t
        key = t if number is None else number
        order, bounds = _grouped(recording, len(self.recordings))
        frame = np.empty(len(key), dtype=np.int32)
        times, merged = [], 0
        for k in range(len(self.recordings)):
            own = order[bounds[k] : bounds[k + 1]]
            values, inverse, joined = _frames(key[own])
            merged += joined
            frame[own] = inverse
            at = np.full(len(values), np.nan)
            at[inverse[::-1]] = t[own][::-1]  # of the first row of the frame
            times.append(at)
        del t, key, number
        if merged:
            lines += [f"{merged} times that differ by rounding from another were taken as that"]
        for k, at in enumerate(times):
            if not (np.diff(at) > 0).all():
                found = (
                    f"{self.where}: the times of recording {list(self.recordings.of)[k]!r} do not rise with its frames"
                )
                raise UserError(found, "leave one of both columns out:  --leave-out NAME")
        measured = "ax" in columns or "fx" in columns
        cut = cut if measured else cut.for_windows()
        cutting = plan([len(at) for at in times], cut, self.where)
        rank = self.particles.ranks()[columns.pop("particle")]
        blocks, dest, n = _place(cutting.blocks, order, bounds, frame, rank, len(self.recordings))
        if not blocks:
            raise UserError(f"{self.where}: no two particles are in the same recording", "see docs/own_data.md")
        of_particle = rank.astype(float)
        del order, frame, rank, recording
        gone = len(cutting.blocks) - len(blocks)
        lines += cutting.lines + [f"{gone} blocks with fewer than two particles are left out"] * (gone > 0)
        shape = (len(blocks), max(b.stop - b.start for b in blocks), n)
        if np.prod(shape) > DENSE * total + 1e6:
            raise UserError(
                f"{self.where}: {total:,} rows are too few for arrays {shape} of blocks, frames and particles",
                "cut them shorter with --block-frames, so that fewer particles are in a block together",
            )
        counts = {"rows": self.count, "rows_without_a_place": self.lost}
        dest, counts["rows_doubled"] = self._without_doubles(dest, columns)
        columns.pop("row")
        out = Tracks(pos=_vector("pos", columns, dest, shape), t=_times(blocks, times, shape[1]))
        for kind in ("vel", "acc", "force"):
            if VECTORS[kind] + "x" in columns:
                setattr(out, kind, _vector(kind, columns, dest, shape))
        for name in sorted(columns):
            values, why = _property(columns.pop(name), dest, shape)
            if why and name in KNOWN:
                found = f"{self.where}: the column of '{name}' cannot be used: {why}"
                raise UserError(found, "mend it, or go without:  --leave-out and its name")
            if why:
                lines += [f"the column '{name}' is left out: {why}"]
            else:
                out.properties[name] = values
                if name in self.kinds and len(self.kinds[name]) > 1:
                    known, rank = self.kinds[name].of, self.kinds[name].ranks()
                    of = np.r_[rank.astype(float), np.nan]  # -1, of no particle, is the last
                    out.properties[name] = of[np.nan_to_num(values, nan=-1).astype(int)]
                    out.categories[name] = [list(known)[k] for k in np.argsort(rank)]
        if same_bodies or len(self.recordings) == 1:
            out.who, _ = _property(of_particle, dest, shape)
            names, ranks = list(self.particles.of), self.particles.ranks()
            out.bodies = [str(names[k]) for k in np.argsort(ranks)]
        out.film = np.array([b.recording for b in blocks])
        out.split = np.array([b.split for b in blocks], dtype=np.int8)
        out.spaced, out.recordings, out.box = by_time, len(self.recordings), self.box
        out.lines, out.counts = lines, counts
        return out

    def _joined(self) -> dict[str, np.ndarray]:
        """One array a column; what was collected of it is let go at once."""
        lengths = sum(map(len, self.columns["x"]))
        for name in [n for n, parts in self.columns.items() if sum(map(len, parts)) != lengths]:
            del self.columns[name]  # left out on the way
        return {name: np.concatenate(self.columns.pop(name)) for name in list(self.columns)}

    def _without_doubles(self, dest: np.ndarray, columns: dict) -> tuple[np.ndarray, int]:
        """``dest`` with -1 for a second row of the same particle and time; ``UserError`` where they contradict."""
        placed = np.flatnonzero(dest >= 0)
        first = np.full(int(dest.max()) + 1, -1, dtype=np.int32 if len(dest) < 2**31 else np.int64)
        first[dest[placed[::-1]]] = placed[::-1]
        again = placed[first[dest[placed]] != placed]
        if not len(again):
            return dest, 0
        with_first = first[dest[again]]
        other = np.zeros(len(again), dtype=bool)
        for axis in AXES:
            if axis in columns:
                other |= columns[axis][again] != columns[axis][with_first]
        if other.sum() > DOUBLED * len(dest):
            row, former = (int(columns["row"][k[other][0]]) for k in (again, with_first))
            raise UserError(
                f"{self.where}: {self.line(former)} and {self.line(row)} put one particle at two places at the same"
                f" time, as {int(other.sum()):,} of {len(dest):,} rows do",
                "if a column tells recordings apart, name it:  --columns trajectory=NAME",
            )
        dest = dest.copy()
        dest[again] = -1
        return dest, len(again)


def _objects(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64) if values.dtype.kind in "fiub" else values.astype(object)


def _float(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _word(value) -> bool:
    """Whether a cell holds a word, rather than a number or nothing."""
    return isinstance(value, str) and value.strip().lower() not in ("", "nan", "na", "n/a", "null", "none", "-")


def _dates(values: np.ndarray) -> np.ndarray | None:
    """Nanoseconds of ISO dates; None where these are no dates."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[ns]").astype(np.int64)
    try:
        texts = [str(v).strip().replace(" ", "T").rstrip("Z") for v in values.tolist()]
        if not all("-" in text[1:] and len(text) >= 8 for text in texts):
            return None
        with warnings.catch_warnings():  # of numpy, which does turn 12:00+02:00 into the 10:00 that it is
            warnings.filterwarnings("ignore", "no explicit representation of timezones")
            return np.array(texts, dtype="datetime64[ns]").astype(np.int64)
    except ValueError:
        return None


def _grouped(code: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows by group in their order [row], and where each group starts [group + 1]."""
    order = np.arange(len(code)) if (np.diff(code) >= 0).all() else np.argsort(code, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(code, minlength=groups))])


def _frames(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The different times in order, the number of each row's, and how many were joined to one close by."""
    values, inverse = np.unique(key, return_inverse=True)
    if len(values) < 3:
        return values, inverse, 0
    step = np.diff(values)
    wide = np.median(step[step > SAME_TIME * np.max(step)])
    close = np.concatenate([[False], step < SAME_TIME * wide])
    if not close.any():
        return values, inverse, 0
    group = np.cumsum(~close) - 1
    return values[~close], group[inverse], int(close.sum())


def _place(blocks: list[Block], order, bounds, frame, rank, recordings: int):
    """(blocks with two particles at least, place of each row in arrays [block, frame, particle] or -1, particles)."""
    of = {k: [b for b in blocks if b.recording == k] for k in {b.recording for b in blocks}}
    kept, local, number = [], np.full(len(frame), -1, dtype=np.int32), np.full(len(frame), -1, dtype=np.int32)
    for k in range(recordings):
        own = order[bounds[k] : bounds[k + 1]]
        own = own[np.argsort(frame[own], kind="stable")]
        for block in of.get(k, ()):
            rows = own[slice(*np.searchsorted(frame[own], (block.start, block.stop)))]
            names, inverse = np.unique(rank[rows], return_inverse=True)
            if len(names) < 2:
                continue
            local[rows], number[rows] = inverse, len(kept)
            kept.append(block)
    if not kept:
        return [], None, 0
    n, frames = int(local.max()) + 1, max(b.stop - b.start for b in kept)
    start = np.array([b.start for b in kept])
    dest = (number.astype(np.int64) * frames + (frame - start[number])) * n + local
    dest[number < 0] = -1
    return kept, dest, n


def _vector(kind: str, columns: dict, dest: np.ndarray, shape: tuple) -> np.ndarray:
    """One vector of all rows [block, frame, particle, dim]; its columns are let go."""
    names = [c for c in vector_columns(kind) if c in columns]
    out = np.full((int(np.prod(shape)), len(names)), np.nan)
    fine = dest >= 0
    every = bool(fine.all())
    for k, name in enumerate(names):
        values = columns.pop(name)
        if every:
            out[dest, k] = values
        else:
            out[dest[fine], k] = values[fine]
    return out.reshape(*shape, len(names))


def _times(blocks: list[Block], times: list[np.ndarray], frames: int) -> np.ndarray:
    """[frame] where all blocks have the same times, else [block, frame]; short ones go on as they did before."""
    out = np.empty((len(blocks), frames))
    for k, block in enumerate(blocks):
        own = times[block.recording][block.start : block.stop]
        step = np.median(np.diff(own)) if len(own) > 1 else 1.0
        out[k, : len(own)] = own
        out[k, len(own) :] = own[-1] + step * np.arange(1, frames - len(own) + 1)
    step = np.diff(out[0]).min() if frames > 1 else 0.0
    return out[0].copy() if (np.abs(out - out[0]) <= 1e-9 * step).all() else out


def _property(values: np.ndarray, dest: np.ndarray, shape: tuple) -> tuple[np.ndarray | None, str | None]:
    """(a column as a property [block, particle], NaN where there is no particle; why it cannot be one)."""
    blocks, frames, n = shape
    fine = np.flatnonzero((dest >= 0) & np.isfinite(values))
    if not len(fine):
        return None, "it is empty"
    at = dest[fine] // (frames * n) * n + dest[fine] % n
    out = np.full(blocks * n, np.nan)
    out[at[::-1]] = values[fine][::-1]
    off = np.abs(values[fine] - out[at]) > CONSTANT * np.abs(out[at])
    if off.any():
        return None, f"it changes in time for the same particle, in {int(off.sum()):,} rows"
    there = np.zeros(blocks * n, dtype=bool)
    placed = dest[dest >= 0]
    there[placed // (frames * n) * n + placed % n] = True
    if lacking := int(np.isnan(out[there]).sum()):
        return None, f"{lacking} particles have no value"
    return out.reshape(blocks, n), None
