"""Networks of energies: their slopes against autograd and differences, symmetries, gradients of every part."""

from dataclasses import replace

import pytest
import torch

from distill.hamiltonian.network import HamiltonianConfig, HamiltonianNetwork
from distill.network.architectures import architecture_of, network_of
from distill.network.edges import Edges, all_pairs
from distill.network.weights import model_config

NEWTON = dict(translation_invariant=True, geometric_inputs=True, exp_gate=True, log_mass=True, activation="softplus")
PAPER = dict(pair_momenta=True, self_position=True, activation="softplus")
CASES = {
    "newton": NEWTON,
    "paper": PAPER,
    "all": NEWTON | PAPER | dict(dissipative=True, acc_scale=1.7, speed=0.6),
    "places and geometry": PAPER | dict(geometric_inputs=True, activation="silu", dissipative=True),
    "differences alone": dict(translation_invariant=True, pair_momenta=True, activation="tanh", speed=2.0),
}


def network(seed=0, dim=2, **options):
    torch.manual_seed(seed)
    return HamiltonianNetwork(HamiltonianConfig(dim=dim, hidden=12, **options)).double().eval()


def state(graphs, n, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(graphs * n, 2 * dim + 2, generator=generator, dtype=torch.float64)
    x[:, -1] = x[:, -1].exp()
    return x


def canonical(model, x, edges, q, p):
    """H as a function of places and momenta."""
    dim = q.size(1)
    v = p / x[:, 2 * dim + 1 :][:, :1]
    return model.energies(torch.cat([q, v, x[:, 2 * dim :]], 1), edges).sum()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_slopes_are_the_derivatives_of_the_energy(case, dim):
    model, edges, x = network(dim=dim, **CASES[case]), all_pairs(3, 2), state(2, 3, dim)
    mass = x[:, -1:]
    q, v = x[:, :dim].clone().requires_grad_(), x[:, dim : 2 * dim]
    p = (mass * v).requires_grad_()
    by_q, by_p = torch.autograd.grad(canonical(model, x, edges, q, p), (q, p))
    lost = torch.zeros_like(v)
    if model.config.dissipative:
        w = v.clone().requires_grad_()
        (lost,) = torch.autograd.grad(rayleigh(model, x, w), w)
    acc, _, _, motion = model(x, edges)
    assert torch.allclose(motion, by_p, atol=1e-12)
    assert torch.allclose(mass * acc, -by_q - lost, atol=1e-11)
    h = 1e-6  # and autograd itself against differences, of every particle and direction
    for which, found in (("q", -(mass * acc + lost)), ("p", motion), ("v", lost)):
        for i, k in ((i, k) for i in range(len(x)) for k in range(dim)):
            step = torch.zeros_like(v)
            step[i, k] = h
            if which == "v" and not model.config.dissipative:
                continue
            near = {
                "q": lambda s, step=step: canonical(model, x, edges, q + s * step, p),
                "p": lambda s, step=step: canonical(model, x, edges, q, p + s * step),
                "v": lambda s, step=step: rayleigh(model, x, v + s * step),
            }[which]
            slope = ((near(1) - near(-1)) / (2 * h)).item()
            assert found[i, k].item() == pytest.approx(slope, rel=1e-5, abs=1e-7), which


def rayleigh(model, x, v):
    """R as a function of velocities."""
    z, _ = model._losses(v, model._split(x)[3])
    return model.config.acc_scale * model.config.speed * model.rayleigh(z).sum()


@pytest.mark.parametrize("case", ["all", "places and geometry"])
def test_what_is_lost_is_along_the_velocity_and_nothing_at_rest(case):
    model, x = network(**CASES[case]), state(2, 3, 2)
    lost, v = model.lost(x), x[:, 2:4]
    assert lost.any() and torch.allclose(lost[:, 0] * v[:, 1], lost[:, 1] * v[:, 0], atol=1e-14)
    x[:, 2:4] = 0
    assert not model.lost(x).any()


@pytest.mark.parametrize("case", ["newton", "all"])
def test_velocities_have_no_jump_at_rest(case):
    """A particle turns there, in one dimension always."""
    model, edges, x = network(dim=1, **CASES[case]), all_pairs(2), state(1, 2, 1)
    found = []
    for v in (-1e-8, 0.0, 1e-8):
        x[:, 1] = v
        found.append(model.motions(x, edges)[0])
    assert torch.allclose(found[0], found[1], atol=1e-5) and torch.allclose(found[2], found[1], atol=1e-5)


@pytest.mark.parametrize("case", ["newton", "all"])
def test_forces_of_pairs_are_equal_and_opposite_and_add_up(case):
    model, edges, x = network(**CASES[case]), all_pairs(4), state(1, 4, 2)
    force, alone, _, _ = model.derivatives(x, edges)
    told = model.told(x, edges)
    assert torch.allclose(force, -force[edges.reverse], atol=1e-14)
    total = torch.zeros(4, 2, dtype=torch.float64).index_add(0, edges.index[1], force) + alone
    assert torch.allclose(total / x[:, -1:], told["acc_pred"], atol=1e-13)
    shares = torch.zeros(4, 2, dtype=torch.float64).index_add(0, edges.index[1], told["acc_share"])
    assert torch.allclose(shares, told["acc_pred"], atol=1e-13)
    assert torch.equal(told["message"], told["message"][edges.reverse])


@pytest.mark.parametrize("case", ["newton", "paper"])
def test_energies_of_pairs_are_told_from_a_distance_on(case):
    """Two particles at the reference distance have none, nor those of the typical speed; the force is minus the slope
    of what is told.
    """
    model, edges = network(**CASES[case]), all_pairs(2)
    x = state(1, 2, 2)
    x[1, :2] = x[0, :2] + torch.tensor([0.6, 0.8], dtype=torch.float64) * 1.3
    assert model.told(x, edges, reference=1.3)["energy_pair"].abs().max() < 1e-12
    usual = x.clone()
    usual[:, 2:4] *= model.config.speed / usual[:, 2:4].norm(dim=1, keepdim=True)
    assert model.told(usual, edges)["energy_self"].abs().max() < 1e-12 < model.told(x, edges)["energy_self"].abs().min()
    usual[:, 2:4] = 0
    assert model.told(usual, edges)["energy_self"].isfinite().all()
    far, h, unit = x.clone(), 1e-6, torch.tensor([0.6, 0.8], dtype=torch.float64)
    middle, energy = x[0, :2] + unit, []
    for r in (2.0 - h, 2.0 + h, 2.0):  # both ends moved, about a place that the reference keeps
        far[:, :2] = torch.stack([middle - 0.5 * r * unit, middle + 0.5 * r * unit])
        both = model.told(far, edges, reference=1.3)["energy_pair"]
        assert both[0].item() == pytest.approx(both[1].item(), abs=1e-14)
        energy.append(both[0].item())
    force, receiver = model.derivatives(far, edges)[0], edges.index[1].tolist()
    apart = 0.5 * (force[receiver.index(1)] - force[receiver.index(0)]) @ unit
    assert apart.item() == pytest.approx(-(energy[1] - energy[0]) / (2 * h), rel=1e-6)


def both_equations(model, x, edges):
    acc, _, _, motion = model(x, edges)
    return (acc - 1).square().sum() + (motion - x[:, 2:4]).square().sum()


def off(model, x, edges) -> dict[str, float]:
    """By how much the gradient of every weight differs from differences of the loss, in a direction of its own."""
    model.zero_grad(set_to_none=True)
    both_equations(model, x, edges).backward()
    found, generator, h = {}, torch.Generator().manual_seed(3), 1e-6
    for name, parameter in model.named_parameters():
        step, near = torch.randn(parameter.shape, generator=generator, dtype=torch.float64), []
        for sign in (-1, 1):
            with torch.no_grad():
                parameter += sign * h * step
                near.append(both_equations(model, x, edges).item())
                parameter -= sign * h * step
        slope = (near[1] - near[0]) / (2 * h)
        said = 0.0 if parameter.grad is None else float((parameter.grad * step).sum())
        found[name] = abs(said - slope) / max(abs(slope), 1e-4)
    return found


PARTS = ("pair", "own", "rayleigh")


@pytest.mark.parametrize("case", ["newton", "all", "places and geometry", "differences alone"])
def test_no_part_is_without_its_gradient(case, monkeypatch):
    """Loss of both of Hamilton's equations. Gradients that miss a part are told from those that do not: where the slope
    of a part is a constant for autograd, its weights have another gradient than differences say.
    """
    model, edges, x = network(**CASES[case]), all_pairs(4, 3), state(3, 4, 2)
    assert max(off(model, x, edges).values()) < 1e-5
    for part in (name for name in PARTS if hasattr(model, name)):
        whole = getattr(model, part).with_slope
        with monkeypatch.context() as patch:
            patch.setattr(getattr(model, part), "with_slope", lambda z, whole=whole: [t.detach() for t in whole(z)])
            missed = {name for name, size in off(model, x, edges).items() if size > 0.01}
        assert {name for name in missed if name.startswith(f"{part}.")}, part
        assert not {name for name in missed if name.split(".")[0] in PARTS and not name.startswith(f"{part}.")}


@pytest.mark.parametrize("case", ["newton", "all"])
def test_every_part_is_needed(case):
    """A part whose weights are zero is missed by the prediction that it is for."""
    model, edges, x = network(**CASES[case]), all_pairs(4, 3), state(3, 4, 2)
    acc, _, _, motion = model(x, edges)
    names = {"pair": 0, "own": 3} | ({"rayleigh": 0} if model.config.dissipative else {})
    for part, which in names.items():
        zeroed = network(**CASES[case])
        for name, parameter in zeroed.named_parameters():
            if name.split(".")[0] == part:
                torch.nn.init.zeros_(parameter)
        now = zeroed(x, edges)
        assert not torch.allclose(now[which], (acc, None, None, motion)[which]), part


def test_accelerations_alone_train_nothing_of_the_kinetic_part():
    """Where H_self does not see the place, dv/dt has no part of it: the fault that ``motion_weight`` mends."""
    model, edges, x = network(**NEWTON), all_pairs(4), state(1, 4, 2)
    model(x, edges)[0].square().sum().backward()
    assert all(p.grad is None or not p.grad.any() for n, p in model.named_parameters() if n.startswith("own"))


def test_a_periodic_network_sees_the_nearest_image():
    options = NEWTON | dict(periodic=True, r_power=-1.0, r_mean=0.5, r_spread=0.3, length=2.0, dissipative=True)
    model, x = network(**options), state(1, 2, 2)
    dx = torch.tensor([[0.3, 0.4], [-0.3, -0.4]]).double()
    edges = replace(all_pairs(2), dx=dx)
    near = []
    for step in (-1e-6, 1e-6):
        moved = replace(edges, dx=dx + torch.tensor([[step, 0], [-step, 0]]).double())
        near.append(model.energies(x, moved).sum().item())
    slope = (near[1] - near[0]) / 2e-6 * 2.0  # by the place in the unit of the network
    force, alone, _, _ = model.derivatives(x, edges)
    i = edges.index[1].tolist().index(0)
    assert force[i, 0].item() == pytest.approx(-slope, rel=1e-6) and alone.any()
    with pytest.raises(ValueError, match="periodic box"):
        model(x, all_pairs(2))


def test_sum_over_equal_degrees_is_the_scatter():
    model, edges, x = network(**CASES["all"]), all_pairs(4, 3), state(3, 4, 2)
    assert edges.degree
    for a, b in zip(model(x, edges), model(x, Edges(edges.index, edges.reverse)), strict=True):
        assert a is b is None or torch.allclose(a, b, atol=1e-13)


def test_a_network_of_energies_is_read_back_as_what_it_is():
    config = HamiltonianConfig(dim=2, hidden=8, **NEWTON)
    assert model_config(config.as_dict()) == config and config.antisymmetric
    assert type(network_of(config)) is HamiltonianNetwork
    with pytest.raises(ValueError, match="self_position"):
        model_config({k: v for k, v in config.as_dict().items() if k != "self_position"})
    with pytest.raises(ValueError, match="model.network"):
        architecture_of({"network": "lagrangian"})
    with pytest.raises(ValueError, match="smooth"):
        HamiltonianNetwork(replace(config, activation="relu"))
