"""Linear layers by oneDNN say what torch's say, forward and backward, and step aside where they do not apply."""

import pytest
import torch

from distill.network.layers import onednn


def reference(x, weight, bias, relu):
    out = torch.nn.functional.linear(x, weight, bias)
    return out.relu() if relu else out


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(1, 64, 64), (50, 300, 100), (96, 32, 200), (7, 300, 300), (60, 6, 300), (60, 106, 300), (40, 300, 2)],
)
def test_values_and_gradients_are_torchs(rows, inputs, outputs, relu):
    torch.manual_seed(rows)
    tensors = [torch.randn(*shape, requires_grad=True) for shape in ((rows, inputs), (outputs, inputs), (outputs,))]
    weight = torch.randn(rows, outputs)
    found = onednn.linear(*tensors, relu)
    wanted = reference(*(t.detach().double() for t in tensors), relu)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-4)
    ours = torch.autograd.grad((found * weight).sum(), tensors)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    theirs = torch.autograd.grad((reference(*doubles, relu) * weight).sum(), doubles)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-3)


def test_strided_gradients_and_missing_bias():
    x, w = torch.randn(40, 128, requires_grad=True), torch.randn(130, 128, requires_grad=True)
    for take in (lambda y: y[:, ::2].sum() + y.T.square().sum(), lambda y: y.sum()):  # the last: an expanded gradient
        found = torch.autograd.grad(take(onednn.linear(x, w, None)), (x, w))
        wanted = torch.autograd.grad(take(torch.nn.functional.linear(x, w)), (x, w))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-2)


def test_layer_has_torchs_parameters_and_start():
    torch.manual_seed(0)
    ours = onednn.Linear(64, 48)
    torch.manual_seed(0)
    theirs = torch.nn.Linear(64, 48)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


def test_other_types_batches_of_networks_and_autocast_go_to_torch():
    x, w, b = torch.randn(6, 64), torch.randn(40, 64), torch.randn(40)
    assert onednn.linear(x.double(), w.double(), b.double()).dtype == torch.float64
    stacked = torch.vmap(onednn.linear)(x.expand(3, -1, -1), w.expand(3, -1, -1), b.expand(3, -1))
    torch.testing.assert_close(stacked[2], torch.nn.functional.linear(x, w, b))
    with torch.autocast("cpu", torch.bfloat16):
        assert onednn.linear(x, w, b).dtype == torch.bfloat16
    assert onednn.linear(x[:0], w, b).shape == (0, 40)


def test_without_the_operation_torch_does_it(monkeypatch):
    monkeypatch.setattr(onednn, "product", lambda a, b: (_ for _ in ()).throw(AttributeError("no such operation")))
    onednn.available.cache_clear()
    try:
        assert not onednn.available()
        x, w = torch.randn(6, 64), torch.randn(40, 64)
        assert torch.equal(onednn.linear(x, w, None), torch.nn.functional.linear(x, w))
    finally:
        monkeypatch.undo()
        onednn.available.cache_clear()
