"""One curve for all pairs of levels, times a coefficient each: the best of such fits, from that of a curve for each.

Coefficients and curve enter as a product. Of the normal equations of all curves, which are there already, either is a
linear fit once the other is known: they are found in turns.
"""

import numpy as np

from distill.splines.dependence import COEFFICIENTS, Dependence, Weighted
from distill.splines.normal_equations import Model, Normal, penalty, solve

TURNS = 40
SETTLED = 1e-9  # change of coefficients of size one


def of_one_curve(of: Model, normal: Normal, coefficients: np.ndarray, smooth: float) -> Dependence | None:
    """From the normal equations of the model ``of`` with a curve for each of its functions, and the ``coefficients``
    that solve them. The functions of one product of numbers share a curve. None where none has more than one function.
    """
    size, functions = of.space.size, of.dependence.functions
    groups: dict[str, list[int]] = {}
    for k, function in enumerate(functions):
        groups.setdefault(function.numbers.name, []).append(k)
    if all(len(group) == 1 for group in groups.values()):
        return None
    gram, moment, rows = normal.gram.sum(0), normal.moment.sum(0), normal.rows.sum()
    rest = len(moment) - size * len(functions)
    rough = penalty(of, len(moment))
    curves = coefficients[: size * len(functions)].reshape(-1, size)
    weights = {}
    for name, group in groups.items():
        left, _, _ = np.linalg.svd(curves[group], full_matrices=False)
        weights[name] = left[:, 0] / left[np.argmax(np.abs(left[:, 0])), 0]

    def mapped(parts: list[np.ndarray]) -> np.ndarray:
        to = np.zeros((len(moment), sum(p.shape[1] for p in parts) + rest))
        at = 0
        for group, part in zip(groups.values(), parts, strict=True):
            for k, one in zip(group, np.split(part, len(group)), strict=True):
                to[k * size : (k + 1) * size, at : at + part.shape[1]] = one
            at += part.shape[1]
        to[size * len(functions) :, at:] = np.eye(rest)
        return to

    def solved(to: np.ndarray) -> np.ndarray:
        return solve(to.T @ gram @ to, to.T @ moment, to.T @ rough @ to, smooth, rows)

    for _ in range(TURNS):
        g = solved(mapped([np.kron(weights[name][:, None], np.eye(size)) for name in groups]))
        shared = g[: size * len(groups)].reshape(-1, size)
        parts = [np.kron(np.eye(len(group)), c[:, None]) for group, c in zip(groups.values(), shared, strict=True)]
        found, at, change = solved(mapped(parts)), 0, 0.0
        for name, group in groups.items():
            new, at = found[at : at + len(group)], at + len(group)
            new = new / new[np.argmax(np.abs(new))]
            change, weights[name] = max(change, np.abs(new - weights[name]).max()), new
        if change < SETTLED:
            break
    made = []
    for name, group in groups.items():
        some = tuple(functions[k] for k in group)
        made.append(Weighted(some, tuple(map(float, weights[name]))))
    return Dependence(COEFFICIENTS, tuple(made))
