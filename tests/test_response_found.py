"""A response found behind messages: what is read, composed, fitted, chosen and judged."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from planted import messages, write_dataset

from distill.files.dataset import load_dataset
from distill.files.properties import VARIABLES
from distill.formulas.text import parse
from distill.law import account as laws
from distill.law import selection
from distill.law.receivers import receivers
from distill.law.sources import Source
from distill.messages import roles
from distill.messages.net_forces import nodes_of
from distill.physics.law import Law
from distill.physics.responses import RESPONSES, Response, response_variables
from distill.physics.systems import SYSTEMS
from distill.pipeline import search_law
from distill.response import account, behind
from distill.response.behind import Ground
from distill.response.composition import Bench, Composition
from distill.response.judge import against_truth
from distill.response.units import Units, units_of
from distill.search.front import Front, Row
from distill.shell.errors import UserError

OWN = response_variables()
DRAGGED = replace(SYSTEMS["r1"], response=Response("dragged", "1/(m_i*(1 + s/5.0))", "-0.3*v/m_i"))


def form(pair, alpha, beta="0"):
    return Composition(parse(pair, VARIABLES), parse(alpha, OWN), parse(beta, OWN))


def truth(system):
    return form(system.law, system.response.alpha, system.response.beta)


def bench(system, count=150):
    m = messages(system, trajectories=count, frames=1)
    nodes = nodes_of(m)
    return Bench(receivers(m, nodes, np.arange(len(nodes.first))))


SYSTEMS_HERE = {"saturating": SYSTEMS["saturating"], "mond": SYSTEMS["mond"], "dragged": DRAGGED}
every_one = pytest.mark.parametrize("system", SYSTEMS_HERE.values(), ids=SYSTEMS_HERE)


@every_one
def test_the_truth_leaves_nothing_and_wrong_constants_come_back_to_it(system):
    one, true = bench(system), truth(system)
    assert one.score(true) < 1e-12
    shifted = Composition(*(part.xreplace({c: c * 1.3 for c in part.atoms(sp.Float)}) for part in true.parts))
    assert one.score(shifted) > 0.01
    found = one.fit(shifted, 200)
    assert one.score(found) < 1e-8


@every_one
def test_the_slope_is_that_of_finite_differences_and_the_response_turns_round(system):
    one, true = bench(system, 40), truth(system)
    net = one.net_of(true)
    slope = one.slope(true, net)
    for axis in range(2):
        step = 1e-6 * np.eye(2)[axis]
        change = (one.response(true, net + step) - one.response(true, net - step)) / 2e-6
        np.testing.assert_allclose(slope[:, :, axis], change, rtol=1e-4, atol=1e-6)
    far = replace(true, pair=1.4 * true.pair)  # starts from other net forces
    asked, _, found = one.asked_for(far)
    assert found.mean() > 0.95
    np.testing.assert_allclose(asked[found], net[found], rtol=1e-4, atol=1e-6)


def test_the_scale_of_the_pair_law_goes_into_the_response():
    one, true = bench(SYSTEMS["saturating"]), truth(SYSTEMS["saturating"])
    other = form("-3.0*m_i*m_j/(r + 0.01)", "3.0/(m_i*(9.0 + 3.0*s/5.0))")
    assert one.score(other) < 1e-12
    assert str(other.normalised().pair) == str(true.normalised().pair)
    np.testing.assert_allclose(one.response(other.normalised(), one.net_of(true)), one.data.acc, rtol=1e-9)


@pytest.mark.parametrize("part", ["pair", "alpha", "beta"])
def test_each_part_is_fitted_by_a_linear_objective(part):
    one, true = bench(DRAGGED), truth(DRAGGED)
    objective = {
        "pair": lambda: one.pair_objective(true, VARIABLES),
        "alpha": lambda: one.alpha_objective(true, OWN),
        "beta": lambda: one.beta_objective(true, OWN),
    }[part]()
    expr = getattr(true, part)
    assert objective.score(expr) < 1e-6
    values = np.random.default_rng(0).normal(size=(objective.rows, 2))
    both = objective.apply(values)
    np.testing.assert_allclose(both[:, 0] + 2 * both[:, 1], objective.apply(values[:, 0] + 2 * values[:, 1]), atol=1e-9)


# ---------------------------------------------------------------- read from messages


def test_pair_forces_are_read_up_to_a_factor_and_no_label_is_looked_at():
    m = messages("saturating", trajectories=60, noise=0.003)
    nodes = nodes_of(m)
    found = behind.read(m, nodes)
    assert not found.needs_beta and found.sideways < 0.02
    c = np.sum(found.force * m["force"]) / np.sum(m["force"] ** 2)
    assert c > 0
    size = np.linalg.norm(m["force"], axis=1)
    assert np.median(np.linalg.norm(found.force / c - m["force"], axis=1) / size) < 0.01
    shuffled = m | {"acc_i": np.random.default_rng(0).permutation(m["acc_i"])}
    again = behind.read(shuffled, nodes)
    np.testing.assert_array_equal(found.force, again.force)
    for one, other in zip(
        behind.searches(m, nodes, found, 300, 0), behind.searches(shuffled, nodes, again, 300, 0), strict=False
    ):
        np.testing.assert_array_equal(one.y, other.y)


def test_too_little_to_read_is_said():
    m = messages(SYSTEMS["saturating"], trajectories=40, frames=1)
    m["message"] = m["force"].copy()
    dead = m | {"message": m["message"] * [1.0, 0.0]}
    line = m | {k: m[k][:, :1] for k in ("dx", "message", "vel_i", "vel_j", "acc_i", "acc_pred_i")}
    cases = (dead, "fewer than 2 components"), (line, "in one dimension")
    for broken, told in cases:
        with pytest.raises(UserError, match=f"{told}.*give --node linear"):
            behind.read(broken, nodes_of(broken))
        forces = SimpleNamespace(messages=broken, nodes=nodes_of(broken))
        assert search_law._read_behind("auto", forces, 0) is None


def test_alpha_and_beta_of_every_receiver():
    m = messages(DRAGGED, trajectories=60)
    m["acc_pred_i"] = m["acc_i"]
    nodes = nodes_of(m)
    found = behind.read(m, nodes)
    assert found.needs_beta
    targets = {t.name: t for t in behind.searches(m, nodes, found, 400, 0)}
    v, mass = (targets["beta"].features[k] for k in ("v", "m_i"))
    np.testing.assert_allclose(targets["beta"].y, -0.3 * v / mass, rtol=0.02, atol=1e-3)
    shared = targets["beta_shared"]
    assert np.corrcoef(shared.y, -shared.features["v"] * (1 + shared.features["s"]))[0, 1] > 0.8


# ---------------------------------------------------------------- composed, chosen, judged


def front(*texts, names=VARIABLES):
    return Front(
        [Row(k + 3, 1.0 / (k + 1), t, parse(t, names)) for k, t in enumerate(texts)], "none", len(texts) - 1, ""
    )


def fronts(alpha):
    """Fronts that hold no formula of the right form for f."""
    return {"pair": front("-0.3*m_i*m_j", "-0.3*m_i*m_j/r"), "alpha": front("0.5/m_i", alpha, names=OWN)}


def composed(system, alpha, **options):
    m = messages(system, trajectories=240, frames=1, **options)
    nodes = nodes_of(m)
    return behind.compose(fronts(alpha), Ground(m, nodes, small=300, large=500, held_out=200)), m, nodes


def test_pair_law_and_response_are_repaired_refitted_and_judged():
    found, m, nodes = composed("saturating", "0.5/(m_i + 0.1*m_i*s)")
    assert not found.is_newton and found.ground.held.score(found.form) < 1e-6
    system = SYSTEMS["saturating"]
    law = found.form.law(found.ground.properties)
    verdict = against_truth(law, system.formula, system.response, m, nodes)
    assert verdict["recovered"], verdict["why"]
    assert verdict["response"]["errors"]["extrapolated"] < 1e-4
    newton = against_truth(Law(system.formula), system.formula, system.response, m, nodes)
    assert not newton["recovered"] and "response" in newton["why"]


def test_a_lorentz_factor_is_found_where_searches_met_exponentials_only():
    m = messages("relativistic", trajectories=240, frames=1)
    for key in ("vel_i", "vel_j"):
        m[key] = 0.3 * m[key]
    nodes = nodes_of(m)
    own = {"m_i": m["mass_i"][nodes.first]}
    acc = RESPONSES["relativistic"].acceleration(nodes.sum(m["force"]), m["vel_i"][nodes.first], own)
    m["acc_i"], m["acc_pred_i"] = acc[nodes.of_edge], 1.01 * acc[nodes.of_edge]
    met = {"pair": front("0.9*q_i*q_j/(r + 0.02)^2"), "alpha": front("(1.2 - 0.2*exp(0.4*v^2))/m_i", names=OWN)}
    met["beta"] = front("-0.3*sv*exp(-0.1*v^2)/m_i", names=OWN)
    found = behind.compose(met, Ground(m, nodes, small=300, large=500, held_out=200))
    system, law = SYSTEMS["relativistic"], found.form.law(found.ground.properties)
    verdict = against_truth(law, system.formula, system.response, m, nodes)
    assert verdict["recovered"], verdict["why"]


def test_law_and_rivals_are_judged_on_the_same_receivers_the_control_among_them(tmp_path):
    found, m, nodes = composed("saturating", "0.5/(m_i + 0.1*m_i*s)")
    dataset = load_dataset(write_dataset(tmp_path, "saturating_n4_d2_s0", "saturating", trajectories=240, frames=1))
    test = messages("saturating", trajectories=40, frames=1, seed=1)
    test["acc_i"] = test["acc_i"] * 1.001  # so that the right law leaves something there, and a rival can do better
    judge = laws.Judge(m, selection.Ground(m, nodes, ()), dataset, test=test)
    source = SimpleNamespace(label="linear node")
    linear = SimpleNamespace(law=Law(SYSTEMS["saturating"].formula), source=source)
    alone = {"label": "control", "pair": {"text": "-m_i*m_j/r"}, "acceleration_error": {"law": 1e-4}}
    law, content = account.replaced(found, fronts("0.5/m_i"), linear, judge, (), alone)
    assert content["acceleration_error"] == judge.acceleration_error(law)
    assert content["acceleration_error"]["split"] == "test" and content["data_verdict"]["n"] == 160
    assert content["data_verdict"]["better"]["label"] == "control" and not content["data_verdict"]["trusted"]


def test_a_composition_without_a_network_is_seen_where_the_linear_law_is_chosen(tmp_path):
    m = messages("saturating", trajectories=60, frames=1)
    nodes = nodes_of(m)
    dataset = load_dataset(write_dataset(tmp_path, "saturating_n4_d2_s0", "saturating", trajectories=60, frames=1))
    ground = selection.Ground(m, nodes, (), small=60, large=60, held_out=60)
    source = Source("messages", "messages", "a test", np.zeros_like(m["force"]))
    linear = laws.finding(source, front("-0.3*m_i*m_j/r"), ground, m, dataset)
    alone = {"label": "control", "pair": {"text": "-m_i*m_j/r"}, "acceleration_error": {"law": 1e-4}}
    judge = laws.Judge(m, ground, dataset)
    told = laws.compose(linear, (), judge, [account.other(alone)])["data_verdict"]
    assert told["better"]["label"] == "control" and not told["trusted"]
    assert laws.compose(linear, (), judge)["data_verdict"]["better"] is None


def test_responses_have_the_trajectories_of_the_other_laws(monkeypatch):
    monkeypatch.setattr(roles, "EDGES", 100)
    m = messages("saturating", trajectories=60)
    nodes, own = nodes_of(m), roles.roles(m)
    theirs, linear = Ground(m, nodes), selection.Ground(m, nodes, ())
    for mine, other, role in ((theirs.many.data, linear.many, "fit"), (theirs.held.data, linear.held, "choice")):
        assert set(mine.trajectory) == set(other.trajectory) == set(own[role])
    found = behind.read(m, nodes)
    here = np.isin(m["trajectory"], own["search"])
    for target in behind.searches(m, nodes, found, 10_000, 0):
        assert np.isin(target.features["m_i"], m["mass_i"][here]).all()


def test_a_softening_that_no_data_reach_is_not_judged_behind_a_response_either():
    m = messages("saturating", trajectories=60)
    far = m["r"] > 1.0
    there = ~np.isin(nodes_of(m).of_edge, nodes_of(m).of_edge[~far])  # receivers without a close pair
    m = {k: v if k == "active" else v[there] for k, v in m.items()}
    m["acc_pred_i"] = m["acc_i"] * 1.2
    system = SYSTEMS["saturating"]
    law = form("-m_i*m_j/(r + 0.0102)", "1/(m_i*(1 + s/5.0))").law(("mass", "charge"))
    told = against_truth(law, system.formula, system.response, m, nodes_of(m))
    assert told["not_judged"] and told["recovered"], told["why"]


def test_a_linear_node_wins_where_it_is_true():
    found, m, nodes = composed("r1", "0.5/(m_i + 0.1*m_i*s)")
    assert found.is_newton
    linear = SimpleNamespace(law=Law(SYSTEMS["r1"].formula))
    read = behind.read(m, nodes)
    assert account.choice(found, linear, read)["chosen"] == "linear"


def test_a_response_wins_where_accelerations_do_not_superpose():
    found, m, nodes = composed("saturating", "0.5/(m_i + 0.1*m_i*s)")
    linear = SimpleNamespace(law=Law(SYSTEMS["saturating"].formula))
    told = account.choice(found, linear, behind.read(m, nodes))
    assert told["chosen"] == "function" and told["held_out_linear"] > 100 * told["held_out_function"]


@pytest.mark.parametrize(
    "pair, alpha, right",
    [
        ("-2.0*m_i*m_j/(r + 0.01)", "0.5/(m_i*(1 + s/10.0))", True),  # the factor that both share
        ("-m_i*m_j/(r + 0.01)", "1/(m_i*(1 + s/5.2))", False),
        ("-m_i*m_j/(r + 0.01)", "1/(m_i*(1 + s/5.0 + 0.003*s^2))", False),
        ("-m_i*m_j/(r + 0.01)^1.03", "1/(m_i*(1 + s/5.0))", False),
        ("-m_j*m_i/(r + 0.01)", "1/(m_i + m_i*s/5.0)", True),
        ("-m_i*m_j/(r + 0.01)", "sqrt(1/(m_i*(1 + s/5.0))^2)", True),
    ],
)
def test_the_verdict_tells_right_from_wrong(pair, alpha, right):
    m = messages("saturating", trajectories=60)
    system, law = SYSTEMS["saturating"], form(pair, alpha).law(("mass", "charge"))
    assert against_truth(law, system.formula, system.response, m, nodes_of(m))["recovered"] == right


def test_the_relativistic_response_is_judged_with_its_velocity_part():
    m, system = messages("r1", trajectories=60), SYSTEMS["relativistic"]
    for key in ("vel_i", "vel_j"):
        m[key] = 0.2 * m[key]
    nodes = nodes_of(m)
    net = nodes.sum(m["force"])
    own = {"m_i": m["mass_i"][nodes.first]}
    acc = RESPONSES["relativistic"].acceleration(net, m["vel_i"][nodes.first], own)
    m["acc_i"], m["acc_pred_i"] = acc[nodes.of_edge], 1.01 * acc[nodes.of_edge]
    pair = SYSTEMS["r1"].formula
    for beta, right in ((system.response.beta, True), ("0", False), ("-sv/(m_i*4.0)", False)):
        law = Law(pair, response=Response("found", system.response.alpha, beta))
        assert against_truth(law, pair, system.response, m, nodes)["recovered"] == right


# ---------------------------------------------------------------- units

LENGTH, MASS, TIME = 1e3, 1e-6, 10.0
OTHER = Units({"r": LENGTH, "m_i": MASS, "m_j": MASS, "v": LENGTH / TIME, "sv": LENGTH / TIME}, LENGTH / TIME**2)

TURNED = {
    "pair": lambda e: OTHER.undone(Composition(e, sp.S.One)).pair,
    "alpha": lambda e: OTHER.undone(Composition(sp.S.One, e)).alpha,
}


def in_other_units(m):
    """A messages file whose lengths are in thousandths, whose masses in millions and whose times in tenths."""
    by = {"dx": LENGTH, "r": LENGTH} | dict.fromkeys(("vel_i", "vel_j"), LENGTH / TIME)
    by |= dict.fromkeys(("mass_i", "mass_j"), MASS) | dict.fromkeys(("acc_i", "acc_pred_i"), LENGTH / TIME**2)
    return {k: v * by[k] if k in by else v for k, v in m.items()}


@pytest.mark.parametrize("how", ["composed", pytest.param("control", marks=pytest.mark.slow)])
def test_what_is_found_does_not_depend_on_units(how):
    m = messages("saturating", trajectories=240, frames=1)
    size = dict(small=300, large=500, held_out=200)
    own, other = (Ground(a, nodes_of(a), **size) for a in (m, in_other_units(m)))
    if how == "composed":
        start = fronts("0.5/(m_i + 0.1*m_i*s)")
        turned = {k: [replace(r, expr=turn(r.expr)) for r in start[k].rows] for k, turn in TURNED.items()}
        scaled = {k: replace(start[k], rows=rows) for k, rows in turned.items()}
        one, two = behind.compose(start, own), behind.compose(scaled, other)
    else:
        one, two = behind.control(own), behind.control(other)
    assert two.chosen.error == pytest.approx(one.chosen.error, rel=0.05, abs=1e-6)
    bench = other.held  # spellings may differ: which coefficient of a sum is 1 goes by their sizes
    accelerations = [bench.response(f, bench.net_of(f)) for f in (OTHER.undone(one.form), two.form)]
    np.testing.assert_allclose(*accelerations, rtol=1e-4, atol=1e-6 * np.abs(accelerations[0]).max())


def test_units_change_a_formula_as_they_change_data():
    m = messages(DRAGGED, trajectories=40, frames=1)
    one, two = (Bench(receivers(a, nodes_of(a), np.arange(len(nodes_of(a).first)))) for a in (m, in_other_units(m)))
    there = OTHER.undone(truth(DRAGGED))
    assert one.score(truth(DRAGGED)) < 1e-12 and two.score(there) < 1e-10
    inside = units_of(two.data)
    assert set(inside.of) >= {"r", "m_i", "m_j", "v", "sv"} and inside.of["m_i"] == 1e-6
    scaled = Bench(inside.data(two.data))
    part = Composition(inside.pair(there.pair), inside.alpha(there.alpha), inside.beta(there.beta))
    assert scaled.score(part) < 1e-10
    switched = parse("m_i*greater(r, 2000.0)", VARIABLES)
    assert OTHER.pair(switched) == parse("1e-6*m_i*greater(r, 2.0)", VARIABLES)
