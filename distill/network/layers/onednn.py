"""Linear layers in float32 on a CPU at the processor's full width.

``torch`` multiplies float32 matrices on x86 with MKL, which keeps to AVX2 on processors that are not Intel's.
oneDNN, which comes with ``torch`` for its other precisions, uses AVX-512 wherever there is one: on an AMD EPYC twice
as fast for products with the weights, and half as fast again for the gradients of wide weights. It is reached
through an operation that is not part of torch's public interface, so everything else, and every machine on which
that operation is missing or does not do what it should, gets ``torch.nn.functional.linear``. Results of the two
differ by rounding.
"""

import functools

import torch
from torch import Tensor, nn

NARROWEST = 32  # inputs and outputs of a layer from which oneDNN pays, measured; for the gradient of weights always


class Linear(nn.Linear):
    """``torch.nn.Linear``, with a ReLU after it if asked for; the same parameters, faster where oneDNN pays."""

    def __init__(self, inputs: int, outputs: int, relu: bool = False):
        super().__init__(inputs, outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.relu)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool = False) -> Tensor:
    """x [row, input] times weight [output, input] transposed, plus bias [output], then the ReLU if asked for."""
    return _Linear.apply(x, weight, bias, relu) if _suits(x) else _plain(x, weight, bias, relu)


def _plain(x, weight, bias, relu):
    out = nn.functional.linear(x, weight, bias)
    return out.relu() if relu else out


def _pays(weight: Tensor) -> bool:
    return min(weight.shape) >= NARROWEST


def product(a: Tensor, b: Tensor) -> Tensor:
    """a [row, k] times b [column, k] transposed, by oneDNN; both may be views with any strides."""
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


@functools.cache
def available() -> bool:
    """Whether this machine and this torch have the operation, it is right, and AVX-512 is what it would use."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    a, b = torch.arange(12.0).reshape(3, 4), torch.arange(8.0).reshape(2, 4)
    try:  # small whole numbers: no rounding
        return torch.equal(product(a, b), a @ b.T) and torch.equal(product(a.T, a[:, :2].T), a.T @ a[:, :2])
    except (AttributeError, RuntimeError, TypeError):
        return False


def _suits(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.dim() == 2
        and len(x) > 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.enabled
        and available()
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, relu):
        if _pays(weight):
            out = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
        else:
            out = _plain(x, weight, bias, relu)
        ctx.save_for_backward(x, weight, out if relu else None)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight, out = ctx.saved_tensors
        if out is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, out, 0)
        wanted, back, slope = ctx.needs_input_grad, None, None
        if wanted[0]:
            back = product(gradient, weight.T) if _pays(weight) else gradient @ weight
        if wanted[1]:
            # The first factor is copied to be transposed, the second is not: the narrower one first.
            fewer_inputs = x.size(1) < gradient.size(1)
            slope = product(x.T, gradient.T).T if fewer_inputs else product(gradient.T, x.T)
        return back, slope, gradient.sum(0) if wanted[2] else None, None
