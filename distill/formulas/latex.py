"""Formulas as LaTeX that both a paper and matplotlib's mathtext can set (no ``\\operatorname``)."""

import re

import sympy as sp

from distill.formulas.functions import HEADS
from distill.formulas.text import sorted_terms, split_fraction


def to_latex(expr: sp.Expr, digits: int = 4) -> str:
    """``expr`` in LaTeX without dollar signs, constants rounded to ``digits`` significant digits."""
    return _latex(expr, digits)


def _latex(e, digits, level=0):
    """``level``: 0 nothing needed, 1 a factor (sums need brackets), 2 base of a power."""
    if e.is_Symbol:
        return _bracket(name_latex(e.name), level == 2 and "Delta" in name_latex(e.name))
    if e.is_Integer or e.is_Float:
        text = number_latex(float(e), digits)
        return _bracket(text, level and text.startswith("-") or level == 2 and "times" in text)
    if e.is_Rational:
        return _bracket(rf"{'-' if e.p < 0 else ''}\frac{{{abs(e.p)}}}{{{e.q}}}", level == 2)
    if e.is_Add:
        out = ""
        for term in sorted_terms(e):
            negative = term.could_extract_minus_sign()
            part = _latex(-term if negative else term, digits, 1 if (-term).is_Add else 0)
            out += f" {'-' if negative else '+'} {part}" if out else ("-" if negative else "") + part
        return _bracket(out, level > 0)
    if e.is_Mul or (e.is_Pow and e.exp.is_number and e.exp.is_negative and not e.base.is_number):
        above, below = split_fraction(e)
        sign = ""
        if above and above[0].is_number and above[0].is_negative:
            sign, above = "-", [-above[0], *above[1:]]
        above = [a for a in above if a != 1 or a.is_Float]
        if below:
            out = rf"{sign}\frac{{{_product(above, digits)}}}{{{_product(below, digits)}}}"
        else:
            out = sign + _product(above, digits)
        return _bracket(out, level == 2 or (level and sign))
    if e.is_Pow:
        if e.exp == sp.S.Half:
            return _bracket(rf"\sqrt{{{_latex(e.base, digits)}}}", level == 2)
        return _bracket(f"{_latex(e.base, digits, 2)}^{{{_latex(e.exp, digits)}}}", level == 2)
    if e.func in HEADS:
        return HEADS[e.func].latex % tuple(_latex(x, digits) for x in e.args)
    if e.is_number:
        return number_latex(float(e), digits)
    raise ValueError(f"{e.func.__name__} cannot be written in LaTeX")


def _product(factors, digits):
    if len(factors) == 1:
        return _latex(factors[0], digits)
    factors = sorted(factors, key=lambda f: (not f.is_number, f.is_Add, sp.default_sort_key(f)))
    parts = [_latex(f, digits, 1) for f in factors]
    return r" \, ".join(p for p in parts if p != "1") or "1"  # a constant that rounds to 1 is not shown


def _bracket(text, needed):
    return rf"\left({text}\right)" if needed else text


def number_latex(value: float, digits: int = 4) -> str:
    """``-1.2e-05`` as ``-1.2 \\times 10^{-5}``; trailing zeros dropped."""
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
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
