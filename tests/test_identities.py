"""Values of bodies that nobody measured: against worlds written down here, closed forms and finite differences."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import distill
from distill.files import records
from distill.files.dataset import Dataset, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord, LearntRecord
from distill.files.properties import in_messages
from distill.identities import beside, bilinear, errors, pairs
from distill.identities import learn as learning
from distill.identities.beside import scaled_alike, with_displaced, with_room, with_what_acts_beside
from distill.identities.bilinear import BOTH, OWN, RESPONSE, ROLES, SAME, SOURCE, Problem, Scaling
from distill.identities.choice import Hypothesis, hypotheses
from distill.identities.kinds import _tied, clearly_worse, kinds
from distill.identities.learn import holding, learn, properties_of
from distill.identities.pairs import Basis, compress, groups_of, width_of
from distill.identities.tell import says, told_beside
from distill.identities.weights import predicted, weights
from distill.identities.window import window_length
from distill.messages.net_forces import nodes_of
from distill.pipeline.learn_properties import known_values
from distill.shell import paths
from distill.shell.errors import UserError
from distill.splines import blocks
from distill.splines.blocks import NodeBlock, with_motion
from distill.splines.curves import Envelope, space
from distill.splines.normal_equations import table
from distill.splines.observations import observations
from distill.windows.of_dataset import from_positions

BODIES, N, TRAJECTORIES, FRAMES = 7, 4, 32, 8


def world(path, source, response, force=lambda r: -1 / (r + 0.3), noise=0.0, seed=930, known=None, arrays=None):
    """a_i = w_i sum_j s_j f(r) (x_i - x_j)/r at random states, bodies drawn anew for every trajectory; saved."""
    rng = np.random.default_rng(seed)
    count = len(source)
    which = np.array([rng.permutation(count)[:N] for _ in range(TRAJECTORIES)])
    pos, vel = rng.normal(size=(2, TRAJECTORIES, FRAMES, N, 2))
    apart = pos[:, :, :, None] - pos[:, :, None]
    r = np.linalg.norm(apart, axis=-1) + np.eye(N)
    pull = source[which][:, None, None] * force(r) * (1 - np.eye(N))
    acc = response[which][:, None, :, None] * (pull[..., None] * apart / r[..., None]).sum(3)
    acc = acc * (1 + noise * rng.standard_normal(acc.shape))
    split = np.zeros(TRAJECTORIES, dtype=np.int8)
    split[::8], split[1::8] = 1, 2
    made = {"pos": pos, "vel": vel, "acc": acc, "id": which.astype(np.int32), "split": split}
    made |= {name: values[which] for name, values in (known or {}).items()} | (arrays or {})
    save_dataset(path, {"mass": np.ones(which.shape), **made}, {})
    return load_dataset(str(path))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATASETS", tmp_path / "datasets")
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    paths.DATASETS.mkdir()
    return paths.DATASETS


def problem_of(data, role, fold=None, products=None, acting=False):
    """(problem, table) of all that is in ``data``; with ``acting`` a drag by every body's own and a scaled field."""
    found = table(edges := with_motion(observations(data, "train"), data), nodes_of(edges))
    basis, scalings = Basis(space(np.log(found.r), 8, Envelope(0.0, 1.0), 1.0)), ()
    if acting:
        speed = blocks.line(np.linalg.norm(found.motion.vel, axis=1), 3)
        place = blocks.polynomials(found.motion.pos, 2)
        node = (NodeBlock("drag", None, "the speed", speed, 2), NodeBlock("field", None, "the place", place, 2))
        basis = Basis(basis.curves, (), tuple(blocks.of_typical_size(b, found.seen) for b in node))
        scalings = (OWN, Scaling(1, 1))
    products = np.zeros((0, BODIES, BODIES)) if products is None else products
    return Problem(compress(found, basis), role, products, 1e-9, fold, scalings), found


def values(rng, signed=False):
    return rng.normal(size=BODIES) + 0.1 if signed else np.exp(rng.normal(size=BODIES))


@pytest.mark.parametrize("role", ROLES)
def test_slopes_are_those_of_the_cost(folder, role):
    rng = np.random.default_rng(931)
    data = world(folder / "w.npz", values(rng), values(rng), noise=0.1)
    products = rng.normal(size=(2, BODIES, BODIES))
    problem, _ = problem_of(data, role, 2, products, acting=True)
    start = bilinear.linear(problem, values(rng, True), values(rng, True))
    if role == SAME:
        start = bilinear.linear(problem, start.source, start.source)
    start = problem.moved(start, 0.1 * rng.normal(size=problem.size))
    matrix, slope = problem.normal(start)
    step = 1e-6
    for k in rng.choice(problem.size, 12, replace=False):
        to = np.zeros(problem.size)
        to[k] = step
        by_cost = -(problem.moved(start, to).cost - problem.moved(start, -to).cost) / (4 * step)
        assert slope[k] == pytest.approx(by_cost, rel=1e-4, abs=1e-5 * np.abs(slope).max())
    one = problem.pairs.receivers[3]
    j = problem.derivatives(start, 3)
    to = np.zeros(problem.size)
    number = problem.unknowns(one)[1]  # of a body that it meets
    to[number] = step
    moved = problem.left(problem.moved(start, to), one) - problem.left(problem.moved(start, -to), one)
    np.testing.assert_allclose(j[:, 1], moved / (2 * step), atol=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > -1e-8 * np.abs(matrix).max()


@pytest.mark.parametrize(
    "role", [pytest.param(role, marks=pytest.mark.slow) for role in (SOURCE, SAME, RESPONSE, BOTH)]
)
def test_the_part_that_values_play_is_found_and_their_size(folder, role):
    rng = np.random.default_rng(932)
    s, w, ones = values(rng, role == SAME), values(rng), np.ones(BODIES)
    source, response = {SOURCE: (s, ones), RESPONSE: (ones, w), SAME: (s, s), BOTH: (s, w)}[role]
    found = learn(world(folder / "w.npz", source, response), "charge")
    assert found.role == role
    for name, true in (("source", source), ("response", response)):
        if role == BOTH or name == ("response" if role == RESPONSE else "source"):
            got = getattr(found.values, name)
            scale = (got @ true) / (true @ true)
            np.testing.assert_allclose(got / scale, true, rtol=2e-3, atol=2e-3 * np.abs(true).max())
    if role == SOURCE:
        assert found.alike < 1e-3 and "equivalence holds" in " ".join(says(found, "charge"))
    if role in (SAME, BOTH):
        held = "third law holds" if role == SAME else "third law is broken"
        assert held in " ".join(says(found, "charge"))
    curve = found.curve * (found.distance + 0.3)
    middle = slice(10, -10)  # every value of the same sign as in 1/(r + .3)
    assert np.ptp(curve[middle]) < 0.02 * np.abs(curve[middle]).mean()


def test_intervals_hold_the_truth_as_often_as_they_say(folder):
    inside = []
    for seed in range(940, 950):
        rng = np.random.default_rng(seed)
        s = values(rng)
        data = world(folder / f"w{seed}.npz", s, np.ones(BODIES), noise=0.05, seed=seed)
        problem, found = problem_of(data, SOURCE)
        v = bilinear.fit(problem)
        cov = errors.covariance(problem, v, found)
        scale = np.exp(np.mean(np.log(np.abs(v.source))) - np.mean(np.log(s)))
        # the scale of both is the geometric mean of all
        jacobian = (np.eye(BODIES) - np.outer(v.source, 1 / v.source) / BODIES) / scale
        sd = cov.of(v.source / scale, jacobian @ np.eye(problem.size)[problem.at["source"]])
        inside += list(np.abs(np.abs(v.source) / scale - s) <= cov.half_width * sd)
    assert 0.86 <= np.mean(inside) <= 0.995, np.mean(inside)


def test_a_body_that_does_nothing_is_not_determined_and_kinds_are_found(folder):
    kind = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    s = np.array([0.0, 1.0, 2.5])[kind]
    found = learn(world(folder / "w.npz", s, np.ones(len(s)), noise=0.03), "charge")
    assert found.role == SOURCE
    assert (found.told["charge"].determined == (kind > 0)).all()
    assert found.kinds is not None
    pairs = {(a, b) for a, b in zip(kind, found.kinds.number, strict=True)}
    assert len(pairs) == 3, found.kinds


@pytest.mark.slow
def test_values_of_their_own_are_no_kinds(folder):
    s = np.exp(np.linspace(-1, 1, BODIES))
    assert learn(world(folder / "w.npz", s, np.ones(BODIES), noise=0.01), "charge").kinds is None


@pytest.mark.slow
def test_known_properties_stay_what_they_are(folder):
    """Gravity between known masses beside charges that are not known: m_i a_i = sum_j (-m_i m_j g + q_i q_j f)."""
    rng = np.random.default_rng(933)
    m, q = values(rng), values(rng, True)
    data = world(folder / "w.npz", q, q / m, known={"mass": m})
    gravity = world(folder / "g.npz", m, np.ones(BODIES), force=lambda r: -1 / (r + 0.5) ** 2)
    assert (gravity.id == data.id).all()
    data.arrays["acc"] = data.acc + gravity.acc
    found = learn(data, "charge")
    assert found.role == SAME
    got = found.told["charge"].values
    np.testing.assert_allclose(got * np.sign(got @ q) / np.sqrt((got @ got) / (q @ q)), q, atol=0.01 * np.abs(q).max())


def test_the_stage_writes_a_dataset_that_others_take(folder):
    rng = np.random.default_rng(934)
    m = values(rng)
    world(folder / "w.npz", m, np.ones(BODIES), known={"mass": m})
    done = distill.learn_properties("w", reference=["4=" + repr(float(m[4]))])
    learnt = load_dataset("w_learnt")
    np.testing.assert_allclose(learnt.mass, load_dataset("w").mass, rtol=2e-3)
    record = records.load(LearntRecord, paths.OUTPUTS / "w_learnt" / "properties.json")
    assert record.role == SOURCE and record.window is None
    assert record.values["mass"][4].error == 0 and record.values["mass"][4].value == m[4]
    assert [v.known for v in record.values["mass"]] == pytest.approx(list(m))
    assert "role source" in str(done) and "95 % intervals" in str(done)
    assert distill.learn_properties("w", reference={"4": float(m[4])}).before
    with pytest.raises(UserError, match="reference was"):
        distill.learn_properties("w")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"id": None}, "nothing says which particles"),
        ({"id": "each"}, "expected at most 300"),
        ({"known": "varies"}, "not the same in all trajectories"),
        ({"id": "twice"}, "is twice in trajectory"),
        ({"acc": 0.0}, "all accelerations are zero"),
        ({"unknown": "pos"}, "no property of particles"),
    ],
)
def test_what_cannot_be_learnt_is_said(folder, change, match):
    rng = np.random.default_rng(935)
    data = world(folder / "w.npz", values(rng), np.ones(BODIES))
    if "known" in change:
        data.arrays["size"] = rng.normal(size=data.mass.shape)
    if "acc" in change:
        data.arrays["acc"] = np.zeros_like(data.acc)
    if change.get("id", "") is None:
        data.arrays.pop("id")
    if change.get("id") == "twice":
        data.arrays["id"][3, 0] = data.arrays["id"][3, 1]
    if change.get("id") == "each":
        data.arrays = {
            k: np.concatenate([v] * 3) if v.ndim and len(v) == TRAJECTORIES else v for k, v in data.arrays.items()
        }
        data.arrays["id"] = np.arange(data.mass.size, dtype=np.int32).reshape(data.mass.shape)
    with pytest.raises(UserError, match=match):
        learn(data, change.get("unknown", "charge"))


@pytest.mark.slow
@pytest.mark.parametrize(("time", "length", "told"), [(1e-6, 1e6, 3e5), (1e6, 1.0, 1e-6)])
def test_values_do_not_depend_on_units_nor_on_the_reference(folder, time, length, told):
    rng = np.random.default_rng(937)
    m = values(rng)
    data = world(folder / "w.npz", m, np.ones(BODIES), noise=0.01)
    before = learn(data, "mass", {4: float(m[4])}, quick=True).told["mass"]
    for name, unit in (("pos", length), ("vel", length / time), ("acc", length / time**2)):
        data.arrays[name] = data.arrays[name] * unit
    after = learn(data, "mass", {4: told}, quick=True).told["mass"]
    np.testing.assert_allclose(after.values / told, before.values / m[4], rtol=1e-4)
    np.testing.assert_allclose(after.half / told, before.half / m[4], rtol=1e-2, atol=1e-12)


@pytest.mark.slow
def test_of_bodies_that_were_never_met_nothing_is_said(folder):
    rng = np.random.default_rng(938)
    m = values(rng)
    data = world(folder / "w.npz", m, np.ones(BODIES))
    gone = (data.id == 6).any(1)
    data.arrays["split"] = np.where(gone, 2, 0).astype(np.int8)
    found = learn(data, "mass", quick=True).told["mass"]
    assert not found.determined[6] and np.isinf(found.errors[6]) and found.determined[[0, 1, 2, 3]].all()
    with pytest.raises(UserError, match="fixes no scale"):
        learn(data, "mass", {6: 1.0}, quick=True)


def test_values_of_somebody_else_are_not_replaced(folder):
    rng = np.random.default_rng(936)
    world(folder / "w.npz", values(rng), np.ones(BODIES))
    theirs = paths.OUTPUTS / "w_learnt" / "properties.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"mass": 1}')
    with pytest.raises(UserError, match="written by no stage of this project, not learn_properties"):
        distill.learn_properties("w")
    assert theirs.read_text() == '{"mass": 1}' and not (folder / "w_learnt.npz").exists()


@pytest.mark.parametrize("word", ["nobody=1", "4=x", "4=0", "4", "4=nan"])
def test_a_reference_must_be_a_body_and_a_number(folder, word):
    rng = np.random.default_rng(936)
    world(folder / "w.npz", values(rng), np.ones(BODIES))
    with pytest.raises(UserError, match="reference"):
        distill.learn_properties("w", reference=[word])


def test_who_is_who_is_no_property(folder):
    rng = np.random.default_rng(939)
    data = world(folder / "w.npz", values(rng), np.ones(BODIES))
    assert "receiver_body" in (edges := observations(data, "train"))
    assert in_messages(edges) == ("mass", "charge")


# ---------------------------------------------------------------- what acts beside


def plasma(path, seed=941, bodies=5, trajectories=40):
    """Charges that repel, a displaced force beside it, a trap that grips charges, friction that grips all alike."""
    rng = np.random.default_rng(seed)
    mass, charge = np.exp(0.4 * rng.normal(size=(2, bodies)))
    pos, vel = rng.normal(size=(2, trajectories, 6, bodies, 3))
    apart = pos[:, :, :, None] - pos[:, :, None]
    acc = np.zeros(pos.shape)
    for share, shift in ((1.0, 0.0), (-0.5, np.array([0.0, 0.0, -0.4]))):
        d = apart - shift
        r = np.linalg.norm(d, axis=-1) + np.eye(bodies)
        pull = share * charge[:, None] * charge * np.exp(-r) / (r + 0.2) * (1 - np.eye(bodies))
        acc += (pull[..., None] * d / r[..., None]).sum(3) / mass[:, None]
    acc += -np.array([0.5, 0.7, 2.0]) * pos * (charge / mass)[:, None] - 0.3 * vel / mass[:, None]
    split = np.zeros(trajectories, dtype=np.int8)
    split[::8], split[1::8] = 1, 2
    made = {"pos": pos, "vel": vel, "acc": acc, "split": split, "mass": np.ones((trajectories, bodies))}
    save_dataset(path, made | {"id": np.tile(np.arange(bodies, dtype=np.int32), (trajectories, 1))}, {})
    return load_dataset(str(path)), mass, charge


@pytest.mark.slow
def test_values_beside_a_trap_friction_and_wakes(folder):
    data, mass, charge = plasma(folder / "w.npz")
    found = table(edges := with_motion(observations(data, "train"), data), nodes_of(edges))
    basis = Basis(space(np.log(found.r), 8, Envelope(0.0, 1.0), 1.0))
    weight, tried = weights(found), [Hypothesis(BOTH, False, np.zeros((0, len(mass), len(mass))))]
    chosen, basis = with_what_acts_beside(found, basis, tried, weight, 0)
    assert {block.term for block in basis.node} == {"field", "constant_force", "drag"}
    chosen, basis = with_displaced(found, chosen, basis, tried, weight, 0)
    np.testing.assert_allclose(basis.pair[0].centre, [0, 0, -0.4], atol=0.02)
    chosen = scaled_alike(chosen)
    of = {block.term: scaling for block, scaling in zip(basis.node, chosen.problem.scalings, strict=True)}
    assert of == {"field": Scaling(1, 0), "constant_force": Scaling(1, 0), "drag": Scaling(1, -1)}
    for got, true in ((chosen.values.source, charge), (chosen.values.source / chosen.values.response, mass)):
        np.testing.assert_allclose(got * (true.mean() / got.mean()), true, rtol=0.02)


def test_bodies_that_never_meet_have_scales_of_their_own(folder):
    rng = np.random.default_rng(942)
    source, response = np.exp(rng.normal(size=(2, 8)))
    data = world(folder / "w.npz", source, response)
    ids = np.arange(8).reshape(2, 4)[np.arange(TRAJECTORIES) % 2]
    apart = data.pos[:, :, :, None] - data.pos[:, :, None]
    r = np.linalg.norm(apart, axis=-1) + np.eye(N)
    pull = source[ids][:, None, None] * -1 / (r + 0.3) * (1 - np.eye(N))
    data.arrays["acc"] = response[ids][:, None, :, None] * (pull[..., None] * apart / r[..., None]).sum(3)
    data.arrays["id"] = ids.astype(np.int32)
    found = table(edges := observations(data, "train"), nodes_of(edges))
    pairs = compress(found, Basis(space(np.log(found.r), 8, Envelope(0.0, 1.0), 1.0)))
    group = np.arange(8) // 4
    assert (groups_of(pairs) == group).all()
    problem = Problem(pairs, BOTH, np.zeros((0, 8, 8)), 1e-9)
    v = bilinear.fit(problem)
    told, _ = properties_of(problem, v, errors.covariance(problem, v, found), "charge", {}, list("abcdefgh"))
    assert np.isfinite(told["charge_source"].errors).sum() == 4  # those of one group have a scale
    for some in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(v.source[some] / v.source[some][0], source[some] / source[some][0], rtol=0.02)


def test_given_values_are_held_and_the_others_follow(folder):
    rng = np.random.default_rng(943)
    s = values(rng)
    problem, found = problem_of(world(folder / "w.npz", s, np.ones(BODIES), noise=0.2), SOURCE)
    v = bilinear.fit(problem)
    given = {0: float(s[0]), 3: float(s[3])}
    held, new, off = holding(problem, v, "charge", given)
    assert new.source[3] / new.source[0] == pytest.approx(s[3] / s[0], rel=1e-12) and 0 < off < 0.5
    told, _ = properties_of(held, new, errors.covariance(held, new, found), "charge", given, list("abcdefg"))
    told = told["charge"]
    assert told.errors[[0, 3]].tolist() == [0, 0] and told.values[3] == s[3] and (told.errors[[1, 2]] > 0).all()
    assert (np.abs(told.values - s) <= 3 * told.half + 1e-12).all()


def test_folds_of_one_film_are_neighbours_in_time(folder):
    rng = np.random.default_rng(944)
    data = world(folder / "w.npz", values(rng), np.ones(BODIES))
    edges = observations(data, "train")
    one = table(edges, nodes_of(edges), in_time=True)
    number = np.unique(edges["trajectory"][nodes_of(edges).first], return_inverse=True)[1]
    fold = 5 * number // (number.max() + 1)
    assert (np.bincount(one.fold) == np.bincount(fold)).all()
    assert all(len(np.unique(one.fold[one.stretch == k])) == 1 for k in np.unique(one.stretch))
    assert (np.diff([one.fold[one.stretch == k][0] for k in np.unique(one.stretch)]) >= 0).all()


@pytest.mark.parametrize(
    ("ratio", "worse"), [([1.0, 1.01, 0.99, 1.02, 0.98], False), ([1.1, 1.12, 1.09, 1.1, 1.11], True)]
)
def test_fewer_kinds_have_to_be_clearly_worse(ratio, worse):
    least = np.array([1.0, 2.0, 0.5, 3.0, 1.0])
    assert clearly_worse(np.array(ratio) ** 2 * least, least) is worse


def test_what_is_no_number_is_worse():
    assert clearly_worse(np.full(3, np.nan), np.ones(3))


def test_kinds_of_bodies_of_which_some_are_given(folder):
    """Those given have no error; the mean of a kind that they are in is theirs."""
    s = np.array([1.0, 3.0])[np.arange(BODIES) % 2]
    problem, found = problem_of(world(folder / "w.npz", s, np.ones(BODIES), noise=0.02), SOURCE)
    given = {k: float(s[k]) for k in range(4)}
    held, v, _ = holding(problem, bilinear.fit(problem), "charge", given)
    sd = errors.covariance(held, v, found).of(np.zeros(BODIES), np.eye(held.size)[held.at["source"]])
    assert (sd[:4] == 0).all() and (sd[4:] > 0).all()
    told = kinds(held, v, {"source": sd})
    assert np.isfinite(list(told.errors.values())).all() and told.errors[1] > 10 * told.errors[2]
    assert (told.number == told.number[0]).tolist() == (s == s[0]).tolist() and told.number.max() == 1
    tied = _tied(v, told.number, {"source": sd}).source
    np.testing.assert_allclose(tied[4:], v.source[[0, 1, 0]], rtol=1e-3)
    alone = _tied(v, told.number, {"source": np.zeros(BODIES)}).source  # all are given
    np.testing.assert_allclose(alone[0], v.source[told.number == told.number[0]].mean())


def test_a_tied_value_acts_and_answers(folder):
    s = np.array([1.0, -2.0])[np.arange(BODIES) % 2]
    problem, _ = problem_of(world(folder / "w.npz", s, s, noise=0.02), SAME)
    v = bilinear.linear(problem, s + 0.01 * np.arange(BODIES), s + 0.01 * np.arange(BODIES))
    tied = _tied(v, np.arange(BODIES) % 2, {"source": np.ones(BODIES)})
    assert (tied.response == tied.source).all() and np.ptp(tied.source[::2]) == 0


@pytest.mark.parametrize(
    ("unknown", "of_all", "by_source"),
    [("mass", "the same acceleration", "the same force"), ("charge", "the same force", "inverse proportion")],
)
def test_fields_are_told_as_accelerations_only_where_masses_are_learnt(unknown, of_all, by_source):
    basis = SimpleNamespace(pair=(), node=[SimpleNamespace(name="constant_force, 1")] * 2)
    found = SimpleNamespace(basis=basis, scalings=(Scaling(), Scaling(0, -1)), shares=[0.5, 0.2])
    equally, per_source = told_beside(found, unknown)
    assert of_all in equally["scaling"] and by_source in per_source["scaling"]


def test_bodies_that_meet_many_have_coarser_curves():
    basis = Basis(space(np.linspace(-1, 1, 50), learning.COARSE, Envelope(0.0, 1.0), 1.0))
    counts = [5, 36, 43, 60, 100]
    intervals = [learning.fine(basis, met) for met in counts]
    assert intervals[:2] == [learning.FINE, learning.FINE] and sorted(intervals, reverse=True) == intervals
    for met, some in zip(counts, intervals, strict=True):
        last = Basis(space(np.linspace(-1, 1, 50), some, Envelope(0.0, 1.0), 1.0))
        assert width_of(met, last) <= pairs.MOST < width_of(met + 60, last) + 1400 * (met == 5)
    constant = NodeBlock("constant_force", None, blocks.NOTHING, None, 2)
    field = NodeBlock("field", None, "the place", blocks.polynomials(np.eye(2), 3), 2)
    assert with_room((field, constant), basis, 99) == ((constant,), (field.name,))
    assert with_room((field, constant), basis, 5) == ((field, constant), ())


@pytest.mark.slow
def test_what_has_no_room_is_told(folder, monkeypatch):
    basis = Basis(space(np.linspace(-1, 1, 50), learning.COARSE, Envelope(0.0, 1.0), 1.0))
    for module in (pairs, learning, beside):
        monkeypatch.setattr(module, "MOST", 6 * basis.functions + 4)
    rng = np.random.default_rng(945)
    found = learn(world(folder / "w.npz", values(rng), np.ones(BODIES), noise=0.1), "charge", quick=True)
    assert found.basis.curves.size == basis.functions  # of 32 intervals it would be refused
    assert any("field" in name for name in found.untried)
    assert any("field" in word and "not asked for" in word for word in says(found, "charge"))
    monkeypatch.setattr(pairs, "MOST", 6 * basis.functions - 1)
    with pytest.raises(UserError, match="meets 6 others, expected at most 5"):
        learn(load_dataset("w"), "charge", quick=True)


def test_a_body_seen_in_a_short_piece_does_not_stop_the_choice_of_windows():
    rng = np.random.default_rng(946)
    trajectories, frames = 5, 26
    t = np.tile(0.05 * np.arange(frames), (trajectories, 1))
    size, rate, phase = rng.uniform(0.5, 1.5, (3, trajectories, 1, 4, 2))
    pos = 3 * np.arange(4)[:, None] + size * np.sin(4 * rate * t[:, :, None, None] + 6 * phase)
    seen = np.ones((trajectories, frames, 4), dtype=int)
    seen[:, :6, 3] = seen[:, 13:, 3] = 0  # in seven frames alone
    arrays = {"t": t, "seen": seen, "mass": np.ones((trajectories, 4)), "charge": np.zeros((trajectories, 4))}
    arrays |= {"observed": np.where(seen[..., None], pos, np.nan), "split": np.zeros(trajectories, np.int8)}
    arrays |= {"id": np.tile(np.arange(4, dtype=np.int32), (trajectories, 1))} | from_positions(arrays, 1e-4)
    data = Dataset("pieces", Path("pieces.npz"), arrays, records.build(DatasetRecord, {}))
    ways = [one for one in hypotheses(np.zeros((0, 4, 4))) if one.role == SOURCE]
    best, scores = window_length(data, ways, 4)
    assert best in scores and len(scores) == 3 and np.isfinite(list(scores.values())).all()


def test_shares_are_those_of_the_whole_recording(folder, monkeypatch):
    """Friction that grows as bodies speed up along the film."""
    monkeypatch.setattr(learning, "SHOWN", 12)
    data = world(folder / "w.npz", np.ones(BODIES), np.ones(BODIES))
    data.arrays["acc"] = data.acc - data.vel
    problem, found = problem_of(data, SOURCE, acting=True)
    problem = problem.with_(scalings=(OWN, "left out"))
    v = bilinear.linear(problem, np.ones(BODIES), np.ones(BODIES))
    faster = found.motion.vel * np.linspace(0, 4, len(found.motion.vel))[:, None]
    found = replace(found, motion=replace(found.motion, vel=faster))
    drag = learning.shares_of(problem, v, found)[1]
    monkeypatch.setattr(learning, "SHOWN", 10_000)
    assert drag == pytest.approx(learning.shares_of(problem, v, found)[1], rel=0.35)


def test_noise_has_no_say_in_its_own_weight():
    """Slope of noisy accelerations on the true ones: 1 with weights that know the latter, clearly less without."""
    rng = np.random.default_rng(930)
    true = rng.standard_normal((20_000, 2))
    noisy = true + 0.3 * rng.standard_normal(true.shape)
    who = SimpleNamespace(count=1, receiver=np.zeros(len(true), int))
    data = SimpleNamespace(target=noisy, noise=np.full(len(true), 0.3), dim=2, who=who)

    def slope(weight):
        return (weight[:, None] * true * noisy).sum() / (weight[:, None] * true**2).sum()

    assert abs(slope(weights(data, true)) - 1) < 0.006
    assert slope(weights(data)) < 0.98
    exact = SimpleNamespace(target=noisy, noise=np.zeros(len(true)), dim=2, who=who)
    np.testing.assert_array_equal(weights(exact, true), weights(exact))


def test_pairs_that_the_fit_has_not_met_pull_nowhere(folder):
    source = np.exp(np.random.default_rng(943).normal(size=BODIES))
    data = world(folder / "w.npz", source, np.ones(BODIES))
    every = table(edges := observations(data, "train"), nodes_of(edges))
    number = np.repeat(np.arange(len(every)), np.diff(every.start))
    last = BODIES - 1  # the last in the order of partners
    meets = np.bincount(number, (every.who.sender == last) & (every.who.receiver[number] == 0), len(every)) > 0
    few = every.of(np.flatnonzero(~meets))
    problem = Problem(compress(few, Basis(space(np.log(every.r), 8, Envelope(0.0, 1.0), 1.0))), SOURCE, none(), 1e-9)
    v = bilinear.fit(problem)
    told = predicted(problem, v, every)
    np.testing.assert_allclose(told[~meets], predicted(problem, v, few), atol=1e-12)
    np.testing.assert_allclose(told[~meets], few.target, atol=0.02 * np.abs(few.target).max())
    assert np.isfinite(told[meets]).all()
    np.testing.assert_array_equal(every.node[~meets], few.node)


def none():
    return np.zeros((0, BODIES, BODIES))


def test_curves_that_are_too_coarse_do_not_make_fields_and_wakes(folder):
    """One heavy body among light ones at distances of two decades, one film: what curves of few intervals have wrong
    of its pull is no friction, field or displaced force.
    """
    rng = np.random.default_rng(937)
    mass = np.array([1.0, 1e-3, 3e-4, 4e-5, 3e-6, 2e-6])
    radius, frames = np.array([0.4, 0.8, 3.0, 9.0, 30.0]), 600
    t = np.linspace(0, 400, frames)
    phase = rng.uniform(0, 2 * np.pi, 5) + t[:, None] * radius**-1.5
    across = radius * (1 + 0.2 * np.cos(phase * 0.9))  # not quite circles: every pair sees a range of distances
    pos = np.zeros((frames, 6, 3))
    pos[:, 1:] = across[..., None] * np.stack([np.cos(phase), np.sin(phase), 0.1 * np.sin(phase + 1)], -1)
    apart = pos[:, :, None] - pos[:, None]
    r = np.linalg.norm(apart, axis=-1) + np.eye(6)
    acc = -(mass * (1 - np.eye(6)) / r**3)[..., None] * apart
    made = {"pos": pos, "vel": np.gradient(pos, t, axis=0), "acc": acc.sum(2)}
    made = {k: v.reshape(20, 30, 6, 3) for k, v in made.items()} | {"id": np.tile(np.arange(6), (20, 1))}
    split = np.zeros(20, dtype=np.int8)
    split[::7], split[3::7] = 1, 2
    made |= {"mass": np.ones((20, 6)), "split": split, "t": t.reshape(20, 30)}
    save_dataset(folder / "orbits.npz", made, {})
    found = learn(load_dataset("orbits"), "mass", {0: 1.0})
    assert found.basis.node == () and found.basis.pair == () and found.role == SOURCE
    assert found.told["mass"].values[1:] == pytest.approx(mass[1:], rel=1e-3)
    for error, expected, told in ((found.error, found.expected, False), (0.1, 0.02, True), (0.1, 0.09, False)):
        lines = says(replace(found, error=error, expected=expected), "mass")
        assert any("NOT EXPLAINED" in line for line in lines) is told


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_accelerations_that_nothing_tells_are_said(folder, noise):
    rng = np.random.default_rng(938)
    data = world(folder / "w.npz", np.exp(rng.normal(size=BODIES)), np.ones(BODIES), noise=noise)
    told = says(learn(data, "mass", quick=True), "mass")
    assert any("NOT EXPLAINED" in line for line in told) == (noise > 0)


def test_a_reference_is_one_positive_mass_a_body():
    for words, match in (
        (["a=1", "a=2"], "another value before, 1"),
        (["a=-1"], "a positive mass"),
        (["b=nan"], "finite"),
    ):
        with pytest.raises(UserError) as error:
            known_values(words, ["a", "b"], "mass")
        assert match in f"{error.value.message} {error.value.fix}"
    assert known_values(["a=1", "a=1.0", "b=2"], ["a", "b"], "mass") == {0: 1.0, 1: 2.0}
