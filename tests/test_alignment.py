"""R^2 and read-outs on planted messages: 1 where planted, 0 on noise, and failing where they must."""

import dataclasses

import numpy as np
import pytest
from planted import messages

from distill.files.arrays import check_fields
from distill.files.fields import MESSAGE_FIELDS
from distill.messages import read_out
from distill.messages.net_forces import nodes_of, terms_by_third_law, third_law_residual
from distill.shell.errors import UserError
from distill.statistics import metrics


def scores(m):
    top = read_out.top_components(read_out.importance(m), m["dx"].shape[1])
    return {k: metrics.score_components(m["message"][:, top], t) for k, t in read_out.target_forces(m).items()}


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
    m = messages("r2", gauge="acceleration", off=0)
    swapped = m | {a: m[b] for a, b in (("mass_i", "mass_j"), ("mass_j", "mass_i"))}
    assert scores(m)["acceleration"]["r2_all"] == pytest.approx(1, abs=1e-9)
    assert scores(swapped)["acceleration"]["r2_all"] < 0.9
    nodes = nodes_of(m)
    wrong = m | {"receiver": m["sender"], "sender": m["receiver"]}
    assert read_out.read_out(m, nodes, True).error < 1e-6
    assert read_out.read_out(wrong, nodes_of(wrong), True).error > 0.1


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
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, antisymmetric=gauge == "force")
    assert read.gauge == gauge
    m = messages("charge", gauge=gauge, components=6)
    score = read_out.score_forces(read.force(m, nodes), m["force"])
    assert score["r2_all"] > 0.9999 and score["median_relative_error"] < 1e-3


def test_read_out_survives_encounters_that_dominate_every_mean():
    m = messages("r2", trajectories=200, off=0)
    m["message"][:, :2] *= 1e-4  # the messages' own units do not matter
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    assert read.gauge == "force" and read.error < 1e-3


def test_drag_is_kept_out_of_the_pair_force():
    m = messages("damped")
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, True)
    assert read.node_terms == ("drag",)
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999
    assert read_out.read_out(messages("spring"), nodes, True).node_terms == ()


def test_centrality_tells_central_from_sideways():
    m = messages("r2")
    central = read_out.centrality(m["force"], m["dx"], m["r"])
    assert central["tangential_share"] < 1e-12
    expected = -m["mass_i"] * m["mass_j"] / (m["r"] + 0.01) ** 2
    assert np.allclose(central["radial"], expected)
    sideways = m["force"][:, ::-1] * [1, -1]
    assert read_out.centrality(sideways, m["dx"], m["r"])["tangential_share"] > 0.99


def test_nodes_group_edges_and_find_their_reverse():
    m = messages(trajectories=5)
    nodes = nodes_of(m)
    assert len(nodes.first) == 5 * 5 * 4
    assert np.allclose(m["dx"][nodes.reverse], -m["dx"])
    net = nodes.sum(m["force"])
    assert np.allclose(net, (m["acc_i"] * m["mass_i"][:, None])[nodes.first], rtol=1e-6)
    missing = {k: v[1:] if len(v) == len(m["r"]) else v for k, v in m.items()}
    assert nodes_of(missing).reverse is None


def test_kl_importance_is_the_divergence():
    m = messages(components=3)
    m["logvar"] = np.zeros_like(m["message"])
    expected = 0.5 * (m["message"] ** 2).mean(0)
    assert np.allclose(read_out.importance(m), expected)


def test_constant_messages_are_refused():
    m = messages()
    m["message"] = np.zeros_like(m["message"])
    with pytest.raises(UserError, match="constant"):
        read_out.read_out(m, nodes_of(m), True)


def test_channel_map_is_one_where_a_channel_is_one_force_component():
    m = messages(mixing=np.array([[0.0, 2.0], [-3.0, 0.0]]))
    r2 = metrics.channel_map(m["message"][:, :2], m["force"])
    assert r2[0, 1] == pytest.approx(1) and r2[1, 0] == pytest.approx(1)
    assert r2[0, 0] < 0.5 and r2[1, 1] < 0.5


def through_a_node(gauge, system="charge", shift=True, bend=0.0, noise=0.0, held=False, **options):
    """Messages A(x_i) F_ij + b(x_i), and the shares of a node model that undoes both.

    ``gauge``: A is 1, 1/m_i, q_i, or "turned" by an angle that depends on velocity and mass; b is m_i v_i unless
    ``shift`` is off. The node multiplies its net force Y by 1 + ``bend`` tanh |Y|: not linear in the sum.
    """
    m = messages(system, mixing=np.eye(2), **({"trajectories": 60} | options))
    if held:  # nobody sends to particle 0, which sends to all
        m = {k: v[m["receiver"] > 0] if k != "active" else v for k, v in m.items()}
    nodes = nodes_of(m)
    mass, charge, v, acc = (m[k][nodes.first] for k in ("mass_i", "charge_i", "vel_i", "acc_i"))
    size = {"force": 1 + 0 * mass, "acceleration": 1 / mass, "charge_force": charge, "turned": np.exp(np.tanh(v[:, 1]))}
    angle = 2 * np.tanh(v[:, 0]) + np.log(mass) if gauge == "turned" else 0 * mass
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    A = size[gauge][:, None, None] * turn
    b = mass[:, None] * v if shift else 0 * v
    sent = np.einsum("ed,edk->ek", m["force"], A[nodes.of_edge]) + b[nodes.of_edge]
    sent = sent * (1 + noise * np.random.default_rng(5).normal(size=sent.shape))
    senders = np.bincount(nodes.of_edge)[:, None]
    field = acc * mass[:, None] - nodes.sum(m["force"])

    def node(total):
        Y = np.einsum("nk,nkd->nd", total - senders * b, np.linalg.inv(A))
        return (Y * (1 + bend * np.tanh(np.linalg.norm(Y, axis=1, keepdims=True))) + field) / mass[:, None]

    total, predicted = nodes.sum(sent), node(nodes.sum(sent))
    h, columns = 1e-6, []
    for step in h * np.eye(2):
        columns.append((node(total + step) - node(total - step)) / (2 * h))
    jacobian = np.stack(columns, 1)[nodes.of_edge]
    deviation = sent - (total / senders)[nodes.of_edge]
    share = (predicted / senders)[nodes.of_edge] + np.einsum("ek,ekd->ed", deviation, jacobian)
    m |= {"message": np.hstack([sent, m["message"][:, 2:]]), "acc_pred_i": predicted[nodes.of_edge], "acc_share": share}
    check_fields(m, MESSAGE_FIELDS, "planted")
    return m, nodes


@pytest.mark.parametrize("gauge", ["force", "acceleration", "charge_force", "turned"])
def test_jacobian_finds_the_force_where_a_gauge_of_the_receiver_hides_it(gauge):
    m, nodes = through_a_node(gauge)
    read = read_out.read_out({k: v for k, v in m.items() if k != "force"}, nodes, False)
    assert read.gauge == "jacobian" and read.weights is None and read.node_terms == ()
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999
    plain = read_out.read_out({k: v for k, v in m.items() if k != "acc_share"}, nodes, False)
    assert read_out.score_forces(plain.force(m, nodes), m["force"])["median_relative_error"] > 0.5
    assert read.third_law["jacobian"] < 1e-4 < read.third_law[plain.gauge]
    assert "by linear mixture" in read.why and read.errors.keys() >= {"jacobian", "force", "acceleration"}


@pytest.mark.parametrize("gauge", ["force", "acceleration", "charge_force"])
def test_a_fixed_read_out_is_kept_where_it_is_enough(gauge):
    m, nodes = through_a_node(gauge, shift=False)
    read = read_out.read_out(m, nodes, False)
    assert read.gauge == gauge and read.error < 1e-6
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999


def test_a_read_out_is_of_the_network_and_not_of_the_data():
    """A node that bends what is sent to it makes wrong predictions of right messages: the read-out owns up to both."""
    m, nodes = through_a_node("force", shift=False, bend=0.4)
    found = read_out.score_forces(read_out.read_out(m, nodes, False).force(m, nodes), m["force"])
    assert 1.1 < np.mean(m["acc_pred_i"] / m["acc_i"]) < 1.4 and found["r2_all"] < 0.95


def test_a_shrunk_force_obeys_the_third_law_and_still_loses():
    m, nodes = through_a_node("force", shift=False, noise=0.05)
    held_out = np.arange(len(nodes.first)) % 5 == 0
    linear = read_out.read_out({k: v for k, v in m.items() if k != "acc_share"}, nodes, False)
    shares = read_out._by_jacobian(m, nodes)
    shrunk = dataclasses.replace(linear, weights=0.3 * linear.weights)
    chosen = read_out._better(shrunk, shares, m, nodes, held_out)
    assert chosen.gauge == "jacobian" and chosen.third_law["force"] < 1.1 * chosen.third_law["jacobian"]
    both = read_out._better(linear, shares, m, nodes, held_out)  # two ways to the same force
    assert both.net_errors["force"] == pytest.approx(both.net_errors["jacobian"], rel=0.2)


def test_reverse_edges_are_trusted_by_the_net_force_they_are_part_of():
    m, nodes = through_a_node("turned", system="r2", bend=0.2)
    read = read_out.read_out(m, nodes, False)
    assert read.gauge == "jacobian"
    plain, force = read.plain_force(m, nodes), read.force(m, nodes)
    assert np.allclose(force[nodes.reverse], -force)
    error = []
    for estimate in (force, 0.5 * (plain - plain[nodes.reverse])):
        error.append(read_out.score_forces(estimate, m["force"])["median_relative_error"])
    assert error[0] < 0.8 * error[1]


def test_drag_and_field_are_taken_out_of_the_shares():
    m, nodes = through_a_node("turned", system="damped")
    read = read_out.read_out(m, nodes, False)
    assert read.gauge == "jacobian" and read.node_terms == ("drag",)
    assert np.allclose(read.node_weights, 0.5 * np.eye(2), atol=1e-4)
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999
    pull = np.array([0.3, -1.0])
    m |= {k: m[k] + pull for k in ("acc_i", "acc_pred_i")}
    m["acc_share"] = m["acc_share"] + pull / 3
    terms, weights = terms_by_third_law(m, nodes)
    assert terms == ("drag", "constant_acceleration") and np.allclose(weights[-1], pull, atol=1e-4)


def test_held_particles_leave_edges_without_a_reverse():
    m, nodes = through_a_node("turned", system="damped", held=True)
    assert nodes.reverse is None and len(nodes.pairs[0]) == len(m["r"]) * 2 // 3
    read = read_out.read_out(m, nodes, False)
    assert read.gauge == "jacobian" and read.node_terms == ("drag",)
    assert read_out.score_forces(read.force(m, nodes), m["force"])["r2_all"] > 0.9999


def test_without_reverse_edges_nothing_can_judge_the_shares():
    m, _ = through_a_node("turned")
    one_way = {k: v[m["receiver"] < m["sender"]] if k != "active" else v for k, v in m.items()}
    read = read_out.read_out(one_way, nodes_of(one_way), False)
    assert read.gauge != "jacobian" and not read.third_law


def test_messages_without_shares_are_refused_by_the_jacobian_alone():
    m, nodes = through_a_node("turned")
    read = read_out.read_out(m, nodes, False)
    with pytest.raises(UserError, match="acc_share"):
        read.force({k: v for k, v in m.items() if k != "acc_share"}, nodes)


def test_third_law_residual_of_opposite_equal_and_unrelated_forces():
    m = messages()
    nodes = nodes_of(m)
    assert third_law_residual(m["force"], nodes) < 1e-12
    even = m["force"] + m["force"][nodes.reverse] + np.abs(m["dx"])
    assert third_law_residual(even, nodes) == pytest.approx(1)
    noise = np.random.default_rng(0).normal(size=m["force"].shape)
    assert 0.5 < third_law_residual(noise, nodes) < 0.9
