"""Gradient-boosted trees (scikit-learn) as a test whether anything can be predicted, on rows held out."""

import numpy as np


def some_groups(groups: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """[row] true for the rows of ``count`` of the ``groups`` [row] (one at least), drawn at random: rows of one
    trajectory are alike and must not stand on both sides.
    """
    return np.isin(groups, rng.permutation(np.unique(groups))[: max(1, count)])


def predicted(X: np.ndarray, y: np.ndarray, held: np.ndarray, seed: int, rounds: int, **options) -> np.ndarray:
    """``y`` [row] of the rows ``held`` [row] predicted from ``X`` [row, feature] by trees fitted to the others."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(max_iter=rounds, early_stopping=False, random_state=seed, **options)
    return trees.fit(X[~held], y[~held]).predict(X[held])
