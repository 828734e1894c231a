"""R^2 and read-outs on planted messages: 1 where planted, 0 on noise, and failing where they must."""

import numpy as np
import pytest
from planted import messages

from distill import alignment, metrics


def scores(m):
    top = alignment.top_components(alignment.importance(m), m["dx"].shape[1])
    return {k: metrics.score_components(m["message"][:, top], t) for k, t in alignment.target_forces(m).items()}


@pytest.mark.parametrize("gauge", ["force", "acceleration", "charge_force"])
@pytest.mark.parametrize("dim", [2, 3])
def test_r2_is_one_for_the_planted_target_and_below_for_the_others(gauge, dim):
    found = scores(messages("charge", gauge=gauge, dim=dim))
    for target, score in found.items():
        if target == gauge:
            assert score["r2_all"] == pytest.approx(1, abs=1e-9)
            assert score["r2_trim90"] == pytest.approx(1, abs=1e-9)
        else:
            assert score["r2_all"] < 0.9


def test_r2_of_noise_is_zero():
    m = messages()
    m["message"] = np.random.default_rng(3).normal(size=m["message"].shape)
    for score in scores(m).values():
        assert abs(score["r2_all"]) < 0.01
        assert abs(score["r2_trim90"]) < 0.05


def test_swapping_sender_and_receiver_shows():
    m = messages("r2", gauge="acceleration")
    swapped = m | {a: m[b] for a, b in (("mass_i", "mass_j"), ("mass_j", "mass_i"))}
    assert scores(m)["acceleration"]["r2_all"] == pytest.approx(1, abs=1e-9)
    assert scores(swapped)["acceleration"]["r2_all"] < 0.9
    nodes = alignment.nodes_of(m)
    wrong = m | {"receiver": m["sender"], "sender": m["receiver"]}
    assert alignment.read_out(m, nodes, True).error < 1e-6
    assert alignment.read_out(wrong, alignment.nodes_of(wrong), True).error > 0.1


def test_trimmed_fit_ignores_a_tenth_of_outliers_and_plain_does_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    y = x @ [1.5, -0.7] + 0.3
    y[:150] += 50 * rng.normal(size=150)
    assert np.allclose(metrics.affine_fit_trimmed(x, y), [1.5, -0.7, 0.3], atol=1e-6)
    assert not np.allclose(metrics.affine_fit(x, y), [1.5, -0.7, 0.3], atol=1e-2)


def test_r_squared_is_that_of_scikit_learn():
    from sklearn.metrics import r2_score

    y, fitted = np.random.default_rng(1).normal(size=(2, 500))
    assert metrics.r_squared(y, fitted) == pytest.approx(r2_score(y, fitted))


@pytest.mark.parametrize("gauge", ["force", "acceleration", "charge_force"])
def test_read_out_finds_the_gauge_and_the_force_from_net_forces_alone(gauge):
    m = messages("charge", gauge=gauge, components=6)
    m.pop("force")  # it must not be needed
    nodes = alignment.nodes_of(m)
    read = alignment.read_out(m, nodes, antisymmetric=gauge == "force")
    assert read.gauge == gauge
    m = messages("charge", gauge=gauge, components=6)
    score = alignment.score_forces(read.force(m, nodes), m["force"])
    assert score["r2_all"] > 0.9999 and score["median_relative_error"] < 1e-3


def test_read_out_survives_encounters_that_dominate_every_mean():
    m = messages("r2", trajectories=200)
    m["message"][:, :2] *= 1e-4  # the messages' own units do not matter
    nodes = alignment.nodes_of(m)
    read = alignment.read_out(m, nodes, True)
    assert read.gauge == "force" and read.error < 1e-3


def test_drag_is_kept_out_of_the_pair_force():
    m = messages("damped")
    nodes = alignment.nodes_of(m)
    read = alignment.read_out(m, nodes, True)
    assert read.node_terms == ("drag",)
    assert alignment.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999
    assert alignment.read_out(messages("spring"), nodes, True).node_terms == ()


def test_centrality_tells_central_from_sideways():
    m = messages("r2")
    central = alignment.centrality(m["force"], m["dx"], m["r"])
    assert central["tangential_share"] < 1e-12
    expected = -m["mass_i"] * m["mass_j"] / (m["r"] + 0.01) ** 2
    assert np.allclose(central["radial"], expected)
    sideways = m["force"][:, ::-1] * [1, -1]
    assert alignment.centrality(sideways, m["dx"], m["r"])["tangential_share"] > 0.99


def test_nodes_group_edges_and_find_their_reverse():
    m = messages(trajectories=5)
    nodes = alignment.nodes_of(m)
    assert len(nodes.first) == 5 * 5 * 4
    assert np.allclose(m["dx"][nodes.reverse], -m["dx"])
    net = nodes.sum(m["force"])
    assert np.allclose(net, (m["acc_i"] * m["mass_i"][:, None])[nodes.first], rtol=1e-6)
    missing = {k: v[1:] if len(v) == len(m["r"]) else v for k, v in m.items()}
    assert alignment.nodes_of(missing).reverse is None


def test_kl_importance_is_the_divergence():
    m = messages(components=3)
    m["logvar"] = np.zeros_like(m["message"])
    expected = 0.5 * (m["message"] ** 2).mean(0)
    assert np.allclose(alignment.importance(m), expected)


def test_constant_messages_are_refused():
    m = messages()
    m["message"] = np.zeros_like(m["message"])
    with pytest.raises(alignment.UserError, match="constant"):
        alignment.read_out(m, alignment.nodes_of(m), True)


def test_channel_map_is_one_where_a_channel_is_one_force_component():
    m = messages(mixing=np.array([[0.0, 2.0], [-3.0, 0.0]]))
    r2 = metrics.channel_map(m["message"][:, :2], m["force"])
    assert r2[0, 1] == pytest.approx(1) and r2[1, 0] == pytest.approx(1)
    assert r2[0, 0] < 0.5 and r2[1, 1] < 0.5
