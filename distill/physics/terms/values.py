"""What multiplies the vector of a term: a number, a vector of numbers, or functions.

A function is a formula (a sympy expression) or, of a system written in Python, a ``Given``. A term with several
components takes a tuple of them, one of a force about a centre an ``About``. SymPy is loaded where a formula is met
first.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SEPARATOR = r",\,"  # of components in LaTeX


@dataclass(frozen=True)
class Given:
    """A function of the variables ``names``, in this order, of arrays of one shape, numpy's or JAX's. Of a term with
    several components it may return all of them, as a tuple.
    """

    function: Callable
    names: tuple[str, ...]


@dataclass(frozen=True)
class About:
    """``strength``, a number or a function of the distance ``s`` from ``centre`` (and of more): along x_i - centre."""

    centre: tuple[float, ...]
    strength: object


def is_nothing(value) -> bool:
    """Whether a number, a formula or a strength is zero: SymPy's ``Float(0) == 0`` is false."""
    return all(float(part) == 0 if is_number(part) else bool(getattr(part, "is_zero", False)) for part in parts(value))


def parts(value) -> tuple:
    """The numbers and functions that ``value`` consists of."""
    if isinstance(value, About):
        return (value.strength,)
    return tuple(value) if isinstance(value, tuple | list | np.ndarray) and np.ndim(value) else (value,)


def is_number(part) -> bool:
    return isinstance(part, int | float | np.number) or (isinstance(part, np.ndarray) and part.ndim == 0)


def is_constant(value) -> bool:
    """Whether it consists of numbers: then it is linear in them."""
    return not isinstance(value, About) and all(is_number(part) for part in parts(value))


def names_in(value) -> tuple[str, ...]:
    """Names of the variables that ``value`` depends on, by alphabet; of a ``Given`` in its own order."""
    found = []
    for part in parts(value):
        if isinstance(part, Given):
            found += part.names
        elif not is_number(part):
            found += sorted(symbol.name for symbol in part.free_symbols)
    return tuple(dict.fromkeys(found))


def evaluated(part, variable: Callable, xp=np):
    """One part of a value: a number as it is, a function of arrays; ``variable(name)`` gives its arguments.

    Values of a bad formula that are not finite are returned as they are.
    """
    if is_number(part):
        return part
    names = names_in(part)
    arrays = [variable(name) for name in names]
    if isinstance(part, Given):
        found = part.function(*arrays)
        if xp is not np:
            return found
        return tuple(map(np.asarray, found)) if isinstance(found, tuple | list) else np.asarray(found)
    if xp is not np:
        return _compiled(part, names, xp)(*arrays)
    with np.errstate(all="ignore"):
        return _compiled(part, names, xp)(*arrays)


@functools.lru_cache(maxsize=1024)
def _compiled(formula, names: tuple[str, ...], xp) -> Callable:
    from distill.formulas.program import compile_with

    return compile_with(formula, names, xp)


def part_text(part) -> str:
    """A number with six digits, or a formula."""
    if is_number(part):
        return f"{float(part):.6g}"
    if isinstance(part, Given):
        return f"{getattr(part.function, '__name__', 'f')}({', '.join(part.names)})"
    from distill.formulas.text import to_text

    return to_text(part)


def part_latex(part) -> str:
    from distill.formulas.latex import number_latex, to_latex

    if is_number(part):
        return number_latex(float(part))
    return rf"\mathrm{{{part_text(part)}}}" if isinstance(part, Given) else to_latex(part)
