"""Other ways to a law from the same data, which show what the trained network adds: ``symbolic_reg --rivals``.

A rival is one entry of ``MAKERS``, a function of ``Material`` that gives a ``Source``. Its force, where it has one, is
searched, refitted, chosen and judged as that of the messages is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from distill.files.dataset import Dataset
from distill.files.kinds import MessagesRecord, RunConfig
from distill.files.properties import of_receivers
from distill.law import selection
from distill.law.sources import Source
from distill.messages import energies, roles
from distill.messages.net_forces import Nodes, node_values, nodes_of
from distill.messages.read_out import ReadOut
from distill.physics.terms.cases import Group, groups_of_all
from distill.search.registry import CONTROL, MESSAGES, RIVALS, SPLINES, UNTRAINED
from distill.shell.errors import UserError
from distill.splines.dependence import ANY, COEFFICIENTS, GIVEN, LEVELS, levels_in, varying
from distill.splines.fit import fit_pair_force, kinds_where
from distill.splines.of_messages import TermsOfMessages, fit_terms_of_messages
from distill.splines.pair_spline import PairSpline

SILENT = 1e-6  # of the largest net force of the trained network: below it are forces of an untrained one rounding
TERMS_ARE = {  # of an additive network: (label, what it is)
    MESSAGES: ("messages", "the messages of the trained network, which are forces, every term of them in splines"),
    UNTRAINED: ("untrained network", "the messages of the same network before its first step, read out alike"),
}


@dataclass(frozen=True)
class Material:
    """What a rival may use: messages and what they are from. ``read``: what was read from the network's own, or the
    splines where there is no network (``config`` and ``meta`` are None then).
    """

    config: RunConfig | None
    dataset: Dataset
    messages: dict
    meta: MessagesRecord | None
    nodes: Nodes
    read: ReadOut | PairSpline
    seed: int

    @cached_property
    def by_data(self) -> PairSpline:
        """Splines of all terms that the accelerations of the data ask for."""
        own = roles.part("read_out", self.messages, self.seed)
        return fit_pair_force(own, nodes_of(own), self.seed, (GIVEN, ANY))


def control(m: Material) -> Source:
    read = m.by_data if isinstance(m.read, TermsOfMessages) else m.read  # what nobody has to see messages for
    further, groups = (), ()
    if isinstance(read, PairSpline):
        further, groups = read.further, read.dependence.groups
    else:
        groups = of_all_levels(m.messages, m.meta)
    what = selection.CONTROL_IS
    told = {"node_terms": read.node_terms, "further": further, "groups": groups}
    return Source(CONTROL, "accelerations, no network", what, **told)


def of_all_levels(messages: dict, meta: MessagesRecord | None) -> tuple[Group, ...]:
    """Every pair of levels, where particles of different ones are there: to be read one by one from messages."""
    own = levels_in(varying(of_receivers(messages)))
    return groups_of_all(own, not (meta and meta.antisymmetric)) if own else ()


def of_splines(spline: PairSpline, messages: dict) -> Source:
    """The force of a spline fit as a source; the node terms come with it."""
    about = spline.description()
    if about["dependence"] == "given":
        how = "times products of the properties"
    elif about["dependence"] == LEVELS:
        how = "for every pair of levels of a category, times products of the properties,"
    elif about["dependence"] == COEFFICIENTS:
        how = "times a coefficient for every pair of levels of a category"
    else:
        how = "times smooth functions of each end's properties"
    what = f"splines in the distance {how}, fitted to the accelerations, without a network"
    force, terms, node = spline.force(messages), spline.node_terms, spline.node_values
    rest = {"further": spline.further, "cpu_seconds": about["cpu_seconds"], "groups": spline.dependence.groups}
    return Source(SPLINES, "splines, no network", what, force, terms, node, **rest)


def of_terms(name: str, read: TermsOfMessages, messages: dict) -> Source:
    """What an additive network says of every term."""
    label, what = TERMS_ARE[name]
    force, seconds = read.force(messages), read.about["cpu_seconds"]
    rest = {"further": read.further, "cpu_seconds": seconds, "groups": read.dependence.groups}
    return Source(name, label, what, force, read.node_terms, read.node_values, **rest)


def fitted(messages: dict, seed: int, doubted=()) -> PairSpline:
    """Splines from the trajectories that are a read-out's (``roles``), without assumptions that were ``doubted``."""
    own = roles.part("read_out", messages, seed)
    return fit_pair_force(own, nodes_of(own), seed, kinds_where(doubted, own))


def splines(m: Material) -> Source:
    if isinstance(m.read, TermsOfMessages):
        return of_splines(m.by_data, m.messages)
    return of_splines(fitted(m.messages, m.seed, m.meta.doubted), m.messages)


def untrained(m: Material) -> Source:
    """Messages of a network that has learnt nothing; no estimate of the force where they are constant."""
    from distill.messages.untrained import untrained_messages  # torch, which a search does without

    started = time.process_time()
    own = untrained_messages(m.config, m.dataset, m.messages)
    what = "the messages of the same network before its first step, read out alike"
    if isinstance(m.read, TermsOfMessages):
        own |= {"motion": m.messages["motion"]}
        among = [one.block.name for one in m.read.further]  # what it knows of the terms that the trained one has
        read = fit_terms_of_messages(roles.part("read_out", own, m.seed), m.seed, among)
        return of_terms(UNTRAINED, read, own)
    try:
        read = energies.read(own, m.nodes, replace(m.meta, network_error=None), m.seed)
    except UserError as exc:
        what = f"{what}; {exc.message.partition(':')[0]}, so that the refit starts as without a network"
        return Source(UNTRAINED, "untrained network", what, cpu_seconds=time.process_time() - started)
    force = read.force(own, m.nodes)
    if np.abs(force).max() <= SILENT * np.abs(m.messages["mass_i"][:, None] * m.messages["acc_pred_i"]).max():
        what = f"{what}; it starts without forces, so that the refit starts as without a network"
        return Source(UNTRAINED, "untrained network", what, cpu_seconds=time.process_time() - started)
    node = node_values(force, own, m.nodes, read.node_terms)
    told = {"cpu_seconds": time.process_time() - started, "groups": of_all_levels(own, m.meta)}
    return Source(UNTRAINED, "untrained network", what, force, read.node_terms, node, **told)


MAKERS: dict[str, Callable[[Material], Source]] = dict(zip(RIVALS, (control, untrained, splines), strict=True))
NO_NETWORK = (CONTROL, SPLINES)  # those that need none
