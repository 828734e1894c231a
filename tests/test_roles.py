"""Who is fitted, searched and chosen by which trajectories."""

import numpy as np
import pytest
from planted import messages

from distill.law.selection import Ground
from distill.messages import read_out, roles
from distill.messages.net_forces import nodes_of
from distill.search import targets


@pytest.fixture
def split(monkeypatch):
    monkeypatch.setattr(roles, "EDGES", 1000)
    m = messages("spring", trajectories=60, off=0)
    return m, nodes_of(m), roles.roles(m)


def test_every_trajectory_has_one_role(split):
    m, _, own = split
    assert list(own) == list(roles.SHARES) and [len(t) for t in own.values()] == [18, 12, 18, 12]
    assert np.array_equal(np.sort(np.concatenate(list(own.values()))), np.unique(m["trajectory"]))
    assert any(not np.array_equal(own[k], roles.roles(m, 1)[k]) for k in own)
    told = roles.account(m, {"trajectory": np.arange(7)})
    assert (told["shared"], told["read_out"], told["choice"], told["test"]) == (False, 18, 12, 7)
    assert "fit 18" in told["text"] and "7 test trajectories" in told["text"]


def test_no_role_looks_at_another_s_trajectories(split):
    """What lies on the others' is made nonsense of: nothing changes."""
    m, nodes, own = split
    edges, wrong = roles.edges_of("search", m), {k: v.copy() for k, v in m.items()}
    assert set(m["trajectory"][edges]) == set(own["search"])
    drawn = targets.rows_drawn(m, 400, 0)
    assert set(m["trajectory"][drawn]) <= set(own["search"]) and len(np.unique(drawn)) == 400
    ground = Ground(m, nodes, ())
    assert set(ground.held.trajectory) == set(own["choice"]) and set(ground.many.trajectory) == set(own["fit"])
    others = ~np.isin(m["trajectory"], own["read_out"])
    wrong["message"][others] += 7.0
    wrong["acc_pred_i"][others] *= -3.0
    read, again = read_out.read_out(m, nodes, True), read_out.read_out(wrong, nodes, True)
    assert np.array_equal(read.weights, again.weights) and read.error == again.error
    wrong["message"][~others] *= 2.0
    assert not np.array_equal(read.weights, read_out.read_out(wrong, nodes, True).weights)


def test_few_trajectories_or_edges_are_shared():
    few = messages("spring", trajectories=30)
    assert roles.roles(few) is None and roles.part("search", few) is few
    told = roles.account(few, None)
    assert told["shared"] and told["search"] == 30 and told["test"] == 0 and "see all" in told["text"]
    ground = Ground(few, nodes_of(few), ())
    assert len(set(ground.held.trajectory)) == 10 and not set(ground.held.trajectory) & set(ground.many.trajectory)
