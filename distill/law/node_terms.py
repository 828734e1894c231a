"""Which node terms the data need beside the pair force, and how well they know them.

Standard errors are those of ``constants``: delete-group jackknife over trajectories, the pair law refitted each time. A
term stays if its value is ``SIGNIFICANT`` standard errors from zero and trajectories left out are predicted better
with it than without; the weakest goes first, and what is left is fitted again: a drag and a drag per mass may stand in
for each other.
"""

from dataclasses import replace

import numpy as np

from distill.files.storage import finite_or_none
from distill.formulas.units import Units
from distill.law.constants import groups, spread_of
from distill.law.receivers import Receivers, acceleration_objective, fit_node_terms, law_error
from distill.law.selection import Ground, final_fit
from distill.physics.law import Law
from distill.physics.terms import TERMS

SIGNIFICANT = 3.0  # standard errors
NEGLIGIBLE = 1e-6  # mean relative error of the accelerations: nothing is needed to be better than that


def needed(law: Law, ground: Ground) -> tuple[Law, dict, list[dict]]:
    """(``law`` with the node terms of ``ground`` that the data need; their standard errors by name, none where there
    are too few trajectories; those dropped, as ``kinds.DroppedTerm``).
    """
    dropped: list[dict] = []
    while law.node:
        errors = standard_errors(law, ground.many)
        weakest = sorted(law.node, key=lambda name: _strength(law.node[name], errors[name]))
        for name in weakest:
            less = ground.beside(tuple(n for n in law.node if n != name))
            without = replace(law, **dict(zip(("pair", "node"), final_fit(law.pair, less), strict=True)))
            strength = _strength(law.node[name], errors[name])
            with_it, without_it = (law_error(one, ground.held) for one in (law, without))
            if strength < SIGNIFICANT or without_it <= max(with_it, NEGLIGIBLE):
                why = f"{strength:.2g} standard errors from zero" if strength < SIGNIFICANT else "predicts no better"
                dropped.append({"name": name} | _json(law.node[name], errors[name]) | {"why": why})
                law = without
                break
        else:
            known = {
                name: _json(law.node[name], e)["standard_error"] for name, e in errors.items() if np.isfinite(e).all()
            }
            return law, known, dropped
    return law, {}, dropped


def of_data(errors: dict, dropped: list[dict], units: Units) -> tuple[dict, list[dict]]:
    """What ``needed`` says besides the law within ``units``, in those of the data."""

    def back(name, value):
        unit = TERMS[name].unit(units)
        if isinstance(value, list):
            return [None if v is None else v * unit for v in value]
        return None if value is None else value * unit

    told = [d | {k: back(d["name"], d[k]) for k in ("value", "standard_error")} for d in dropped]
    return {name: back(name, value) for name, value in errors.items()}, told


def standard_errors(law: Law, data: Receivers) -> dict[str, np.ndarray]:
    """Name of a node term -> standard errors of its numbers; NaN where there are too few trajectories."""
    names, fits = tuple(law.node), []
    size = np.linalg.norm(data.acc, axis=1)
    for keep in groups(data.trajectory):
        part = data.subset(keep)
        pair, _ = acceleration_objective(part, names, size[keep]).fit(law.pair, 20)
        found = fit_node_terms(pair, part, names)
        fits.append([np.atleast_1d(found[name]) for name in names])
    out = {}
    for k, name in enumerate(names):
        each = np.array([fit[k] for fit in fits])
        out[name] = spread_of(each, np.size(law.node[name]))
    return out


def _strength(value, error) -> float:
    """Of the number of a value that is furthest from zero, in standard errors; infinite where these are not known."""
    value, error = np.abs(np.atleast_1d(value)), np.atleast_1d(error)
    if not np.isfinite(error).all():
        return np.inf
    return float(np.max(value / np.maximum(error, 1e-300)))


def _json(value, error) -> dict:
    known = [finite_or_none(e) for e in np.atleast_1d(error)]
    if np.ndim(value) == 0:
        return {"value": float(value), "standard_error": known[0]}
    return {"value": [float(v) for v in value], "standard_error": known}
