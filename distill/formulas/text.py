"""Formulas as text: a small parser that cannot run code, and a printer.

Formulas arrive in files that others wrote (PySR's ``hall_of_fame.csv``, a ``law.json``), so they are read
by a hand-written recursive-descent parser with caps on length, depth and exponents, never by Python.

Grammar (lowest to highest)::

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = ("+" | "-") signed | power
    power   = atom (("^" | "**") signed)?            # right-associative, binds tighter than a sign
    atom    = number | variable | function "(" sum ("," sum)* ")" | "(" sum ")"
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

from distill.files.properties import KNOWN
from distill.formulas.functions import ALIASES, FUNCTIONS, HEADS, Function
from distill.shell.errors import UserError, near_miss

MAX_LENGTH, MAX_TOKENS, MAX_DEPTH = 4000, 1500, 60
MAX_POWER = 128  # largest total power that nested exponents may reach
_TOKEN = re.compile(r"\s*((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|\*\*|[-+*/^(),])", re.ASCII)


def symbols_for(names: Sequence[str]) -> list[sp.Symbol]:
    """One symbol a name: ``r`` and properties known as positive are, so that powers merge; others are real."""
    stems = "|".join(f"{p.symbol}|{p.name}" for p in KNOWN.values() if p.positive)
    positive = re.compile(rf"r|({stems})(\d+|_\w+)?")
    return [sp.Symbol(n, positive=True) if positive.fullmatch(n) else sp.Symbol(n, real=True) for n in names]


def parse(text: str, variables: Sequence[str]) -> sp.Expr:
    """Read a formula in ``variables``; numbers with a point or an exponent become free ``Float`` constants.

    Accepts Python's and PySR's spelling (``^`` or ``**``, ``square(x)``, ``inv(x)``, ``safe_log(x)`` ...).
    Nothing in ``text`` is executed. Raises ``UserError`` (one line) for anything else, at once.
    """
    return _Parser(text, variables).run()


class _Parser:
    """State of one parse; every method returns ``(expression, power)``, see ``MAX_POWER``."""

    def __init__(self, text, variables):
        if not isinstance(text, str):
            raise UserError(f"a formula must be text, not {type(text).__name__}")
        self.text = text
        if len(text) > MAX_LENGTH:
            raise self.error(f"{len(text)} characters long, at most {MAX_LENGTH} are read")
        self.symbols = dict(zip(variables, symbols_for(variables), strict=True))
        self.tokens, self.i, self.depth = self.split(text), 0, 0

    def error(self, what):
        shown = ascii(self.text if len(self.text) <= 60 else self.text[:57] + "...")
        return UserError(f"cannot read the formula {shown}: {what}")

    def split(self, text):
        tokens, at, text = [], 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise self.error(f"unexpected {ascii(text[at:].lstrip()[:1])}")
            tokens.append(found.group(1))
            at = found.end()
        if len(tokens) > MAX_TOKENS:
            raise self.error(f"{len(tokens)} symbols, at most {MAX_TOKENS} are read")
        return tokens

    def run(self):
        try:
            expr, _ = self.sum()
            if self.i < len(self.tokens):
                raise self.error(f"unexpected '{self.tokens[self.i]}'")
            if expr.has(sp.zoo, sp.nan, sp.oo, -sp.oo, sp.I):
                raise self.error("it has no finite real value")
            if not all(math.isfinite(float(v)) for v in expr.atoms(sp.Number)):
                raise self.error("a constant overflows")
        except (OverflowError, ZeroDivisionError, ValueError, TypeError, RecursionError) as exc:
            raise self.error(f"it has no finite real value ({exc})") from None
        return expr

    def peek(self):
        return self.tokens[self.i] if self.i < len(self.tokens) else ""

    def take(self, *wanted):
        if self.peek() in wanted:
            self.i += 1
            return self.tokens[self.i - 1]
        return ""

    def expect(self, token):
        if not self.take(token):
            raise self.error(f"'{token}' expected " + (f"before '{self.peek()}'" if self.peek() else "at the end"))

    def sum(self):
        terms, power = [], 1
        sign = "+"
        while sign:
            term, p = self.product()
            terms.append(-term if sign == "-" else term)
            power = max(power, p)
            sign = self.take("+", "-")
        return (terms[0] if len(terms) == 1 else sp.Add(*terms)), power

    def product(self):
        expr, power = self.signed()
        while op := self.take("*", "/"):
            other, p = self.signed()
            expr, power = (expr * other if op == "*" else expr / other), max(power, p)
        return expr, power

    def signed(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        if op := self.take("+", "-"):
            expr, power = self.signed()
            expr = -expr if op == "-" else expr
        else:
            expr, power = self.atom()
            if self.take("^", "**"):
                expr, power = self.power(expr, power, *self.signed())
        self.depth -= 1
        return expr, power

    def power(self, base, base_power, exponent, exponent_power):
        """Numbers are raised as floats and exponents capped, so that 9**9**9**9 costs nothing."""
        if not exponent.is_number:
            return base**exponent, base_power + exponent_power
        value = float(exponent)
        power = base_power * max(1.0, abs(value))
        if not power <= MAX_POWER:
            raise self.error(f"a power above {MAX_POWER}")
        if exponent.is_Float and (2 * value).is_integer():
            exponent = sp.Rational(int(2 * value), 2)  # r^2.0 is structure, not a constant to fit
        return (self.numeric(lambda a, b: a**b, base, exponent) if base.is_number else base**exponent), power

    def numeric(self, function, *args):
        value = function(*(float(a) for a in args))
        if isinstance(value, complex) or not math.isfinite(value):
            raise self.error("it has no finite real value")
        whole = all(a.is_Integer for a in args) and float(value).is_integer() and abs(value) < 1e15
        return sp.Integer(int(value)) if whole else sp.Float(value)

    def atom(self):
        token = self.peek()
        if self.take("("):
            result = self.sum()
            self.expect(")")
            return result
        self.i += 1
        if token[:1].isdigit() or token[:1] == ".":
            if token.isdigit() and len(token) <= 15:
                return sp.Integer(int(token)), 1
            if not math.isfinite(value := float(token)):
                raise self.error(f"the number {token[:20]} is too large")
            return sp.Float(value), 1
        if token and (token[0].isalpha() or token[0] == "_"):
            if self.peek() == "(":
                return self.call(ALIASES.get(token, token))
            if token in self.symbols:
                return self.symbols[token], 1
            hint = near_miss(token, self.symbols) or f" (it may use {', '.join(self.symbols) or 'none'})"
            raise self.error(f"unknown variable '{token[:40]}'{hint}")
        raise self.error(f"unexpected '{token}'" if token else "it ends too early")

    def call(self, name):
        if name not in FUNCTIONS:
            raise self.error(f"unknown function '{name[:40]}'{near_miss(name, FUNCTIONS)}")
        self.expect("(")
        args = [self.sum()]
        while self.take(","):
            args.append(self.sum())
        self.expect(")")
        function = FUNCTIONS[name]
        if len(args) != function.arity:
            raise self.error(f"'{name}' takes {function.arity} argument{'s' * (function.arity > 1)}, {len(args)} given")
        if function.power or name in ("pow", "pow_abs"):
            base, p = args[0]
            exponent = (sp.Integer(function.power), 1) if function.power else args[1]
            return self.power(sp.Abs(base) if name == "pow_abs" else base, p, *exponent)
        exprs = [a for a, _ in args]
        if all(a.is_number for a in exprs):
            return self.numeric(function.number, *exprs), 1
        return function.symbolic(*exprs), max(p for _, p in args)


# ---------------------------------------------------------------- printing


def split_fraction(expr: sp.Expr) -> tuple[list, list]:
    """Factors above and below the line of a product; numbers stay above."""
    above, below = [], []
    for factor in sp.Mul.make_args(expr):
        if factor.is_Pow and factor.exp.is_number and factor.exp.is_negative and not factor.base.is_number:
            below.append(factor.base**-factor.exp)
        elif factor.is_Rational and factor.q != 1:
            below.append(sp.Integer(factor.q))
            above += [sp.Integer(factor.p)] if factor.p != 1 else []
        else:
            above.append(factor)
    return above, below


def is_product(expr: sp.Expr) -> bool:
    """A product, or a power that is written below a line."""
    return expr.is_Mul or bool(expr.is_Pow and expr.exp.is_number and expr.exp.is_negative and not expr.base.is_number)


def signed_fraction(expr: sp.Expr) -> tuple[str, list, list]:
    """("-" or "", factors above the line, factors below it) of a product; a 1 that is no constant is left out."""
    above, below = split_fraction(expr)
    sign = "-" if above and above[0].is_number and above[0].is_negative else ""
    if sign:
        above = [-above[0], *above[1:]]
    return sign, [a for a in above if a != 1 or a.is_Float], below


def written_sum(expr: sp.Expr, write) -> str:
    """The terms of a sum with signs between them, each by ``write`` (term, level): level 1 asks for brackets."""
    out = ""
    for term in sorted_terms(expr):
        negative = term.could_extract_minus_sign()
        part = write(-term if negative else term, 1 if (-term).is_Add else 0)
        out += f" {'-' if negative else '+'} {part}" if out else ("-" if negative else "") + part
    return out


def sorted_terms(expr: sp.Expr) -> list:
    """Terms of a sum in a fixed reading order: variables first, the constant last."""
    return sorted(expr.args, key=lambda t: (t.is_number, sp.default_sort_key(t)))


@dataclass(frozen=True)
class Notation:
    """How formulas are spelled: ``number`` of an Integer or Float, ``symbol`` of a variable's name, ``call`` of a
    function and its written arguments, which is read as one factor.
    """

    number: Callable[[sp.Expr], str]
    symbol: Callable[[str], str] = str
    call: Callable[[Function, list[str]], str] = lambda function, arguments: f"{function.name}({', '.join(arguments)})"
    power: str = "^"


def to_text(expr: sp.Expr, digits: int = 10) -> str:
    """One line that ``parse`` reads back, constants with ``digits`` significant digits."""
    return written(expr, Notation(lambda number: _number(number, digits)))


def written(expr: sp.Expr, notation: Notation) -> str:
    """One line in ``notation``; ``ValueError`` for what no formula holds."""
    return _text(sp.Float(expr) if isinstance(expr, int | float) else expr, notation)


def _text(e, notation, level=0):
    """``level``: 0 nothing needed, 1 inside a product, 2 base or exponent of a power."""
    if e.is_Symbol:
        return notation.symbol(e.name)
    if e.is_Integer or e.is_Float:
        text = notation.number(e)
        return f"({text})" if text.startswith("-") and level or "e" in text and level == 2 else text
    if e.is_Rational:
        return f"({e.p}/{e.q})"
    if e.is_Add:
        out = written_sum(e, lambda term, inner: _text(term, notation, inner))
        return f"({out})" if level else out
    if is_product(e):
        sign, above, below = signed_fraction(e)
        out = sign + (" * ".join(_text(a, notation, 1) for a in above) or "1")
        under = " * ".join(_text(b, notation, 1) for b in below)
        if below:
            out += f" / ({under})" if len(below) > 1 or below[0].is_Mul else f" / {under}"
        return f"({out})" if level == 2 or (level and sign) or (level and below) else out
    if e.is_Pow:
        if e.exp == sp.S.Half:
            return notation.call(FUNCTIONS["sqrt"], [_text(e.base, notation)])
        out = f"{_text(e.base, notation, 2)}{notation.power}{_text(e.exp, notation, 2)}"
        return f"({out})" if level == 2 else out
    if e.func in HEADS:
        return notation.call(HEADS[e.func], [_text(a, notation) for a in e.args])
    if e.is_number:
        return _text(sp.Float(float(e)), notation, level)
    raise ValueError(f"{e.func.__name__} cannot be written as a formula")


def _number(e, digits):
    if e.is_Integer:
        return str(int(e))
    text = f"{float(e):.{digits}g}"
    return text if re.search(r"[.e]", text) else text + ".0"  # the point keeps it a free constant
