"""Numbers from arrays: coefficients of determination, linear fits, errors. No files, no plots."""

import numpy as np

KEPT = 0.9  # share of rows in trimmed fits and scores
ROUNDS = 15  # of reweighting, and of trimming


def r_squared(y: np.ndarray, fitted: np.ndarray) -> float:
    """1 - sum (y - fitted)^2 / sum (y - mean y)^2 over all entries; 0 for a constant ``y``."""
    total = float(((y - y.mean(0)) ** 2).sum())
    return 1.0 - float(((y - fitted) ** 2).sum()) / total if total > 0 else 0.0


def r_squared_trimmed(y: np.ndarray, fitted: np.ndarray) -> float:
    """``r_squared`` over the share ``KEPT`` of rows with the smallest errors."""
    error = np.linalg.norm(np.atleast_2d((y - fitted).T), axis=0)
    kept = error <= np.quantile(error, KEPT)
    return r_squared(y[kept], fitted[kept])


def typical_size(values: np.ndarray) -> float:
    """Median of |values|, of the rows that are not practically zero where most are (a force of short range
    has none on most pairs); positive.
    """
    size = np.abs(values)
    middle, high = np.quantile(size, [0.5, 0.95])
    if middle < 1e-3 * high:
        middle = np.median(size[size > 0.01 * high])
    return float(middle or size.mean() or 1.0)


WIDE = 1.75  # standard deviation of a logarithm: 1 for log-normal masses as in the paper, 2.7 over four decades


def spans_decades(values: np.ndarray) -> bool:
    """Whether positive ``values`` spread over so many decades that one typical size does not stand for all."""
    return bool(np.log(values).std() > WIDE)


def affine_fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ordinary least squares of y [row] on x [row, column] and 1; coefficients [column + 1]."""
    return np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]


def affine_fit_trimmed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Affine fit that minimises the squared residuals of the best ``KEPT`` share of rows.

    The released code of Cranmer et al. minimises the same trimmed sum with Powell's method; here
    least absolute deviations (reweighting) give the start and least trimmed squares the end.
    """
    design = np.column_stack([x, np.ones(len(x))])
    scale = np.median(np.abs(y - np.median(y))) or 1.0
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    for _ in range(ROUNDS):
        root = 1 / np.sqrt(np.abs(y - design @ coefficients) + 1e-4 * scale)
        coefficients = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    for _ in range(ROUNDS):
        residual = np.abs(y - design @ coefficients)
        kept = residual <= np.quantile(residual, KEPT)
        coefficients = np.linalg.lstsq(design[kept], y[kept], rcond=None)[0]
    return coefficients


def score_components(message: np.ndarray, target: np.ndarray) -> dict:
    """How linear each message component is in the vector ``target``.

    message [edge, D], target [edge, dim]. Each component is standardised, fitted as an affine
    function of the target, and scored: ``r2_all`` (least squares, all edges) and ``r2_trim90``
    (trimmed fit, scored on the 90 % it fits best: the paper's fit). Lists have one entry a component.
    """
    unit = 2.0 ** np.round(np.log2(typical_size(target)))  # forces of any size beside the 1 of the constant
    ones, target = np.ones((len(target), 1)), target / unit
    out = {"r2_all_components": [], "r2_trim90_components": [], "coefficients": []}
    for y in standardise(message).T:
        plain = np.hstack([target, ones]) @ affine_fit(target, y)
        coefficients = affine_fit_trimmed(target, y)
        trimmed = np.hstack([target, ones]) @ coefficients
        out["r2_all_components"].append(r_squared(y, plain))
        out["r2_trim90_components"].append(r_squared_trimmed(y, trimmed))
        out["coefficients"].append([*(coefficients[:-1] / unit).tolist(), float(coefficients[-1])])
    out["r2_all"] = float(np.mean(out["r2_all_components"]))
    out["r2_trim90"] = float(np.mean(out["r2_trim90_components"]))
    return out


def standardise(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1; constant columns become 0."""
    spread = columns.std(0)
    return (columns - columns.mean(0)) / np.where(spread > 0, spread, 1.0)


def channel_map(message: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Squared correlation [component, dim] of each message channel with each force component alone."""
    a, b = standardise(message), standardise(force)
    return (a.T @ b / len(a)) ** 2


def relative_errors(pred: np.ndarray, true: np.ndarray, least: float = 0.0) -> np.ndarray:
    """|pred - true| / |true| of vectors [..., dim] with |true| > ``least``."""
    size = np.linalg.norm(true, axis=-1)
    return np.linalg.norm(pred - true, axis=-1)[size > least] / size[size > least]


def acceleration_error(pred: np.ndarray, true: np.ndarray) -> float:
    """Mean over components of |pred - true| / (c + |true|), c the typical |true|; accelerations [row, dim]."""
    size = np.linalg.norm(true, axis=-1)
    return float((np.abs(pred - true) / (typical_size(size) + size)[..., None]).mean())


def beyond_noise(error: float, noise: float) -> float:
    """What an ``error`` would be without the part ``noise`` that the data's own errors, independent, make of it."""
    return float(np.sqrt(max(error - noise, 0.0)) * np.sqrt(error + noise)) if noise else error


def prediction_errors(pred: np.ndarray, true: np.ndarray, least: float = 0.0) -> dict:
    """Errors of accelerations [..., dim]: mae and r2 over components, median relative error of vectors longer than
    ``least`` (nan: there is none).
    """
    relative = relative_errors(pred, true, least)
    return {
        "mae": float(np.abs(pred - true).mean()),
        "median_relative_error": float(np.median(relative)) if relative.size else float("nan"),
        "r2": r_squared(true.reshape(-1), pred.reshape(-1)),
        "n": int(np.prod(true.shape[:-1])),
    }
