"""Gauss-Newton steps for all states of observed trajectories and the constants of a law at once.

Every frame is a node of a multiple shooting (H. G. Bock, in Modelling of Chemical Reaction Systems, 1981): its state is
free, and what the law makes of it until the next frame has to meet the next state. A step solves

    min sum |w (z_k - x_k - dx_k)|^2    subject to    s_(k+1) + ds_(k+1) = flow(s_k) + Phi_k ds_k + G_k dc

over the states s = (x, v) and the numbers c of the law, z being what was seen. States are eliminated frame by frame,
the last first, by orthogonal transformations (G. J. Bierman, Factorization Methods for Discrete Sequential
Estimation, 1977), so nothing grows that the data do not hold; what is left are the normal equations of c, one set for
each piece, which give standard errors too. Where a stretch is cut (``tied`` false) the state behind it is free.
"""

from dataclasses import dataclass

import numpy as np

LOOSE = (
    1e-4  # weight of staying where a state is, in units of the weight of an observation: for what nothing determines
)


@dataclass
class Linear:
    """One piece each along the first axis. Residual rows ``R ds + Rc dc = b`` at frames that begin a tied stretch."""

    normal: np.ndarray  # [piece, number, number]
    right: np.ndarray  # [piece, number]
    heads: list  # (frame, pieces [head], R, Rc, b)


def eliminate(weights, missing, by_state, by_numbers, defect, tied) -> Linear:
    """``weights``, ``missing`` [piece, frame, row]: of positions, and what was seen less where they are; ``by_state``
    [piece, stretch, 2 rows, 2 rows], ``by_numbers`` [piece, stretch, 2 rows, number], ``defect`` [piece, stretch,
    2 rows]: of the flow from each frame to the next, the defect being where it leads less the next state; ``tied``
    [piece, stretch].
    """
    count, frames, rows = weights.shape
    size, numbers = 2 * rows, by_numbers.shape[-1]
    loose = LOOSE * np.max(weights, initial=1e-300)
    normal, right, heads = np.zeros((count, numbers, numbers)), np.zeros((count, numbers)), []
    M = np.zeros((count, size + rows + size, size + numbers + 1))
    carried = np.zeros((count, size, size + numbers + 1))
    row = np.arange(rows)
    everyone = np.arange(count)
    for k in range(frames - 1, -1, -1):
        M[:] = 0.0
        M[:, :size] = carried
        M[:, size + row, row] = weights[:, k]
        M[:, size + row, -1] = weights[:, k] * missing[:, k]
        begins = everyone if k == 0 else np.flatnonzero(~tied[:, k - 1])
        M[begins[:, None], size + rows + np.arange(size), np.arange(size)] = loose
        R = np.linalg.qr(M if len(begins) else M[:, : size + rows], mode="r")
        rest = R[:, size:, size:]
        square = rest.transpose(0, 2, 1) @ rest
        normal += square[:, :numbers, :numbers]
        right += square[:, :numbers, -1]
        if len(begins):
            head = R[begins, :size]
            heads.append((k, begins, head[..., :size], head[..., size:-1], head[..., -1]))
        if k:
            top = R[:, :size]
            carried[..., :size] = top[..., :size] @ by_state[:, k - 1]
            carried[..., size:-1] = top[..., size:-1] + top[..., :size] @ by_numbers[:, k - 1]
            carried[..., -1] = top[..., -1] - (top[..., :size] @ defect[:, k - 1, :, None])[..., 0]
            carried[begins] = 0.0
    return Linear(normal, right, heads)


def back(linear: Linear, change, by_state, by_numbers, defect, tied) -> np.ndarray:
    """The step of the states [piece, frame, 2 rows] that goes with a ``change`` [number] of the numbers."""
    count, stretches, size = defect.shape
    step = np.zeros((count, stretches + 1, size))
    for k, begins, R, Rc, b in linear.heads:
        step[begins, k] = np.linalg.solve(R, (b - Rc @ change)[..., None])[..., 0]
    for k in range(stretches):
        moved = (by_state[:, k] @ step[:, k, :, None])[..., 0] + by_numbers[:, k] @ change + defect[:, k]
        step[:, k + 1] = np.where(tied[:, k, None], moved, step[:, k + 1])
    return step
