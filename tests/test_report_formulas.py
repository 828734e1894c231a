"""Formulas as the report sets them."""

import re

import pytest

from distill.report.page import display_fractions, formula


def test_formula_is_an_svg_of_paths_with_its_text():
    svg = formula(r"f = \frac{q_i \, q_j}{\left(r + 0.01\right)^{2}}", 24, "q_i*q_j/(r + 0.01)^2")
    assert svg.startswith("<svg") and 'd="M' in svg and "q_i*q_j/(r + 0.01)^2" in svg and "id=" not in svg
    narrow = formula("x" * 200, 24, limit=100)
    wide = formula("x" * 200, 24, limit=1e9)
    ratio = [float(re.search(r' width="([\d.]+)"', s).group(1)) for s in (narrow, wide)]
    assert ratio[0] == pytest.approx(0.6 * ratio[1], rel=1e-2)


def test_formula_that_cannot_be_set_is_shown_as_code():
    assert formula(r"\nonsense{", plain="a < b") == "<code>a &lt; b</code>"
    assert formula("", plain="empty") == "<code>empty</code>"


@pytest.mark.parametrize(
    "latex, expected",
    [
        (r"\frac{a}{b}", r"\dfrac{a}{b}"),
        (r"-\frac{\frac{1}{2} r}{b} + \frac{1}{r}", r"-\dfrac{\frac{1}{2} r}{b} + \dfrac{1}{r}"),
        (r"\sqrt{\frac{1}{r}}", r"\sqrt{\dfrac{1}{r}}"),
        (r"a \left\{\frac{1}{2}\right\}", r"a \left\{\dfrac{1}{2}\right\}"),
    ],
)
def test_outer_fractions_are_displayed(latex, expected):
    assert display_fractions(latex) == expected
