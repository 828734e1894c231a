"""Energies as messages: what data are refused, reading, search, the law as a Hamiltonian; the quick chain."""

import json
from types import SimpleNamespace

import hamiltonian as benchmark
import numpy as np
import pytest
import torch
from planted import messages, write_argon, write_dataset
from scripts import ok, refused, run

from distill.files.dataset import load_dataset
from distill.files.kinds import MessagesRecord
from distill.files.properties import VARIABLES, of_edges
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse, to_text
from distill.generalization.flows import flows, motion_off
from distill.hamiltonian.account import read_kinetic, read_potential, slope_of, with_variable, written
from distill.law.selection import Ground
from distill.messages import energies
from distill.messages.extraction import Extraction
from distill.messages.net_forces import nodes_of
from distill.network.learning.steps import Stepper
from distill.network.learning.training import Trainer
from distill.network.recipes import defaults
from distill.network.variants import square_penalty
from distill.physics.law import Law
from distill.physics.system import pair_potential
from distill.physics.systems import SYSTEMS
from distill.pipeline.search_plan import _of_energies
from distill.pipeline.train import resolve, train
from distill.search.registry import OF_ENERGIES
from distill.search.targets import searches
from distill.shell.errors import UserError

RUN = "r2_n4_d2_s0__hamiltonian-newton__s0"


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("left_out", ["vel", "acc"])
def test_data_without_momenta_or_accelerations_are_refused_in_one_line(tmp_path, left_out):
    path = write_dataset(tmp_path)
    with np.load(path) as file:
        np.savez(path, **{k: v for k, v in file.items() if k != left_out})
    data = load_dataset(str(path))
    with pytest.raises(UserError, match=rf"holds no '{left_out}', which the variant 'hamiltonian' needs: momenta"):
        resolve(data, "hamiltonian", "newton", {}, False)


def test_flags_that_say_nothing_of_energies_are_refused(tmp_path):
    data = load_dataset(str(write_dataset(tmp_path)))
    with pytest.raises(UserError, match="--linear-node says nothing"):
        resolve(data, "hamiltonian", "newton", {"linear_node": True}, False)
    no_seen = "--no-velocities says nothing of networks of the variant 'hamiltonian'"
    with pytest.raises(UserError, match=no_seen):
        resolve(data, "hamiltonian", "newton", {"velocities": False}, False)
    for asked in ({"unknown": ["mass"]}, {"latent": 1}):  # before the data are asked who their bodies are
        with pytest.raises(UserError, match="'dissipative' learns nothing of bodies"):
            train(str(data.path), variant="dissipative", **asked)
    with pytest.raises(UserError, match="--motion-weight says nothing of networks of the variant 'l1'"):
        resolve(data, "l1", "newton", {"motion_weight": 2.0}, False)
    with pytest.raises(UserError, match="an energy of the place is not the same everywhere"):
        resolve(data, "hamiltonian", "newton", {"self_position": True}, False)
    places = {"self_position": True, "translation_invariant": False}
    options = resolve(data, "hamiltonian", "newton", places, True)
    assert options["self_position"] and options["activation"] == "softplus" and "message_dim" not in options
    with pytest.raises(UserError, match="the recipe 'open' has no networks of the variant 'hamiltonian'"):
        train("x", variant="hamiltonian", recipe="open")
    with pytest.raises(
        UserError, match="--dissipative-weight is for the variant dissipative, and hamiltonian is asked"
    ):
        train("x", variant="hamiltonian", dissipative_weight=1e-6)
    with pytest.raises(UserError, match="--prune-end is for the variant pruning, and l1 and kl is asked for"):
        train("x", variant=["l1", "kl"], prune_end=0.5)
    with pytest.raises(UserError, match="--precision bf16 says nothing .*'hamiltonian': differences of energies"):
        train("x", variant="hamiltonian", precision="bf16")


def test_the_published_network_is_trained_on_accelerations_alone():
    paper, newton = (defaults(recipe, "hamiltonian", 2) for recipe in ("paper", "newton"))
    assert paper["motion_weight"] == 0 and newton["motion_weight"] > 0
    assert paper["hamiltonian_weight"] == 1e-6 and paper["hidden"] == 300 and paper["loss"] == "mae"
    assert paper["pair_momenta"] and paper["self_position"] and not paper["translation_invariant"]
    assert defaults("newton", "dissipative", 2)["dissipative"] and "dissipative" not in newton


def test_penalty_is_the_sum_of_squares_of_a_graph():
    assert square_penalty(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), None, 2, 2, 2).item() == 15.0


@pytest.mark.parametrize("recipe", ["newton", "paper"])
def test_networks_in_a_box_train_and_are_read(tmp_path, recipe):
    data = load_dataset(str(write_argon(tmp_path, frames=2)))
    options = resolve(data, "hamiltonian", recipe, {"hidden": 8}, True) | {"batch_size": 2}
    trainer = Trainer(data, "hamiltonian", options, 0, "cpu", "float32", tmp_path / "unused", {}, True)
    assert not trainer.model.pair.last.weight.any()  # it starts without forces
    stepper = Stepper([trainer])
    for k in range(3):
        stepper.step(k)
    part = Extraction(trainer.model.eval(), data).part(np.array([3]))
    nodes = nodes_of(part)
    edge, back = nodes.pairs
    assert len(edge) == len(part["r"]) and np.allclose(part["energy_pair"][edge], part["energy_pair"][back], rtol=1e-4)
    summed = np.stack([np.bincount(nodes.of_edge, c) for c in part["acc_share"].T], 1)
    assert np.allclose(summed, part["acc_pred_i"][nodes.first], rtol=1e-3, atol=1e-4 * np.abs(part["acc_pred_i"]).max())
    assert np.abs(part["acc_pred_i"]).max() > 0


# ---------------------------------------------------------------- reading


@pytest.fixture(scope="module")
def planted():
    """Messages of a network that has the energies of r2 right, but for numbers that forces do not know."""
    out, system = messages("r2", trajectories=60, frames=6), SYSTEMS["r2"]
    ends = of_edges(out)
    potential = pair_potential(system, ends["r"], ends)
    offset = 3 * ends["m_i"] * ends["m_j"] - np.sin(ends["q_i"] + ends["q_j"])
    speed = np.linalg.norm(out["vel_i"], axis=1)
    out["message"] = (0.5 * potential + offset)[:, None]
    out["energy_pair"] = potential - pair_potential(system, 1.5 + 0 * ends["r"], ends)
    out["energy_self_i"] = 0.5 * ends["m_i"] * (speed**2 - 0.8**2)
    out["acc_pred_i"], out["acc_alone_i"] = out["acc_i"], 0.0 * out["acc_i"]
    out["acc_share"] = out["force"] / ends["m_i"][:, None]
    out["active"] = np.ones(1, int)
    about = {"run": "r", "split": "train", "graphs": 360, "edges": len(ends["r"]), "mae": 0.0, "n": 4, "dim": 2}
    about |= dict.fromkeys(("variant", "recipe", "dataset", "dataset_path"), "")
    return out, MessagesRecord(**about, antisymmetric=True, reference=1.5)


def test_forces_are_read_without_a_fit_whatever_acts_beside(planted):
    sent, meta = planted
    nodes = nodes_of(sent)
    read = energies.read(sent, nodes, meta)
    assert read.gauge == "energy" and read.node_terms == () and read.error < 1e-6
    assert np.allclose(read.force(sent, nodes), sent["force"], atol=1e-5)
    drag = -0.7 * sent["vel_i"] / sent["mass_i"][:, None]
    count = nodes.senders()[nodes.of_edge]
    pushed = {
        "acc_pred_i": sent["acc_pred_i"] + drag,
        "acc_alone_i": drag,
        "acc_share": sent["acc_share"] + drag / count,
    }
    read = energies.read(sent | pushed, nodes, meta)
    assert read.node_terms == ("drag",) and np.allclose(read.force(sent | pushed, nodes), sent["force"], atol=1e-5)
    with pytest.raises(UserError, match="have no 'acc_alone_i'"):
        energies.read({k: v for k, v in sent.items() if k != "acc_alone_i"}, nodes, meta)
    plain = MessagesRecord(**{**vars(meta), "reference": None})
    vectors = messages("r2", trajectories=60, frames=6)
    assert energies.read(vectors, nodes_of(vectors), plain).gauge == "force"


def test_scores_do_not_see_the_numbers_that_forces_do_not_know(planted):
    sent, _ = planted
    found = energies.scores(sent, SYSTEMS["r2"])
    assert found["r2_all"] > 1 - 1e-9 and found["read_out_r2_all"] > 1 - 1e-9
    double = energies.scores(sent | {"message": 2 * sent["message"]}, SYSTEMS["r2"])
    assert double["r2_all"] > 1 - 1e-9 and double["read_out_r2_all"] < 0.5  # the energy itself, not half of it
    noise = np.random.default_rng(0).normal(size=sent["message"].shape) * sent["message"].std()
    assert energies.scores(sent | {"message": noise}, SYSTEMS["r2"])["r2_all"] < 0.1


def test_vectors_have_no_energies_to_search():
    vectors, asked = SimpleNamespace(energies=False), {"node": "auto", "targets": ("radial", "kinetic")}
    with pytest.raises(UserError, match="--targets kinetic needs messages that are energies"):
        _of_energies(vectors, asked, "messages", asked["targets"])
    usual = {"node": "auto", "targets": None}
    assert _of_energies(SimpleNamespace(energies=True), usual, "messages", ("radial",)) == OF_ENERGIES
    assert _of_energies(SimpleNamespace(energies=True), usual, "splines", ("radial",)) == ("radial",)


def test_targets_are_energies_of_pairs_and_of_motion(planted):
    sent, _ = planted
    nodes = nodes_of(sent)
    potential, kinetic = searches(("potential", "kinetic"), sent, nodes, None, None, rows=200)
    with_constant = parse("m_i*m_j*(1/1.51 - 1/(r + 0.01))", VARIABLES)
    names = [s.name for s in with_constant.free_symbols]
    assert np.allclose(
        compile_numpy(with_constant, names)(*(potential.features[k] for k in names)), potential.y, rtol=1e-5
    )
    mass = kinetic.features["m_i"]
    assert np.allclose(kinetic.features["p"] ** 2 / (2 * mass) - 0.32 * mass, kinetic.y, rtol=1e-5)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ("0.5*m_i*m_j*(r - 1.5)/(r + 0.5)", "-1.0*m_i*m_j/(r + 0.5)"),
        ("(r - 0.99)^2", "r^2 - 1.98*r"),
        ("1.2*m_i*(log(r + 0.01) - 0.3) + q_j", "1.2*m_i*log(r + 0.01)"),
        ("m_i*m_j + 2.0", "0"),
    ],
)
def test_terms_that_no_force_knows_are_dropped(found, left):
    r = parse("r", VARIABLES)
    assert with_variable(parse(found, VARIABLES), r) - parse(left, VARIABLES) == pytest.approx(0)


FAR = (0.1, 10.0)  # distances


def test_a_law_is_written_as_a_hamiltonian():
    pair = parse("-m_i*m_j/(r + 0.01)^2", VARIABLES)
    told = written(Law(pair, {"drag": 0.5}), FAR)
    assert told["potential"] == to_text(parse("-m_i*m_j/(r + 0.01)", VARIABLES)) and told["why_not"] is None
    assert told["rayleigh"] == "0.25*v^2" and "lost by R" in told["text"] and r"\frac{p_i^2}{2 m_i}" in told["latex"]
    assert "gained by R" in written(Law(pair, {"drag": -0.5}), FAR)["text"]
    odd = parse("exp(-r^2)/(1 + r)", VARIABLES)
    assert slope_of(odd, *FAR) is None and written(Law(odd), FAR)["potential"] is None


def test_an_energy_of_several_terms_is_written_pair_by_pair():
    names = ("r", "species__A_i", "species__A_j", "species__B_i", "species__B_j")
    text = "species__A_i*species__A_j*(3/r^4 - 2/r^3) - (species__A_i*species__B_j + species__B_i*species__A_j)/r^2"
    told = written(Law(parse(text, names), properties=("mass", "charge", "species__A", "species__B")), FAR)
    assert "V_AA = 1 / r^3 - 1 / r^2, V_AB = V_BA = -1 / r" in told["text"] and "V_BB = 0" in told["text"]
    assert told["latex"].split(r",\quad ")[2].startswith(r"V_{\mathrm{AB}} = V_{\mathrm{BA}} = ")
    both = parse("q_i*q_j*(1/r^2 - 1) - m_i*m_j/r^2", VARIABLES)  # a product among other terms is multiplied out too
    assert slope_of(both, *FAR) == parse("q_i*q_j*(1/r + r) - m_i*m_j/r", VARIABLES).expand()


def test_what_a_hamiltonian_lacks_is_said_and_none_is_made_up():
    pair = parse("-m_i*m_j/(r + 0.01)^2", VARIABLES)
    pulled = written(Law(pair, {"constant_force": np.array([0.25, -1.5])}), FAR)
    assert all("0.25" in pulled[k] and "1.5" in pulled[k] for k in ("text", "latex"))
    assert "sum_{neighbours}" in written(Law(pair, chain=True), FAR)["text"]
    one_sided = written(Law(parse("-m_j/(r + 0.1)", VARIABLES)), FAR)
    assert one_sided["text"] is one_sided["latex"] is one_sided["potential"] is None
    assert "no energy of the pair" in one_sided["why_not"]


@pytest.mark.parametrize(
    ("searched", "as_it_stands"),
    [("-m_i*m_j/(r + 0.01)", True), ("-0.4*m_i*m_j/(r + 0.3)", False), ("0.5*m_i*m_j/(r + 0.05)", False)],
)
def test_a_potential_is_judged_as_searched_and_with_its_constants_fitted(planted, searched, as_it_stands):
    """Constants come from the network's forces; what the energies themselves were searched to be is judged too."""
    sent, _ = planted
    ends = of_edges(sent)
    true = parse("-m_i*m_j/(r + 0.01)^2", VARIABLES)

    def verdict(law):
        found, right = (one.radial(**ends) for one in (law, Law(true)))
        return {"recovered": bool((np.abs(found - right) < 1e-3 * np.abs(right)).all())}

    judge = SimpleNamespace(ground=Ground(sent, nodes_of(sent), (), 0), verdict=verdict)
    own = SimpleNamespace(before=Law(true), source=SimpleNamespace(groups=()))
    forces = SimpleNamespace(main=SimpleNamespace(force=sent["force"]), messages=sent)
    told = read_potential([parse(searched, VARIABLES)], forces, own, judge, FAR)
    assert told["recovered"] and told["searched_verdict"]["recovered"] is as_it_stands
    assert told["text"] == to_text(parse(searched, VARIABLES))


def test_energies_of_motion_are_counted_from_the_speed_of_the_data(tmp_path):
    """Also by a recipe whose unit of speed is 1, on data whose speeds are not."""
    path = write_dataset(tmp_path)
    with np.load(path) as file:
        np.savez(path, **{k: v * (1e-3 if k == "vel" else 1) for k, v in file.items()})
    data = load_dataset(str(path))
    options = resolve(data, "hamiltonian", "paper", {"hidden": 8}, True)
    trainer = Trainer(data, "hamiltonian", options, 0, "cpu", "float32", tmp_path / "unused", {}, True)
    extraction = Extraction(trainer.model.eval(), data)
    speed = np.linalg.norm(data.arrays["vel"], axis=-1)
    assert trainer.model.config.speed == 1 and extraction.usual_speed == pytest.approx(np.median(speed), rel=1e-6)
    part = extraction.part(np.arange(20))
    size = np.abs(np.asarray(part["energy_self_i"]))
    assert size.max() < 1e-2 and size.max() > 0  # of energies between speeds of 1e-3, and not of 1 and 1e-3


def test_a_network_whose_motion_nothing_trained_is_not_integrated(tmp_path):
    data = load_dataset(str(write_dataset(tmp_path)))
    starts = {name: data.arrays[name][:3, 0].astype(float) for name in ("pos", "vel")}
    starts["properties"] = {name: values[:3].astype(float) for name, values in data.properties.items()}
    for recipe, options in (("newton", {"hidden": 8}), ("paper", {"hidden": 8})):
        own = resolve(data, "hamiltonian", recipe, options, True)
        trainer = Trainer(data, "hamiltonian", own, 0, "cpu", "float32", tmp_path / "unused", {}, True)
        law = Law(parse("-m_j/(r + 0.1)", VARIABLES))
        found, why = flows(data, SYSTEMS["r2"], law, trainer.model.eval(), starts)
        assert found == {} and "not mutual" in why["law"] and "dH/dp is off the velocity" in why["gnn"]
    mass = starts["properties"]["mass"][..., None]
    right = motion_off(lambda q, p, own: (p / mass, 0.0), **starts)
    assert right < 1e-12 and motion_off(lambda q, p, own: (1.3 * p / mass, 0.0), **starts) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "recovered"), [("0.502*p^2/m_i - 0.3*m_i", True), ("0.53*p^2/m_i", False), ("0.5*p^2", False)]
)
def test_the_kinetic_term_is_judged(planted, text, recovered):
    found = read_kinetic(parse(text, ("p", "m_i")), planted[0], SYSTEMS["r2"])
    assert found["recovered"] is recovered and ("m_i" in found["text"]) == ("m_i" in text)
    assert read_kinetic(parse(text, ("p", "m_i")), planted[0], None)["recovered"] is None
    assert read_kinetic(parse("2.0*m_i", ("p", "m_i")), planted[0], None) is None
    at_rest = planted[0] | {"vel_i": 0 * planted[0]["vel_i"]}
    assert read_kinetic(parse(text, ("p", "m_i")), at_rest, SYSTEMS["r2"]) is None
    found = energies.read(at_rest, nodes_of(at_rest), planted[1])
    force = found.force(at_rest, nodes_of(at_rest))
    targets = searches(("kinetic", "potential"), at_rest, nodes_of(at_rest), found, force, 200)
    assert [target.name for target in targets] == ["potential"]
    assert np.allclose(found.force(at_rest, nodes_of(at_rest)), at_rest["force"], atol=1e-5)


def test_the_benchmark_counts_and_compares():
    own = {"variant": "hamiltonian", "recipe": "newton", "run": "r", "published": 1.284}
    own |= {"mae_component": 0.5, "mae_particle": 1.0, "mae_graph": 4.0}
    rows = [own | {"potential_form": True, "force_r2_all": 0.9, "drift": 0.2}, own | {"potential_form": False}]
    rows += [own | {"published": None, "potential_form": None, "force_r2_all": 0.7, "drift": 0.4}]
    rows += [{"variant": "hamiltonian", "recipe": "newton", "error": "no such thing"}]
    found = benchmark.summary(rows)["hamiltonian-newton"]
    assert found["potential_form"]["successes"] == 1 and found["potential_form"]["n"] == 2
    assert (found["n"], found["errors"]) == (3, 1)
    assert [found[f"{name}_below_published"] for name in benchmark.SUMS] == [[2, 2], [2, 2], [0, 2]]
    assert found["force_r2_all"] == pytest.approx({"median": 0.8, "worst": 0.7})
    assert found["drift"] == pytest.approx({"median": 0.3, "worst": 0.4})
    whole = {"system": "r2", "dim": 2, "seed": 930, "force": "-m_i*m_j/r^2"}
    told = benchmark.table([row | whole for row in rows[:3]])
    assert "force r2 all" in told and "cpu seconds" in told and told.count("\n") == 4
    assert "drift 0.2" in benchmark.told(rows[0] | whole)
    assert benchmark.PUBLISHED["r2", 2] == 1.284 and len(benchmark.PUBLISHED) == 12
    assert set(benchmark.FLUIDS) == {name for name, system in SYSTEMS.items() if np.isfinite(system.cutoff)}


# ---------------------------------------------------------------- the chain


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["hamiltonian", "dissipative"])
def test_the_quick_chain(tmp_path, variant):
    system = "r2" if variant == "hamiltonian" else "damped"
    dataset = f"{system}_n4_d2_s0"
    name = f"{dataset}__{variant}-newton__s0"
    ok(run(tmp_path, "simulate.py", "--system", system, "--n-trajectories", 60, "--quick"))
    words = ("train.py", "--dataset", dataset, "--variant", variant, "--quick", "--epochs", 40)
    told = ok(run(tmp_path, *words))
    assert "already done" in ok(run(tmp_path, *words))
    assert float(told.split("error ")[1].split()[0]) < 0.7 * float(told.split("of_zero ")[1].split()[0])
    for stage in ("extract_messages.py", "fit_linear.py"):
        ok(run(tmp_path, stage, "--run", name, "--quick"))
    refused(run(tmp_path, "symbolic_reg.py", "--run", name, "--node", "function"), "p = m v")
    ok(run(tmp_path, "symbolic_reg.py", "--run", name, "--quick", "--engine", "operon"))
    told = ok(run(tmp_path, "test_generalization.py", "--run", name, "--quick"))

    def content(file, folder="outputs"):
        return json.loads((tmp_path / folder / name / file).read_text())

    fit, law, beyond = content("linear_fit.json"), content("law.json"), content("generalization.json")
    assert (
        fit["read_out"]["gauge"] == law["read_out"]["gauge"] == "energy"
        and "frames of a pair" in fit["potential"]["what"]
    )
    assert fit["read_out"]["linear_loses"] < 1e-4 and fit["r2_trim90"] > 0.5
    assert list(law["targets"]) == ["radial", "potential", "kinetic"] and law["hamiltonian"]["per_edge"] == 0.5
    assert law["hamiltonian"]["text"].startswith("H = sum_i p_i^2/(2 m_i)")
    assert content("config.json", "model_weights")["skill"]["motion"] < 0.2
    page = (tmp_path / "outputs" / name / "report.html").read_text()
    assert "As a Hamiltonian" in page
    if variant == "dissipative":
        assert law["hamiltonian"]["rayleigh"] and "gnn" not in beyond["rollouts"]["symplectic"]
        assert "loses energy" in beyond["rollouts"]["symplectic_without"]["gnn"]
        return
    for one in beyond["rollouts"]["symplectic"].values():
        assert one["final_own_energy_drift_median"] < 1e-6
    assert beyond["rollouts"]["symplectic"].keys() == {"law", "gnn"} and "symplectic" in told
