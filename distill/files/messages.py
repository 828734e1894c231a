"""Messages: ``outputs/<run>/messages_<split>.npz`` with the JSON beside it, see ``fields.MESSAGE_FIELDS``."""

from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.arrays import check_fields, load_npz, not_of_its_json
from distill.files.fields import MESSAGE_FIELDS, TARGET_FIELDS, ends_of
from distill.files.kinds import MessagesRecord
from distill.files.names import messages_path, run_dir
from distill.files.properties import in_messages
from distill.files.provenance import sha256
from distill.files.storage import is_there
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn

MOST_EDGES = 1_500_000  # of a messages file in memory at once: 0.8 GB with 100 components in 2-D


def load_messages(path: Path, run: str, most: int = MOST_EDGES, target: bool = False) -> tuple[dict, MessagesRecord]:
    """``(arrays, meta)`` of a messages file of ``run``; ``UserError`` if missing, damaged or of another run, or where
    receivers have no accelerations but a ``target`` (or the other way round): what reads these reads no others.

    Of a file with more than ``most`` edges, whole graphs drawn at random (always the same) with at most so many
    edges together are read, with a warning; ``meta.graphs`` is the number of graphs read.
    """
    path = Path(path)
    fix = MessagesRecord.fix(path)
    refuse_foreign(path, fix)
    meta = records.load(MessagesRecord, path.with_suffix(".json"), fix)
    if meta.target != target:
        told = "a number of every particle, from which no force" if meta.target else "accelerations, from which no law"
        told = f"{relative(path)} holds messages of a network of {told} of this stage can be read"
        raise UserError(told, "read sums over neighbours by distill.halos:  docs/halos.md" if meta.target else fix)
    fields = (TARGET_FIELDS if target else MESSAGE_FIELDS) | ends_of(meta.properties)
    arrays = load_npz(path, fields, "messages", fix, lambda file: _some_graphs(file, most))
    if meta.run != run:
        raise UserError(f"{relative(path)} holds messages of run '{meta.run}', expected '{run}'", fix)
    if path.name != messages_path(run, meta.split).name:
        raise UserError(
            f"{relative(path.with_suffix('.json'))} is of the split '{meta.split}', as its name is not", fix
        )
    config = run_dir(run) / "config.json"
    if meta.digest_of("config") != sha256(config):
        raise UserError(
            f"{relative(path)} is older than the run: '{run}' has been trained again since",
            f"python extract_messages.py --run {run} --overwrite",
        )
    check_edges(arrays, relative(path), fix, meta.n)
    if meta.arrays_sha256 not in (None, sha256(path)):
        raise not_of_its_json(path, path.with_suffix(".json"), fix)
    if len(arrays["r"]) < meta.edges:
        read = len(np.unique(np.stack([arrays[k] for k in ("trajectory", "frame")]), axis=1).T)
        warn(f"{relative(path)} holds {meta.graphs} graphs; {read} of them, drawn at random, are used")
        meta.graphs = read
    return arrays, meta


def check_edges(arrays: dict, where: str, fix: str, n: int | None = None) -> None:
    """``UserError`` for edges that cannot be: of particles that there are not, or from a particle to itself, of
    distances or masses that are none. ``n``: particles, None where that is not known.
    """
    edges, dim = arrays["dx"].shape
    if edges < 10:
        raise UserError(f"{where} holds {edges} edges, expected at least 10", fix)
    for name, most in {"receiver": n, "sender": n, "trajectory": None, "frame": None}.items():
        low, high = int(arrays[name].min()), int(arrays[name].max())
        if low < 0 or (most is not None and high >= most):
            told = "numbers from 0" if most is None else f"numbers of {most} particles"
            raise UserError(f"{where}: '{name}' holds {low if low < 0 else high}, expected {told}", fix)
    if lost := int((arrays["receiver"] == arrays["sender"]).sum()):
        raise UserError(f"{where}: {lost} edges lead from a particle to itself", fix)
    r = _lengths(arrays["dx"])
    if not np.isfinite(r).all():
        raise UserError(f"{where}: 'dx' holds numbers whose squares are too large to compute with", fix)
    if not np.allclose(arrays["r"], r, rtol=1e-3):
        raise UserError(f"{where}: 'r' is not the length of 'dx'", fix)
    for name in ("mass_i", "mass_j"):
        if not (arrays[name] > 0).all():
            raise UserError(f"{where}: '{name}' holds values that are not positive", fix)


def _lengths(dx: np.ndarray) -> np.ndarray:
    """[edge] of dx [edge, dim], infinite where they are beyond 64 bits."""
    with np.errstate(over="ignore"):
        return np.linalg.norm(dx.astype(float), axis=1)


def refuse_foreign(path: Path, instead: str) -> None:
    """``UserError`` for messages at ``path`` that no stage here wrote; ``instead``: what makes our own."""
    side = path.with_suffix(".json")
    if is_there(path) and not side.is_file():
        found = f"{relative(path)} has no {side.name} beside it: extract_messages.py did not write it, or was cut off"
        raise UserError(found, f"use it as messages made elsewhere:  --messages {relative(path)}; or {instead}")


NEEDED = ("message", "receiver", "sender", "trajectory", "frame", "dx", "acc_i")  # of messages made elsewhere


def load_made_elsewhere(path: Path, name: str, most: int = MOST_EDGES) -> tuple[dict, MessagesRecord]:
    r"""``(arrays, meta)`` of messages that no run here sent, as ``name``; what may be missing is filled in, and said.

    ``NEEDED`` arrays have to be there. Masses are equal ones, charges and velocities zeros, all components active, r is
    \|dx\|, where the file does not have them. Without ``acc_pred_i``, what their network predicts, the arrays have
    none. ``meta`` is of the JSON beside the file if that is of ``extract_messages``, else of the arrays. ``UserError``
    in one line that names the file.
    """
    path = Path(path)
    where, fix = relative(path), "correct it:  docs/formats.md lists the arrays of messages"
    if path.is_dir():
        raise UserError(f"{where} is a folder", "give the .npz with the messages")
    relaxed = {k: (axes, kind, k in NEEDED) for k, (axes, kind, _) in MESSAGE_FIELDS.items()}
    arrays = load_npz(path, relaxed, "messages", fix, lambda file: _some_graphs(file, most), _of_both_ends)
    edges, dim = arrays["dx"].shape
    for given, count in ((arrays["message"], "component"), (arrays["dx"], "dim")):
        if not given.shape[1]:
            raise UserError(f"{where}: no {count} in an array of shape {given.shape}", fix)
    arrays.setdefault("r", _lengths(arrays["dx"]))
    one, still = np.ones(edges), np.zeros((edges, dim))
    usual = {"mass": one, "charge": 0 * one, "vel": still}
    absent = [k for k in usual if not {f"{k}_i", f"{k}_j"} <= arrays.keys()]
    for k in absent:
        arrays[f"{k}_i"] = arrays[f"{k}_j"] = usual[k]
    if absent:
        said = {"mass": "equal masses", "charge": "no charges", "vel": "velocities zero"}
        warn(f"{where}: {', '.join(said[k] for k in absent)} are taken, for the file has none")
    arrays.setdefault("active", np.ones(arrays["message"].shape[1], np.int64))
    properties = in_messages(arrays)
    check_fields(arrays, MESSAGE_FIELDS | ends_of(properties) | {"acc_pred_i": relaxed["acc_pred_i"]}, where, fix)
    check_edges(arrays, where, fix)
    graphs = len(np.unique(np.stack([arrays[k] for k in ("trajectory", "frame")]), axis=1).T)
    about = {"run": name, "graphs": graphs, "edges": edges, "n": int(arrays["receiver"].max()) + 1, "dim": dim}
    about |= {"properties": list(properties)}
    if "acc_pred_i" in arrays:
        about["mae"] = float(np.abs(arrays["acc_pred_i"] - arrays["acc_i"]).mean())
    side = path.with_suffix(".json")
    if records.stage_of(side) == MessagesRecord.STAGE:
        meta = records.load(MessagesRecord, side, "take it away, or make both again")
        if meta.arrays_sha256 not in (None, sha256(path)):
            raise not_of_its_json(path, side, "make both again")
        for k, value in about.items():
            setattr(meta, k, value)
        return arrays, meta
    unknown = dict.fromkeys(("variant", "recipe", "dataset", "dataset_path"), "")
    meta = MessagesRecord(**{"mae": 0.0} | about | unknown, split="all", antisymmetric=_antisymmetric(arrays))
    return arrays, meta


def _of_both_ends(headers: dict) -> list[str]:
    """Names of arrays that may be properties of receiver and sender."""
    both = {k[:-2] for k in headers if k.endswith("_i")} & {k[:-2] for k in headers if k.endswith("_j")}
    return [name + end for name in both for end in ("_i", "_j") if len(headers[name + end].shape) == 1]


def _antisymmetric(arrays: dict) -> bool:
    """Whether e_ij = -e_ji to the rounding of single precision, wherever both are there."""
    keys = [arrays[k].astype(np.int64) for k in ("trajectory", "frame", "receiver", "sender")]
    there, back = np.stack(keys), np.stack([*keys[:2], keys[3], keys[2]])
    _, number = np.unique(np.concatenate([there, back], 1), axis=1, return_inverse=True)
    own, other = np.split(number.reshape(-1), 2)
    at = np.full(number.max() + 1, -1)
    at[own] = np.arange(len(own))
    reverse = at[other]
    both = reverse >= 0
    sent = arrays["message"].astype(float)
    off = np.abs(sent[both] + sent[reverse[both]]).max(initial=0.0)
    return bool(both.any() and off <= 1e-5 * np.abs(sent).max())


def _some_graphs(file, most: int) -> tuple[str, np.ndarray] | None:
    """``load_npz``'s draw of whole graphs with at most ``most`` edges together (but one graph at least)."""
    trajectory, frame = file["trajectory"], file["frame"]
    if len(trajectory) <= most or trajectory.ndim != 1 or trajectory.shape != frame.shape:
        return None  # all of it, or nothing that can be right: the checks will say what is wrong
    graph = trajectory.astype(np.int64) * (int(frame.max()) + 1) + frame
    _, number, edges = np.unique(graph, return_inverse=True, return_counts=True)
    order = np.random.default_rng(20061128).permutation(len(edges))
    chosen = np.zeros(len(edges), dtype=bool)
    chosen[order[: max(1, np.searchsorted(np.cumsum(edges[order]), most, "right"))]] = True
    return "edge", chosen[number]
