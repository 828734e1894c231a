"""What is known to act beside central forces, which splines take up unasked, and where it is written."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_displaced import table_of
from test_identities import plasma

from distill.files.kinds import BesideRecord
from distill.identities.tell import acting_beside
from distill.law.further.composition import _resting
from distill.messages.net_forces import nodes_of
from distill.splines.blocks import PLACE, SPEED, NodeBlock, candidates, with_motion
from distill.splines.dependence import ANY, GIVEN, Product
from distill.splines.fit import fit_pair_force
from distill.splines.known import Known, known_of
from distill.splines.observations import observations
from distill.splines.pair_spline import Further
from distill.splines.selection import _taken_up

CENTRE = (0.0, 0.0, -0.4)
FOUND = [BesideRecord(term="displaced", over="the distance from a displaced point", centre=list(CENTRE))]
FOUND += [BesideRecord(term="field", over=PLACE), BesideRecord(term="drag", over=SPEED)]


def test_what_is_known_is_read_from_a_dataset():
    assert known_of([]) is None
    known = known_of(FOUND)
    assert (known.centre, known.terms) == (CENTRE, (("field", PLACE), ("drag", SPEED)))


def test_blocks_that_stand_for_what_is_known():
    data, _ = table_of(0.5)
    products = [Product((("r",),)), Product(((),))]
    blocks = candidates(data, products, (), 1.0) + Known((), CENTRE).displaced(data, products, 1.0)
    names = [[blocks[k].name for k in some] for some in known_of(FOUND).ways(blocks)]
    assert names == [["field, 1, of the place"], ["displaced, r", "displaced, 1"]]  # at rest there is no friction
    assert all(block.centre == CENTRE for block in blocks if block.term == "displaced")
    uniform = NodeBlock("field", None, PLACE, None, 3)
    assert Known((("field", PLACE),)).ways([uniform]) == []


def test_terms_that_were_known_say_so():
    data, _ = table_of(0.5)
    blocks = candidates(data, [Product(((),))], (), 1.0) + Known((), CENTRE).displaced(data, [Product(((),))], 1.0)
    further = [Further(block, np.zeros(block.size)) for block in blocks]
    known = {one.block.name for one in known_of(FOUND).marked(further) if one.known}
    assert known == {"field, 1, of the place", "displaced, 1"} and not any(one.known for one in further)
    assert not any(one.known for one in Known((("drag", SPEED),)).marked(further))  # at rest there is none


def test_kinds_of_fields_are_not_asked_where_it_is_known_which_acts():
    data, _ = table_of(0.5)
    blocks = [b for b in candidates(data, [Product(((),))], (), 1.0) if b.term == "field"]
    further = [Further(block, np.zeros(block.size)) for block in blocks]
    assert _resting(None, known_of(FOUND).marked(further), None) == []


def test_what_a_stage_has_found_is_what_the_next_one_knows():
    data, _ = table_of(0.5)
    wake = Known((), CENTRE).displaced(data, [Product(((),))], 1.0)
    node = next(b for b in candidates(data, [Product(((),))], (), 1.0) if b.term == "field")
    basis = SimpleNamespace(pair=tuple(wake), node=(node, node))
    told = acting_beside(SimpleNamespace(basis=basis, shares=[1.0, 0.5, 1e-9]))  # the last is of coarse curves
    assert known_of([BesideRecord(**one) for one in told]) == Known((("field", PLACE),), CENTRE)


def test_what_foretells_best_alone_is_asked_again_beside_what_is_known():
    errors = {frozenset("a"): 1.0, frozenset("b"): 2.0}  # a stands in for x
    errors |= {frozenset("ax"): 0.9, frozenset("ay"): 0.95, frozenset("bx"): 0.1, frozenset("by"): 0.5}
    taken = _taken_up(["a", "b"], [["x", "y"]], lambda names: np.array([errors[frozenset(names)]]))
    assert taken == ["b", "x"]


@pytest.mark.slow
def test_splines_take_up_what_is_known(tmp_path):
    data, mass, charge = plasma(tmp_path / "w.npz", trajectories=60)
    data.arrays |= {"mass": np.tile(mass, (60, 1)), "charge": np.tile(charge, (60, 1))}
    edges = with_motion(observations(data, "train"), data)
    fit = fit_pair_force(edges, nodes_of(edges), 0, (GIVEN, ANY), known=known_of(FOUND))
    of = {one.block.term: one.block for one in fit.further}
    assert set(of) == {"displaced", "field", "drag"}
    assert of["displaced"].by.name == "q_i*q_j" and of["field"].by == "charge" and of["drag"].by is None
    assert fit.error < 0.02
