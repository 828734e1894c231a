"""Fast evaluation of a formula, with derivatives, and without generating code.

A sympy tree becomes a list of instructions over numbered slots (inputs first, then constants, then one
slot for every different sub-expression). The same list runs on numpy, torch or jax arrays. All operations
work element by element, so one backward sweep gives the derivative of every row with respect to every
slot: that is the Jacobian for the constants, and the first-order effect of changing any node.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sympy as sp

from distill.formulas.functions import FUNCTIONS, HEADS, Function


def _power(x, n):
    """``x**n`` for a whole n >= 1 by repeated squaring: far cheaper than ``pow``."""
    result = None
    while True:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if not n:
            return result
        x = x * x


class Program:
    """``expr`` as instructions over the ``inputs`` (symbols, in the order of the arguments of ``values``).

    Raises ``ValueError`` for a symbol that is not an input or a function that is not supported.
    ``nodes`` maps every sub-expression that has a slot of its own to that slot.
    """

    def __init__(self, expr: sp.Expr, inputs: Sequence[sp.Symbol]):
        self.inputs = list(inputs)
        self.nodes = {s: i for i, s in enumerate(self.inputs)}
        # (operation, slots of its arguments, 0) or (None, [slot], whole power); fills the next slot
        self.code: list[tuple[Function | None, tuple, int] | None] = []
        self.constants: dict[int, float] = {}  # by slot
        self.size = len(self.inputs)
        self.output = self._slot(expr)

    def _emit(self, name, *args, n=0):
        self.code.append((None if n else FUNCTIONS[name], args, n))
        self.size += 1
        return self.size - 1

    def _slot(self, e):
        if e not in self.nodes:
            self.nodes[e] = self._build(e)
        return self.nodes[e]

    def _chain(self, op, slots):
        out = slots[0]
        for slot in slots[1:]:
            out = self._emit(op, out, slot)
        return out

    def _build(self, e):
        if e.is_number:
            self.code.append(None)
            self.constants[self.size] = float(e)
            self.size += 1
            return self.size - 1
        if e.is_Symbol:
            raise ValueError(f"'{e.name}' is not an input")
        if e.is_Add:
            plus = [self._slot(a) for a in e.args if not _negated(a)]
            minus = [self._slot(-a) for a in e.args if _negated(a)]
            out = self._chain("+", plus) if plus else self._emit("neg", minus.pop(0))
            return self._chain("-", [out, *minus])
        if e.is_Mul:
            above = [self._slot(a) for a in e.args if not _inverse(a) and a != -1]
            below = [self._slot(_reciprocal(a)) for a in e.args if _inverse(a)]
            out = self._chain("*", above) if above else self._slot(sp.S.One)
            if below:
                out = self._emit("/", out, self._chain("*", below))
            return self._emit("neg", out) if -1 in e.args else out
        if e.is_Pow:
            if _inverse(e):
                return self._emit("/", self._slot(sp.S.One), self._slot(_reciprocal(e)))
            base = self._slot(e.base)
            if e.exp.is_Integer:
                return self._emit("pow", base, n=int(e.exp))
            if e.exp == sp.S.Half:
                return self._emit("sqrt", base)
            return self._emit("pow", base, self._slot(e.exp))
        if e.func in HEADS:
            return self._emit(HEADS[e.func].name, *(self._slot(a) for a in e.args))
        raise ValueError(f"{e.func.__name__} cannot be evaluated")

    def values(self, arrays: Sequence, xp=np) -> list:
        """The value of every slot; arrays broadcast against each other as usual."""
        slots = list(arrays)
        for instruction in self.code:
            slots.append(self.constants[len(slots)] if instruction is None else _run(xp, instruction, slots))
        return slots

    def gradients(self, slots: list) -> list:
        """d output[row] / d slot[row] of every slot (``None``: no influence), from ``values``."""
        return self._backward(slots, range(self.size - 1, len(self.inputs) - 1, -1), None)

    def _backward(self, slots, order, wanted):
        """As ``gradients`` for the slots of ``order`` (outputs of instructions, last first) and their arguments,
        those for which ``wanted`` [slot] is true (None: all but constants).
        """
        grads: list = [None] * self.size
        first = len(self.inputs)
        grads[self.output] = 1.0
        for out in order:
            instruction, g = self.code[out - first], grads[out]
            if instruction is None or g is None:
                continue
            function, args, n = instruction
            values = [slots[a] for a in args]
            for k, a in enumerate(args):
                if a in self.constants if wanted is None else not wanted[a]:
                    continue
                if n:
                    part = g * n * (_power(values[0], n - 1) if n > 1 else 1.0)
                else:
                    part = function.slopes[k](np, *values, slots[out], g)
                grads[a] = part if grads[a] is None else grads[a] + part
        return grads


def _run(xp, instruction, slots):
    """The value of one instruction."""
    function, args, n = instruction
    if n:
        return _power(slots[args[0]], n)
    return function.value(xp, *[slots[a] for a in args])


class Fixed:
    """A ``program`` whose first inputs stay at the arrays ``fixed``: what depends on nothing else is evaluated
    once, and derivatives are taken with respect to the other inputs only. Numpy.
    """

    def __init__(self, program: Program, fixed: Sequence):
        self.program, self.first = program, len(fixed)
        self.slots = [*fixed, *[None] * (program.size - len(fixed))]
        self.moves = [k >= self.first for k in range(len(program.inputs))]
        self.moving = []  # slots of the instructions that are run again
        for out, instruction in enumerate(program.code, len(program.inputs)):
            self.moves.append(instruction is not None and any(self.moves[a] for a in instruction[1]))
            if self.moves[out]:
                self.moving.append((out, instruction))
            else:
                self.slots[out] = program.constants[out] if instruction is None else _run(np, instruction, self.slots)
        self.backward = [out for out, _ in reversed(self.moving)]

    def values(self, inputs: Sequence) -> list:
        """The value of every slot, the other inputs being ``inputs``."""
        slots = self.slots.copy()
        slots[self.first : self.first + len(inputs)] = inputs
        for out, instruction in self.moving:
            slots[out] = _run(np, instruction, slots)
        return slots

    def gradients(self, slots: list) -> list:
        """d output[row] / d input of the other inputs (``None``: no influence), from ``values``."""
        grads = self.program._backward(slots, self.backward, self.moves)
        return grads[self.first : len(self.program.inputs)]

    def gradients_of(self, which: Sequence[int]) -> Callable[[list], list]:
        """As ``gradients`` for the other inputs with the numbers ``which`` only: a function of the slots, which spares
        what these do not need.
        """
        inputs = [self.first + k for k in which]
        wanted = [k in inputs for k in range(len(self.program.inputs))]
        for _, args, *_ in (i or (None, ()) for i in self.program.code):
            wanted.append(any(wanted[a] for a in args))
        order = [out for out in self.backward if wanted[out]]

        def gradients(slots):
            grads = self.program._backward(slots, order, wanted)
            return [grads[k] for k in inputs]

        return gradients


def _negated(e):
    return e.is_Mul and e.args[0] == -1


def _inverse(e):
    return e.is_Pow and e.exp.is_number and bool(e.exp.is_negative) and not e.base.is_number


def _reciprocal(e):
    """1 / ``e`` of a power for which ``_inverse`` holds, without sympy's search for simplifications."""
    exponent = -e.exp
    return e.base if exponent is sp.S.One else sp.Pow(e.base, exponent, evaluate=False)


def compile_numpy(expr: sp.Expr, variables: Sequence[str | sp.Symbol]):
    """``f(*arrays) -> array`` for a formula; one argument a variable, in order; rows where it is undefined
    give NaN or infinity in silence. Raises ``ValueError`` if ``expr`` uses anything else.
    """
    f = compile_with(expr, variables, np)

    def evaluate(*arrays):
        columns = [np.asarray(a, dtype=float) for a in arrays]
        with np.errstate(all="ignore"):
            return f(*columns)

    return evaluate


def compile_with(expr: sp.Expr, variables: Sequence[str | sp.Symbol], xp):
    """As ``compile_numpy`` for any array module with numpy's names: ``torch``, ``jax.numpy``."""
    by_name = {s.name: s for s in expr.free_symbols}
    inputs = [by_name.get(str(v), sp.Symbol(str(v))) for v in variables]
    program = Program(expr, inputs)

    def evaluate(*arrays):
        if len(arrays) != len(inputs):
            raise TypeError(f"{len(inputs)} arrays expected ({', '.join(map(str, inputs))})")
        value = program.values(arrays, xp)[program.output]
        for a in arrays:  # a formula without some variable must still have one value a row
            value = value + 0.0 * a if not _same_shape(value, a) else value
        return value

    return evaluate


def _same_shape(value, array):
    return getattr(value, "shape", None) == getattr(array, "shape", ())
