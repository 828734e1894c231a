"""Every operation a formula may hold: how it is computed, differentiated, written and searched. The only list of them.

Adding a function is adding an entry here: parser, printers, evaluation, derivatives and engines follow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp


class greater(sp.Function):
    """PySR's ``greater(a, b)``: 1 where a > b, else 0; its derivative is taken as 0."""

    nargs = 2
    is_real = True

    @classmethod
    def eval(cls, a, b):
        if a.is_Number and b.is_Number:
            return sp.Float(1.0) if a > b else sp.Float(0.0)

    def fdiff(self, argindex=1):
        return sp.S.Zero


class maximum(sp.Function):
    """``max(a, b)``. sympy's own ``Max`` spends seconds on what its arguments may be."""

    nargs = 2
    is_real = True

    @classmethod
    def eval(cls, a, b):
        if a.is_Number and b.is_Number:
            return a if a > b else b

    def fdiff(self, argindex=1):
        a, b = self.args
        return greater(a, b) if argindex == 1 else 1 - greater(a, b)


class minimum(sp.Function):
    """``min(a, b)``."""

    nargs = 2
    is_real = True

    @classmethod
    def eval(cls, a, b):
        if a.is_Number and b.is_Number:
            return b if a > b else a

    def fdiff(self, argindex=1):
        a, b = self.args
        return 1 - greater(a, b) if argindex == 1 else greater(a, b)


@dataclass(frozen=True)
class Function:
    """An operation. ``value(xp, *arguments)`` in any module of numbers: numpy, torch, jax.numpy, math, and sympy.

    ``slopes``: for every argument, from (xp, *arguments, value, incoming derivative), the derivative that goes on to
    it; none for what sympy turns into other operations. ``operon`` and ``pysr`` are the engines' names for it: None
    where they do not have it, "" where they make it of others. ``latex``, ``numpy`` and ``lepton`` (what OpenMM reads)
    are how it is written: %s for each argument, {0} and {1} in the last two, which are None for what no tree holds.
    """

    name: str
    value: Callable
    slopes: tuple[Callable, ...] = ()
    head: type | None = None  # the sympy class of formulas made by it
    latex: str | None = None
    operon: str | None = None
    pysr: str | None = None
    arity: int = 1
    plain: Callable | None = None  # on floats; ``value`` with ``math``
    power: int | None = None  # it is this power of its argument
    numpy: str | None = None
    lepton: str | None = None

    def symbolic(self, *arguments):
        return (self.head or self.value)(*(() if self.head else (sp,)), *arguments)

    def number(self, *arguments: float):
        return self.plain(*arguments) if self.plain else self.value(math, *arguments)


def _two(name: str, value: Callable, left: Callable, right: Callable, operon: str | None, pysr: str) -> Function:
    return Function(name, value, (left, right), operon=operon, pysr=pysr, arity=2)


def _power(name: str, exponent: int, operon: str) -> Function:
    return Function(name, lambda xp, a: a**exponent, operon=operon, pysr=name, power=exponent)


def _named(name: str, slope: Callable, latex: str) -> Function:
    """A function that all know by the same name."""
    return Function(
        name,
        lambda xp, a: getattr(xp, name)(a),
        (slope,),
        getattr(sp, name),
        latex,
        name,
        name,
        numpy=f"np.{name}({{0}})",
        lepton=f"{name}({{0}})",
    )


def _read(name: str, slope: Callable, latex: str, array: str | None = None, lepton: str | None = None) -> Function:
    """A function that formulas of others may hold and no search here uses. ``array``: its name in modules of arrays;
    ``lepton``: as in ``Function``, where it is not the name.
    """

    def value(xp, a):
        return (getattr(xp, array or name, None) or getattr(xp, name))(a)

    numpy, lepton = f"np.{array or name}({{0}})", lepton or f"{name}({{0}})"
    return Function(name, value, (slope,), getattr(sp, name), latex, numpy=numpy, lepton=lepton)


_TABLE = (
    _two("+", lambda xp, a, b: a + b, lambda xp, a, b, v, g: g, lambda xp, a, b, v, g: g, "add", "+"),
    _two("-", lambda xp, a, b: a - b, lambda xp, a, b, v, g: g, lambda xp, a, b, v, g: -g, "sub", "-"),
    _two("*", lambda xp, a, b: a * b, lambda xp, a, b, v, g: g * b, lambda xp, a, b, v, g: g * a, "mul", "*"),
    _two("/", lambda xp, a, b: a / b, lambda xp, a, b, v, g: g / b, lambda xp, a, b, v, g: -g * v / b, "div", "/"),
    _power("square", 2, "square"),
    _power("cube", 3, ""),
    Function(
        "sqrt",
        lambda xp, a: xp.sqrt(a),
        (lambda xp, a, v, g: 0.5 * g / v,),
        operon="sqrt",
        pysr="sqrt",
        numpy="np.sqrt({0})",
        lepton="sqrt({0})",
    ),
    Function("neg", lambda xp, a: -a, (lambda xp, a, v, g: -g,), operon="", pysr="neg"),
    Function("inv", lambda xp, a: 1 / a, operon="", pysr="inv"),
    _named("exp", lambda xp, a, v, g: g * v, r"\exp\left(%s\right)"),
    _named("log", lambda xp, a, v, g: g / a, r"\log\left(%s\right)"),
    Function(
        "abs",
        lambda xp, a: abs(a),
        (lambda xp, a, v, g: g * xp.sign(a),),
        sp.Abs,
        r"\left|%s\right|",
        "abs",
        "abs",
        numpy="np.abs({0})",
        lepton="abs({0})",
    ),
    _named("sin", lambda xp, a, v, g: g * xp.cos(a), r"\sin\left(%s\right)"),
    _named("cos", lambda xp, a, v, g: -g * xp.sin(a), r"\cos\left(%s\right)"),
    _named("tanh", lambda xp, a, v, g: g * (1.0 - v * v), r"\tanh\left(%s\right)"),
    _two(
        "pow",
        lambda xp, a, b: a**b,
        lambda xp, a, b, v, g: g * b * a ** (b - 1.0),
        lambda xp, a, b, v, g: g * v * xp.log(a + 0.0),
        operon="pow",
        pysr="^",
    ),
    Function(
        "greater",
        lambda xp, a, b: 1.0 * (a > b),
        (lambda xp, a, b, v, g: 0.0 * g,) * 2,
        greater,
        r"\mathbf{1}\left[%s > %s\right]",
        pysr="greater",
        arity=2,
        numpy="np.where({0} > {1}, 1.0, 0.0)",
        lepton="(1 - step(({1}) - ({0})))",
    ),
    Function(
        "sign",
        lambda xp, a: xp.sign(a),
        (lambda xp, a, v, g: 0.0 * g,),
        sp.sign,
        r"\mathrm{sgn}\left(%s\right)",
        plain=lambda a: float((a > 0) - (a < 0)),
        numpy="np.sign({0})",
        lepton="select({0}, 2 * step({0}) - 1, 0)",
    ),
    Function("pow_abs", lambda xp, a, b: abs(a) ** b, arity=2),
    _read("tan", lambda xp, a, v, g: g * (1.0 + v * v), r"\tan\left(%s\right)"),
    _read("sinh", lambda xp, a, v, g: g * xp.cosh(a), r"\sinh\left(%s\right)"),
    _read("cosh", lambda xp, a, v, g: g * xp.sinh(a), r"\cosh\left(%s\right)"),
    _read("asin", lambda xp, a, v, g: g / xp.sqrt(1.0 - a * a), r"\arcsin\left(%s\right)", "arcsin"),
    _read("acos", lambda xp, a, v, g: -g / xp.sqrt(1.0 - a * a), r"\arccos\left(%s\right)", "arccos"),
    _read("atan", lambda xp, a, v, g: g / (1.0 + a * a), r"\arctan\left(%s\right)", "arctan"),
    _read(
        "asinh",
        lambda xp, a, v, g: g / xp.sqrt(a * a + 1.0),
        r"\mathrm{arsinh}\left(%s\right)",
        "arcsinh",
        "log({0} + sqrt(({0})^2 + 1))",
    ),
    _read(
        "acosh",
        lambda xp, a, v, g: g / xp.sqrt(a * a - 1.0),
        r"\mathrm{arcosh}\left(%s\right)",
        "arccosh",
        "log({0} + sqrt(({0})^2 - 1))",
    ),
    _read(
        "atanh",
        lambda xp, a, v, g: g / (1.0 - a * a),
        r"\mathrm{artanh}\left(%s\right)",
        "arctanh",
        "(0.5 * log((1 + ({0})) / (1 - ({0}))))",
    ),
    Function(
        "max",
        lambda xp, a, b: xp.where(a > b, a, b),
        (lambda xp, a, b, v, g: g * (a > b), lambda xp, a, b, v, g: g * (b >= a)),
        maximum,
        r"\max\left(%s, %s\right)",
        arity=2,
        plain=max,
        numpy="np.maximum({0}, {1})",
        lepton="max({0}, {1})",
    ),
    Function(
        "min",
        lambda xp, a, b: xp.where(a > b, b, a),
        (lambda xp, a, b, v, g: g * (b >= a), lambda xp, a, b, v, g: g * (a > b)),
        minimum,
        r"\min\left(%s, %s\right)",
        arity=2,
        plain=min,
        numpy="np.minimum({0}, {1})",
        lepton="min({0}, {1})",
    ),
    Function("relu", lambda xp, a: 0.5 * (a + abs(a))),
    Function("log10", lambda xp, a: xp.log(a) / math.log(10)),
    Function("log2", lambda xp, a: xp.log(a) / math.log(2)),
    Function("log1p", lambda xp, a: xp.log(1 + a)),
    Function("log_abs", lambda xp, a: xp.log(abs(a))),
    Function("log10_abs", lambda xp, a: xp.log(abs(a)) / math.log(10)),
    Function("log2_abs", lambda xp, a: xp.log(abs(a)) / math.log(2)),
    Function("sqrt_abs", lambda xp, a: xp.sqrt(abs(a))),
)
FUNCTIONS = {f.name: f for f in _TABLE}
# in texts of others: as PySR's versions spell them, and sympy
ALIASES = {"safe_log": "log", "safe_sqrt": "sqrt", "safe_pow": "pow", "safe_asin": "asin", "safe_acos": "acos"}
ALIASES |= {"safe_acosh": "acosh", "safe_atanh": "atanh", "safe_log10": "log10", "safe_log2": "log2"}
ALIASES |= {"safe_log1p": "log1p", "atanh_clip": "atanh", "acosh_abs": "acosh", "logm": "log_abs", "sqrtm": "sqrt_abs"}
ALIASES |= {"plus": "+", "sub": "-", "mult": "*", "div": "/", "Abs": "abs", "Max": "max", "Min": "min", "ln": "log"}
HEADS = {f.head: f for f in _TABLE if f.head is not None}
OPERATORS = tuple(f.name for f in _TABLE if f.operon is not None or f.pysr is not None)  # that a search may use
