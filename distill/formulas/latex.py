"""Formulas as LaTeX that both a paper and matplotlib's mathtext can set (no ``\\operatorname``)."""

import re

import sympy as sp

from distill.formulas.functions import HEADS
from distill.formulas.text import is_product, signed_fraction, written_sum

DIGITS = 4


def to_latex(expr: sp.Expr) -> str:
    """``expr`` in LaTeX without dollar signs, constants rounded to ``DIGITS`` significant digits."""
    return _latex(expr)


def _latex(e, level=0):
    """``level``: 0 nothing needed, 1 a factor (sums need brackets), 2 base of a power."""
    if e.is_Symbol:
        return _bracket(name_latex(e.name), level == 2 and "Delta" in name_latex(e.name))
    if e.is_Integer or e.is_Float:
        text = number_latex(float(e))
        return _bracket(text, level and text.startswith("-") or level == 2 and "times" in text)
    if e.is_Rational:
        return _bracket(rf"{'-' if e.p < 0 else ''}\frac{{{abs(e.p)}}}{{{e.q}}}", level == 2)
    if e.is_Add:
        return _bracket(written_sum(e, _latex), level > 0)
    if is_product(e):
        sign, above, below = signed_fraction(e)
        out = sign + (rf"\frac{{{_product(above)}}}{{{_product(below)}}}" if below else _product(above))
        return _bracket(out, level == 2 or (level and sign))
    if e.is_Pow:
        if e.exp == sp.S.Half:
            return _bracket(rf"\sqrt{{{_latex(e.base)}}}", level == 2)
        return _bracket(f"{_latex(e.base, 2)}^{{{_latex(e.exp)}}}", level == 2)
    if e.func in HEADS and (written := HEADS[e.func].latex) is not None:
        return written % tuple(_latex(x) for x in e.args)
    if e.is_number:
        return number_latex(float(e))
    raise ValueError(f"{e.func.__name__} cannot be written in LaTeX")


def _product(factors):
    if len(factors) == 1:
        return _latex(factors[0])
    factors = sorted(factors, key=lambda f: (not f.is_number, f.is_Add, sp.default_sort_key(f)))
    parts = [_latex(f, 1) for f in factors]
    return r" \, ".join(p for p in parts if p != "1") or "1"  # a constant that rounds to 1 is not shown


def _bracket(text, needed):
    return rf"\left({text}\right)" if needed else text


def number_latex(value: float) -> str:
    """``-1.2e-05`` as ``-1.2 \\times 10^{-5}``; trailing zeros dropped."""
    mantissa, _, exponent = f"{value:.{DIGITS}g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    if mantissa in ("1", "-1"):
        return power if mantissa == "1" else "-" + power
    return rf"{mantissa} \times {power}"


def name_latex(name: str) -> str:
    """``m_i`` stays, ``m1`` becomes ``m_{1}``, ``dx`` becomes ``\\Delta x``, ``mass_i`` ``\\mathrm{mass}_{i}``."""
    if name in ("dx", "dy", "dz"):
        return rf"\Delta {name[1]}"
    stem, _, index = name.partition("_")
    if not index and (found := re.fullmatch(r"([A-Za-z]+)(\d+)", stem)):
        stem, index = found.groups()
    stem = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}" if stem else "x"
    return f"{stem}_{{{index.replace('_', ',')}}}" if index else stem
