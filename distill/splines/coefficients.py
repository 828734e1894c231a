"""One curve for all pairs of levels, times a coefficient each: the best of such fits, from that of a curve for each.

Coefficients and curve enter as a product. Of the normal equations of all curves, which are there already, either is a
linear fit once the other is known: they are found in turns.
"""

import numpy as np

from distill.splines.dependence import COEFFICIENTS, Dependence, Weighted
from distill.splines.normal_equations import Model, Normal, penalty, solve

TURNS = 40
SETTLED = 1e-9  # change of coefficients of size one


class _Shared:
    """The functions of the model ``of`` by product of numbers, each of which has one curve."""

    def __init__(self, of: Model, width: int, smooth: float):
        self.size, self.functions, self.smooth = of.space.size, of.dependence.functions, smooth
        self.groups: dict[str, list[int]] = {}
        for k, function in enumerate(self.functions):
            self.groups.setdefault(function.numbers.name, []).append(k)
        self.curves, self.width = self.size * len(self.functions), width
        self.rough = penalty(of, width)

    def mapped(self, parts: list[np.ndarray]) -> np.ndarray:
        """All columns from fewer: of each group ``parts`` [function x size, column], and what is no curve."""
        wide = [p.shape[1] for p in parts]
        to = np.zeros((self.width, sum(wide) + self.width - self.curves))
        for group, part, at in zip(self.groups.values(), parts, np.cumsum([0, *wide[:-1]]), strict=True):
            for k, one in zip(group, np.split(part, len(group)), strict=True):
                to[k * self.size : (k + 1) * self.size, at : at + part.shape[1]] = one
        to[self.curves :, sum(wide) :] = np.eye(self.width - self.curves)
        return to

    def with_weights(self, weights: list[np.ndarray]) -> np.ndarray:
        return self.mapped([np.kron(w[:, None], np.eye(self.size)) for w in weights])

    def solved(self, to: np.ndarray, gram: np.ndarray, moment: np.ndarray, rows: float) -> np.ndarray:
        return solve(to.T @ gram @ to, to.T @ moment, to.T @ self.rough @ to, self.smooth, rows)

    def weights(self, gram: np.ndarray, moment: np.ndarray, rows: float, start: np.ndarray) -> list[np.ndarray]:
        """The coefficients of every group, the largest of them 1, from ``start``, all columns' coefficients."""
        curves, out = start[: self.curves].reshape(-1, self.size), []
        for group in self.groups.values():
            left = np.linalg.svd(curves[group], full_matrices=False)[0][:, 0]
            out.append(left / left[np.argmax(np.abs(left))])
        for _ in range(TURNS):
            g = self.solved(self.with_weights(out), gram, moment, rows)
            shared, each = g[: self.size * len(out)].reshape(-1, self.size), self.groups.values()
            found = self.solved(
                self.mapped([np.kron(np.eye(len(group)), c[:, None]) for group, c in zip(each, shared, strict=True)]),
                gram,
                moment,
                rows,
            )
            new = np.split(found[: len(self.functions)], np.cumsum([len(group) for group in each])[:-1])
            new = [w / w[np.argmax(np.abs(w))] for w in new]
            change, out = max(np.abs(a - b).max() for a, b in zip(new, out, strict=True)), new
            if change < SETTLED:
                break
        return out


def of_one_curve(of: Model, normal: Normal, coefficients: np.ndarray, smooth: float) -> Dependence | None:
    """From the normal equations of the model ``of`` with a curve for each of its functions, and the ``coefficients``
    that solve them. The functions of one product of numbers share a curve. None where none has more than one function.
    """
    shared = _Shared(of, len(coefficients), smooth)
    if all(len(group) == 1 for group in shared.groups.values()):
        return None
    weights = shared.weights(normal.gram.sum(0), normal.moment.sum(0), normal.rows.sum(), coefficients)
    made = []
    for group, own in zip(shared.groups.values(), weights, strict=True):
        made.append(Weighted(tuple(shared.functions[k] for k in group), tuple(map(float, own))))
    return Dependence(COEFFICIENTS, tuple(made))


def held_out_errors(of: Model, normal: Normal, coefficients: np.ndarray, smooth: float) -> tuple:
    """Mean squared error of each fold [fold] by curves fitted to the others, with coefficients of all folds and with
    those of the others.
    """
    shared = _Shared(of, len(coefficients), smooth)
    gram, moment, rows = normal.gram.sum(0), normal.moment.sum(0), normal.rows.sum()
    of_all = shared.weights(gram, moment, rows, coefficients)
    out = []
    for k in np.flatnonzero(normal.rows):
        others = gram - normal.gram[k], moment - normal.moment[k], rows - normal.rows[k]
        both = []
        for weights in (of_all, shared.weights(*others, coefficients)):
            to = shared.with_weights(weights)
            g = to @ shared.solved(to, *others)
            both.append((normal.square[k] - 2 * g @ normal.moment[k] + g @ normal.gram[k] @ g) / normal.rows[k])
        out.append(np.maximum(both, 0.0))
    return tuple(np.array(out).T)
