"""Messages against the true forces: all numbers of ``linear_fit.json``, and the points of its figure.

The most important message components are fitted by linear combinations of the true pair forces; beside them stand the
read-out of all components, which has seen no true pair force, and splines without a network.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import sympy as sp

from distill.files import records
from distill.files.dataset import Dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.files.messages import load_made_elsewhere, load_messages
from distill.files.names import messages_path, run_dir
from distill.files.of_run import dataset_of_run
from distill.files.properties import of_edges, of_receivers
from distill.law.receivers import forces_of
from distill.messages import energies, read_out, roles
from distill.messages.net_forces import nodes_of
from distill.messages.read_out import ReadOut
from distill.physics.law import AXES, RADIAL, Law, law_of_system
from distill.physics.record import system_of
from distill.physics.terms import State, direction
from distill.physics.terms import force as force_of_terms
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn
from distill.splines.blocks import NodeBlock, Seen, with_motion
from distill.splines.fit import fit_pair_force, kinds_where
from distill.splines.of_messages import TermsOfMessages, fit_terms_of_messages, has_additive_node
from distill.statistics import metrics

NODE = "node"  # all that acts on one particle
Loaded = dict[str, tuple[dict, MessagesRecord]]  # by split


def files_of(run: str, split: str, messages: str | None = None) -> dict[str, Path]:
    """By split, the files of messages that are read: of a run those of ``split`` are scored, and read as those of its
    training split say; of a file of ``messages`` made elsewhere all edges.
    """
    if messages is not None:
        return {split: Path(messages)}
    return {s: messages_path(run, s) for s in dict.fromkeys(("train", split))}


def load(run: str, files: dict[str, Path], messages: str | None = None) -> Loaded:
    """Of ``files_of``, by split; errors as of ``files.messages``."""
    read = load_messages if messages is None else load_made_elsewhere
    return {s: read(path, run) for s, path in files.items()}


def scores(
    run: str, loaded: Loaded, split: str, *, messages: str | None = None, cutoff: int, seed: int
) -> tuple[dict, dict]:
    """``measure`` of the edges of ``split`` among those ``loaded``, by what the run's network assumes; ``UserError``
    where they hold no true forces.
    """
    scored, meta = loaded[split]
    if "force" not in scored:
        whose = f"--run {run}" if messages is None else f"--messages {messages}"
        raise UserError(
            f"{relative(files_of(run, split, messages)[split])} holds no true forces: the system is not known here",
            f"skip this stage:  python symbolic_reg.py {whose}",
        )
    fitted_to = loaded.get("train") or _with_predictions(scored, meta, seed)
    dataset, law = None if messages is not None else _dataset_of_terms(run), None
    if dataset is not None:
        scored, fitted_to = with_motion(scored, dataset), (with_motion(fitted_to[0], dataset), fitted_to[1])
        system = system_of(dataset.meta.system)
        law = None if system is None else law_of_system(system, dataset.dim)
    return measure(scored, fitted_to, meta, cutoff, seed, law)


def read_force(run: str, messages: dict, train: tuple[dict, MessagesRecord], seed: int) -> np.ndarray:
    """Pair forces [edge, dim] on the edges of ``messages`` of ``run``, read as its training split ``train`` says: by
    the net forces that its network predicts, without any true force.
    """
    if (dataset := _dataset_of_terms(run)) is not None:
        messages, train = with_motion(messages, dataset), (with_motion(train[0], dataset), train[1])
    return _read(train, seed)[1](messages)


def _dataset_of_terms(run: str) -> Dataset | None:
    """That of a run whose messages are read term by term, for which motion is needed; None for others."""
    config = records.load(RunConfig, run_dir(run) / "config.json")
    return dataset_of_run(run, config) if has_additive_node(config) else None


def _read(train: tuple[dict, MessagesRecord], seed: int) -> tuple[ReadOut | TermsOfMessages, Callable]:
    """(the read-out of messages, its pair forces as a function of messages)."""
    if "motion" in train[0]:
        terms = fit_terms_of_messages(roles.part("read_out", train[0], seed), seed)
        return terms, terms.whole
    read = energies.read(train[0], nodes_of(train[0]), train[1], seed)
    return read, lambda messages: read.force(messages, nodes_of(messages))


def _with_predictions(messages: dict, meta: MessagesRecord, seed: int) -> tuple[dict, MessagesRecord]:
    """Messages made elsewhere, with what splines predict where the file does not say what their network does."""
    if "acc_pred_i" not in messages:
        nodes = nodes_of(messages)
        spline = fit_pair_force(messages, nodes, seed, kinds_where(meta.doubted, messages))
        messages["acc_pred_i"] = spline.accelerations(messages, nodes)
        warn("the file has no 'acc_pred_i': messages are read by the net forces that splines predict")
    return messages, meta


def measure(
    messages: dict,
    train: tuple[dict, MessagesRecord],
    meta: MessagesRecord,
    cutoff: int,
    seed: int,
    law: Law | None = None,
) -> tuple[dict, dict]:
    """All numbers of ``linear_fit.json``, and what ``report.plots.linear_fit`` draws. Messages with a ``motion`` are
    those of an additive node, and read term by term; ``law``: the true one of these, None where it is not known.
    """
    importance = read_out.importance_of(messages)
    top = importance["top_components"]
    targets = read_out.target_forces(messages)
    distinct = read_out.distinct_gauges(messages)
    nodes = nodes_of(train[0])
    read, force = _read(train, seed)
    estimated = force(messages)
    terms = {}
    if isinstance(read, TermsOfMessages) and law is not None:
        terms = {"terms": term_scores(read, law, messages)}
    # of energies it is their slope that is to be linear in the force
    chosen = estimated if energies.are_energies(meta) else messages["message"][:, top].astype(float)
    scores = {name: metrics.score_components(chosen, targets[name]) for name in distinct}
    best = max(scores, key=lambda name: scores[name]["r2_trim90"])
    if "acceleration" not in scores:
        scores["acceleration"] = per_mass(scores["force"], float(messages["mass_i"][0]))
    central = read_out.centrality(estimated, messages["dx"], messages["r"])
    spline = fit_pair_force(train[0], nodes, seed, kinds_where(train[1].doubted, train[0]))
    splined = spline.force(messages)
    result = {
        **{k: getattr(meta, k) for k in ("run", "split", "variant", "recipe")},
        "n_edges": len(messages["r"]),
        "n_graphs": meta.graphs,
        **{k: v for k, v in scores["force"].items() if k != "coefficients"},
        "best_target": best,
        "targets": scores,
        **importance,
        "active_components": int(messages["active"].sum()),
        "channel_map_r2": metrics.channel_map(chosen, targets[best]),
        "read_out": {
            **read.account(),
            **terms,
            **{k: v for k, v in central.items() if k != "radial"},
            **read_out.score_forces(estimated, targets["force"]),
        },
        "splines": {
            **spline.description(),
            **read_out.score_forces(splined, targets["force"]),
            "held_out_error": spline.error,
        },
        "potential": potential_scores(messages, meta, chosen, estimated),
    }
    pick = np.random.default_rng(seed).permutation(len(chosen))[:cutoff]
    compared = {"read-out of the messages": ("read_out", estimated), "splines, no network": ("splines", splined)}
    unit = direction(messages["dx"].astype(float), messages["r"].astype(float))[pick]
    true = (targets["force"][pick] * unit).sum(1)
    forces = {label: ((force[pick] * unit).sum(1), true, result[name]) for label, (name, force) in compared.items()}
    title = f"{meta.run}: messages against true {best.replace('_', ' ')}"
    drawn = components_drawn(chosen, targets[best], scores[best], distinct[best].symbol, pick)
    return result, drawn | {"title": title, "forces": forces}


def components_drawn(chosen: np.ndarray, target: np.ndarray, found: dict, symbol: str, pick: np.ndarray) -> dict:
    """What ``report.plots.linear_fit`` draws of the components ``chosen`` [edge, component] on the edges ``pick``:
    with their fit to the ``target`` [edge, dim], whose scores are ``found`` and whose ``symbol`` stands in labels.
    """
    design = np.column_stack([target, np.ones(len(chosen))])
    fitted = design @ np.array(found["coefficients"]).T
    labels = [
        " ".join(f"{c:+.2g} ${symbol}_{a}$" for c, a in zip(row[: target.shape[1]], AXES, strict=False))
        for row in found["coefficients"]
    ]
    both = zip(found["r2_all_components"], found["r2_trim90_components"], strict=True)
    return {
        "message": metrics.standardise(chosen)[pick],
        "fitted": fitted[pick],
        "labels": labels,
        "scores": list(both),
    }


def term_scores(read: TermsOfMessages, law: Law, messages: dict) -> dict[str, float]:
    """R2 of every term's splines with that of the true ``law``: of a pair's on the edges, of all that act on one
    particle together on the receivers. A term that is one too many has the share of its square in the true pair forces
    with its sign changed; one that is missing has 0.
    """
    motion = messages["motion"]
    one = np.ones(len(motion.share))
    seen = Seen(messages["r"].astype(float), of_edges(messages), replace(motion, share=one, weight=one))
    parts: dict[str, np.ndarray] = {RADIAL: read.radial_of_pairs(messages)}
    for further in read.further:
        name = NODE if isinstance(further.block, NodeBlock) else further.block.term
        parts[name] = parts.get(name, 0.0) + further.forces(seen)
    first = nodes_of(messages).first
    state = State(motion.vel, of_receivers(messages, np.arange(len(one))), motion.pos, motion.t)
    parts[NODE] = parts.get(NODE, 0.0) + force_of_terms(read.node_values, state)
    true = {RADIAL: replace(law, node={}, pairs={})}
    true |= {name: replace(law, pair=sp.Float(0), node={}, pairs={name: f}) for name, f in law.pairs.items()}
    true |= {NODE: replace(law, pair=sp.Float(0), pairs={})} if law.node else {}
    whole = float((messages["force"].astype(float) ** 2).sum()) or 1.0
    out = {}
    for name in dict.fromkeys([*true, *parts]):
        pick = first if name == NODE else slice(None)
        own = parts.get(name, np.zeros(motion.unit.shape))[pick]
        if name in true:
            out[name] = metrics.r_squared(forces_of(true[name], seen)[pick], own)
        elif own.any():
            out[name] = -float((own**2).sum()) / whole
    return out


def per_mass(force_scores: dict, mass: float) -> dict:
    """The scores against F/m where all masses are ``mass``, from those against F: only the coefficients differ."""
    rows = [[c * mass for c in row[:-1]] + [row[-1]] for row in force_scores["coefficients"]]
    return force_scores | {"coefficients": rows, "same_as_force": "all masses are equal"}


def potential_scores(messages: dict, meta: MessagesRecord, chosen, estimated) -> dict | None:
    """How good messages are as energies, if they are these. Else how linear the messages ``chosen`` [edge, D] and the
    read-out's force [edge, dim] are in V(r) (x_i - x_j)/r, for those who expect a potential in the messages; None where
    the system is not known.
    """
    system = system_of(meta.system)
    if system is None:
        return None
    if energies.are_energies(meta):
        return None if system.potential is None else energies.scores(messages, system)
    target = read_out.potential_vectors(messages, system)
    read = metrics.score_components(estimated, target)
    return metrics.score_components(chosen, target) | {
        "what": "pair potential times the unit vector",
        "read_out_r2_all": read["r2_all"],
        "read_out_r2_trim90": read["r2_trim90"],
    }
