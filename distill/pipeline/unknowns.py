"""Properties of bodies that a network learns beside its weights: what is asked for, what it needs, what is told."""

from collections.abc import Mapping, Sequence

import numpy as np

from distill.files.dataset import Dataset, bodies, with_values
from distill.files.fields import DATASET_FIELDS
from distill.files.kinds import TrainedValues
from distill.files.properties import usable
from distill.network.bodies import LATENT, POSITIVE, SIGNED, Bodies, Unknown
from distill.pipeline.learn_properties import NAMES, compared, known_values
from distill.shell.errors import UsageError, UserError
from distill.shell.paths import relative

MOST_LATENT = 16  # of what tells bodies apart, no more than a few are ever told
FLAGS = ("unknown", "reference", "latent")  # of train.py
MOST_LINES = 30
MOST_BODIES = 1000  # with a factor for every pair
WORDS = {
    POSITIVE: "a {0} is what resists: a_i = (sum of messages)/{0}_i, where action is reaction",
    SIGNED: "a {0} is a factor of the forces at both ends, e_ij = A + {0}_i {0}_j B, and of nothing else",
    LATENT: "{0} is whatever of a body tells its motion best: one number of it, no known role",
}


def flags(asked: Mapping) -> dict:
    """Those of ``FLAGS`` that are ``asked`` for, None for others, names and references as lists of words.
    ``UsageError`` where they make no sense together.
    """
    out = {name: asked.get(name) or None for name in FLAGS}
    for name in ("unknown", "reference"):
        if isinstance(out[name], str):
            out[name] = [out[name]]
        elif isinstance(out[name], Mapping):
            out[name] = [f"{body}={value!r}" for body, value in out[name].items()]
    names = out["unknown"] or []
    if out["reference"] and len(names) != 1:
        raise UsageError("--reference is for the one property that is --unknown", "leave it out, or name one property")
    for name in names:
        wrong = name in DATASET_FIELDS and name not in ("mass", "charge")
        if wrong or not (name in ("mass", "charge") or usable(name)):
            raise UsageError(f"--unknown {name}: no property can be called that", NAMES)
    if (out["latent"] or 0) > MOST_LATENT:
        raise UsageError(f"--latent {out['latent']}: expected at most {MOST_LATENT} numbers a body")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--unknown {twice[0]} is given twice")
    return out


def asked_bodies(dataset: Dataset, asked: Mapping) -> Bodies | None:
    """The bodies of a dataset with what is ``asked`` to be unknown of them, by the flags ``FLAGS``; None without any.
    ``UserError`` where nobody knows who is who, and for a body that no trajectory of the training split holds.
    """
    names, latent = list(asked.get("unknown") or ()), asked.get("latent") or 0
    if not (names or latent):
        return None
    number, who = bodies(dataset)
    if category := [name for name in names if name in dataset.categories]:
        raise UserError(
            f"'{category[0]}' is a category of {relative(dataset.path)}, which has no value to be learnt",
            "leave it out, or give numbers under another name",
        )
    own = [Unknown.named(name, known_values(asked.get("reference") or (), who, name)) for name in names]
    for k in range(latent):
        name = "latent" if latent == 1 else f"latent_{k + 1}"
        if name in dataset.properties:
            raise UserError(f"{relative(dataset.path)} has a property '{name}' already", "give it another name")
        own.append(Unknown(name, LATENT))
    train, there = dataset.trajectories("train"), dataset.there.any(1)
    met = np.unique(number[train][there[train]])
    if never := sorted(set(number[there].tolist()) - set(met.tolist())):
        raise UserError(
            f"{relative(dataset.path)}: body '{who[never[0]]}' is in no trajectory of the training split, and nothing"
            " can be learnt of it",
            "put one of its trajectories there ('split'), or leave them out",
        )
    if len(who) > MOST_BODIES and any(one.kind == SIGNED for one in own):
        raise UserError(
            f"{relative(dataset.path)} has {len(who)} bodies, and strengths can be unknown of at most {MOST_BODIES}",
            "leave bodies out",
        )
    met = np.zeros((len(who), len(who)), dtype=bool)
    for k in train:
        here = number[k][there[k]]
        met[here[:, None], here] = True
    return Bodies(number, tuple(who), tuple(own), met)


def without(dataset: Dataset, found: Bodies) -> Dataset:
    """The same data that do not know these properties, nor what law they obey."""
    ones = {one.name: np.ones(len(found.names)) for one in found.unknowns}
    return with_values(dataset, found.number, ones, "unknown")


def options_for(found: Bodies, options: dict, asked: Mapping) -> dict:
    """The options of a network that has to learn them, beside its other ``options``; ``UsageError`` where those that
    were ``asked`` for, or those of the recipe, leave it open what a value is.
    """
    by_kind = {one.kind: one.name for one in found.unknowns}
    needed = ["linear_node", "antisymmetric"] if POSITIVE in by_kind else ["linear_node"] if SIGNED in by_kind else []
    for name in needed:
        if not options[name]:
            why = (
                "nothing else tells what resists from what acts" if name == "antisymmetric" else "forces have to add up"
            )
            raise UsageError(
                f"--unknown {by_kind.get(POSITIVE) or by_kind[SIGNED]} needs --{name.replace('_', '-')}: {why}",
                "add it, or --recipe newton",
            )
    if not needed:
        return {}
    for name, value in (("additive_node", True), ("wide_masses", False)):
        if asked.get(name, value) != value:
            flag = name.replace("_", "-") if value is False else "no-" + name.replace("_", "-")
            raise UsageError(f"--{flag} does not go with --unknown: a body answers by a = F/m", "leave it out")
    return {"additive_node": True}


def trained(found: Bodies, values: Mapping[str, np.ndarray]) -> dict:
    """The fields of ``TrainedValues``."""
    return {
        "bodies": list(found.names),
        "values": {name: own.tolist() for name, own in values.items()},
        "given": {one.name: [found.names[k] for k in one.given] for one in found.unknowns},
        "gauge": {one.name: one.gauge for one in found.unknowns},
        "says": [WORDS[one.kind].format(one.name) for one in found.unknowns],
    }


def truths(dataset: Dataset, learnt: TrainedValues) -> tuple[dict[str, list[float]], dict[str, float]]:
    """(property -> what the dataset as it lies there had of it [body], in the scale of the learnt values; correlation
    of both over the bodies that were not given), of those that it had.
    """
    number, names = bodies(dataset)
    place = np.array([learnt.bodies.index(name) for name in names])
    known, correlation = {}, {}
    for name, values in learnt.values.items():
        own = np.array(values)[place]
        had = compared(dataset, number, own, name, learnt.given[name])
        if had is None:
            continue
        back = np.zeros(len(values))
        back[place] = had
        known[name] = back.tolist()
        free = [k for k, body in enumerate(names) if body not in learnt.given[name]]
        if len(free) > 1 and np.ptp(had[free]) > 0 and np.ptp(own[free]) > 0:
            correlation[name] = float(np.corrcoef(had[free], own[free])[0, 1])
    return known, correlation


def lines(learnt: TrainedValues, known: Mapping[str, Sequence[float]], correlation: Mapping[str, float]) -> list[str]:
    """What a terminal shows of the values, with what the dataset had beside them."""
    out = list(learnt.says)
    for name, values in learnt.values.items():
        out.append(f"{name}, where {learnt.gauge[name]}:")
        for k, (body, value) in enumerate(list(zip(learnt.bodies, values, strict=True))[:MOST_LINES]):
            text = f"  {body:12s} {value:.5g}" + (" (given)" if body in learnt.given[name] else "")
            out.append(text + (f"  (in the dataset: {known[name][k]:.5g})" if name in known else ""))
        if len(values) > MOST_LINES:
            out.append(f"  and {len(values) - MOST_LINES} more")
        if name in correlation:
            out.append(f"  correlation with those in the dataset: {correlation[name]:.6f}")
    return out
