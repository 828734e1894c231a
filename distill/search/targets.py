"""The targets of symbolic regression: which rows and features each has, and its front on disk."""

import hashlib
import io
import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import sympy as sp

from distill.files import records
from distill.files.kinds import FrontRecord
from distill.files.properties import category_of, of_edges, of_receivers, property_named
from distill.files.provenance import sha256, sha256_of
from distill.files.storage import finite_or_none, is_there, save_together
from distill.formulas.text import parse, to_text
from distill.formulas.tree import canonical
from distill.formulas.units import ONE, Units
from distill.messages import read_out, roles
from distill.physics.law import AXES
from distill.physics.terms import direction
from distill.physics.terms.cases import Group
from distill.search import node_function
from distill.search.choice import NETWORK_PRICE
from distill.search.direct import search
from distill.search.engine import SearchOptions, unit_charges
from distill.search.front import Front
from distill.search.hall_of_fame import hall_text, read_hall_of_fame
from distill.search.registry import load_engine
from distill.search.shared import search_shared
from distill.shell.errors import UserError
from distill.shell.paths import relative

MORE_OPERATORS = ("log",)  # of energies: that of a force 1/r


def knows(engine: str, operator: str) -> bool:
    """Whether an engine searches with that operator."""
    return operator in load_engine(engine).operators


@dataclass
class Target:
    """``features`` name -> [row], ``y`` [row]: one formula y = f(features) to search for."""

    name: str
    features: dict
    y: np.ndarray
    overrides: dict = field(default_factory=dict)  # of the search options
    components: tuple | None = None  # (messages [row, component], dx/r [row, dim]) instead of ``y``
    units: Units = ONE  # in which it is searched; the target has the ``unit``
    unit: float = 1.0
    more: tuple[str, ...] = ()  # operators beside those of the search, where its engine has them

    def __post_init__(self):
        self.overrides = {"node_price": NETWORK_PRICE} | self.overrides

    def digest(self) -> str:
        """SHA-256 of what is searched: the read-out may have changed where the messages have not."""
        found = hashlib.sha256(",".join(self.features).encode())
        for array in (*self.features.values(), self.y, *(self.components or ())):
            found.update(np.ascontiguousarray(array, "<f8").tobytes())
        if self.units != ONE:
            found.update(repr((sorted(self.units.of.items()), self.unit)).encode())
        return found.hexdigest()


def rows_drawn(messages: dict, rows: int, seed: int) -> np.ndarray:
    """Numbers of the edges that searches see, the same for every estimate of the force."""
    edges = roles.edges_of("search", messages, seed)
    return edges[np.random.default_rng([seed, 41]).permutation(len(edges))[:rows]]


def radial_target(
    name: str, messages: dict, force: np.ndarray, rows: int = 4000, seed: int = 0, units: Units = ONE
) -> Target:
    """The radial part of an estimate ``force`` [edge, dim] of the pair force, as a function of the pair's variables."""
    return radial_targets(name, messages, force, (), rows, seed, units)[0]


def _radial(name, messages, force, edges, share, units) -> Target:
    unit = direction(messages["dx"][edges].astype(float), messages["r"][edges].astype(float))
    features = {k: v for k, v in of_edges(messages, edges).items() if category_of(k) is None}
    return Target(name, varying(features), (force[edges] * unit).sum(1) / share, units=units, unit=units.force)


def radial_targets(
    name: str, messages: dict, force: np.ndarray, groups: Sequence[Group], rows: int, seed: int, units: Units = ONE
) -> list[Target]:
    """``radial_target``, or one for each of the ``groups`` of pairs of levels, of which the radial force over what
    multiplies their function is searched. At most ``rows`` rows each.
    """
    return [
        _radial(each, messages, force, *some, units) for each, *some in _by_group(name, messages, groups, rows, seed)
    ]


def _by_group(name: str, messages: dict, groups: Sequence[Group], rows: int, seed: int) -> list[tuple]:
    """(name of its target, numbers of at most ``rows`` edges, what multiplies its function on them) of every group; one
    of all edges where there are no groups.
    """
    if not groups:
        edges = rows_drawn(messages, rows, seed)
        return [(name, edges, np.ones(len(edges)))]
    out, edges = [], rows_drawn(messages, len(messages["r"]), seed)
    for group in groups:
        share = group(of_edges(messages, edges))
        some = np.flatnonzero(share)[:rows]
        out.append((of_group(name, group), edges[some], share[some]))
    return out


def of_group(name: str, group: Group) -> str:
    """Of the target of a group."""
    return f"{name}_{group.name}"


def searches(
    wanted, messages, nodes, read, force, rows: int = 4000, seed: int = 0, units: Units = ONE, groups=()
) -> list[Target]:
    """The targets ``wanted``, of at most ``rows`` rows each, drawn at random with ``seed``, for a search in ``units``.

    radial: f of the read-out force, for each of the ``groups`` where there are any.
    component_k: the k-th most important message component.
    shared: one f behind the dim most important components, whatever their mixture (no accelerations needed).
    node: the network's a_i less the fitted uniform fields from R, the read-out's net force, v and properties, all axes
    in one (``node_function``); receivers of the trajectories that ``node_function.node_data`` holds out take no part.
    potential, kinetic: of messages that are energies, that of a pair counted from one distance, and that of a particle
    counted from the typical speed, as a function of its momentum p and properties; both know a logarithm beside the
    usual operators. The first is one for each of the ``groups``, as radial is; the second there is where things move.
    """
    edges = rows_drawn(messages, rows, seed)
    ends = of_edges(messages, edges)
    distance = {"r": ends.pop("r")}
    out = []
    if "radial" in wanted:
        out += radial_targets("radial", messages, force, groups, rows, seed, units)
    if "components" in wanted:
        dim = messages["dx"].shape[1]
        d = {f"d{a}": messages["dx"][edges, k].astype(float) for k, a in enumerate(AXES[:dim])}
        for k, c in enumerate(read_out.top_components(read_out.importance(messages), dim)):
            y = messages["message"][edges, c].astype(float)
            if np.ptp(y) > 0:
                out.append(Target(f"component_{k + 1}", varying(d | distance | ends), y, units=units))
    if "shared" in wanted:
        dim = messages["dx"].shape[1]
        top = read_out.top_components(read_out.importance(messages), dim)
        unit = direction(messages["dx"][edges].astype(float), distance["r"])
        both = messages["message"][edges][:, top].astype(float), unit
        out.append(Target("shared", varying(distance | ends), both[0][:, 0], {"loss": "mse"}, both, units))
    if "node" in wanted:
        data = node_function.node_data(messages, nodes, read, force, seed)
        pick = data.draw(False, max(1, rows // data.acc.shape[1]))
        overrides = {"restarts": 2, "min_restarts": 2, "max_complexity": node_function.MAX_COMPLEXITY}
        features, y = varying(data.features(pick)), data.target(pick)
        out.append(Target("node", features, y, overrides, units=units, unit=units.acceleration))
    if "potential" in wanted:
        for name, some, share in _by_group("potential", messages, groups, rows, seed):
            features = {k: v for k, v in of_edges(messages, some).items() if category_of(k) is None}
            energy = messages["energy_pair"][some].astype(float) / share
            out.append(Target(name, varying(features), energy, units=units, unit=units.energy, more=MORE_OPERATORS))
    if "kinetic" in wanted:
        own = {property_named(k).variables[0]: v for k, v in of_receivers(messages, edges).items()}
        speed = np.linalg.norm(messages["vel_i"][edges].astype(float), axis=1)
        features = {"p": own["m_i"] * speed} | {k: v for k, v in own.items() if category_of(k) is None}
        units = replace(units, of={**units.of, "p": units.momentum}) if units != ONE else units
        energy = messages["energy_self_i"][edges].astype(float)
        if np.ptp(features["p"]) > 0:  # not where nothing moves
            features = varying(features)
            out.append(Target("kinetic", features, energy, units=units, unit=units.energy, more=MORE_OPERATORS))
    return out


def varying(features: dict) -> dict:
    """The features that are not constant: a constant one tells nothing and invites nonsense."""
    kept = {k: v for k, v in features.items() if np.ptp(v) > 0}
    if not kept:
        raise UserError("all features of the symbolic regression are constant")
    return kept


def search_target(target: Target, options: SearchOptions) -> Front:
    """Run the search of one target; a function of its own so that it can run in another process."""
    columns, names = target.units.columns(target.features), list(target.features)
    X, options = np.column_stack(list(columns.values())), replace(options, **target.overrides)
    further = [name for name in target.more if name not in options.operators and knows(options.engine, name)]
    options = replace(options, operators=(*options.operators, *further))
    given = [to_text(target.units.formula(parse(f, names), target.unit), 17) for f in options.formulas]
    options = options if target.units == ONE and target.unit == 1 else replace(options, formulas=tuple(given))
    if target.components is None:
        return of_data(search(X, target.y / target.unit, names, options), target)
    front, A, b = search_shared(*target.components, X, names, options)
    front = of_data(front, target)
    front.info |= {"mixing": A.tolist(), "offset": b.tolist(), "mixing_is": "message = A (dx/r f) + b"}
    return front


def of_data(front: Front, target: Target) -> Front:
    """The ``front`` of a search in the units of ``target``, for its data as they are, without rows that cannot be
    written there: a high power of a distance may have a number before it that 64 bits hold in one unit only.
    ``UserError`` where no row can be.
    """
    rows = front.rows
    if target.units != ONE or target.unit != 1:
        columns = list(target.features.values())
        unit = bool(columns) and unit_charges(np.column_stack(columns), [*target.features])
        found = [canonical(target.units.of_data(row.expr, target.unit), unit) for row in rows]
        rows = [replace(row, equation=to_text(expr), expr=expr) for row, expr in zip(rows, found, strict=True)]
    kept = [k for k, row in enumerate(rows) if _is_text(row.expr)]
    if len(kept) == len(rows):
        return replace(front, rows=rows)
    if not kept:
        found = f"target {target.name}: none of the {len(rows)} formulas found can be written in the unit of the data"
        raise UserError(found, "choose other units of length, time or mass")
    chosen, best = (max(0, bisect_right(kept, k) - 1) for k in (front.chosen, front.info.get("best_pysr", 0)))
    info = front.info | ({"best_pysr": best} if "best_pysr" in front.info else {})
    return replace(front, rows=[rows[k] for k in kept], chosen=chosen, info=info)


def _is_text(expr: sp.Expr) -> bool:
    """Whether a formula can be read back: its constants are numbers and its powers not absurd."""
    try:
        return bool(parse(to_text(expr, 17), [symbol.name for symbol in expr.free_symbols]).is_finite is not False)
    except UserError:
        return False


def save_front(place: Path, front, target: Target, identity: dict):
    """Write ``hall_of_fame.csv`` and ``front.json`` to the folder ``place``; returns what ``load_front`` reads there: a
    search that was interrupted goes on with the same numbers.

    A csv of ours is never there without the JSON that holds its digest, whenever we are cut off: one that stands alone
    is somebody else's.
    """
    csv = hall_text(front.rows).encode()
    about = {
        "target": target.name,
        "identity": identity,
        "features": list(target.features),
        "engine": front.engine,
        "chosen": front.chosen,
        "why": front.why,
        "info": plain_info(front.info),
        "held_out": [None if r.held_out is None else finite_or_none(r.held_out) for r in front.rows],
        "formulas": [to_text(r.expr, 17) for r in front.rows],
        "losses": [finite_or_none(r.loss) for r in front.rows],
        "parameters": [r.parameters for r in front.rows],
        "front_sha256": sha256_of(io.BytesIO(csv)),
    }
    side = records.text(FrontRecord, about).encode()
    save_together({place / "front.json": side, place / "hall_of_fame.csv": csv})
    return load_front(place, target, identity)


def plain_info(info: dict) -> dict:
    return {k: finite_or_none(v) if isinstance(v, float) else v for k, v in info.items()}


def load_front(place: Path, target: Target, identity: dict):
    """The front a former run left in ``place``, or None if there is none from the same arguments; ``UserError`` where
    the csv there is not the one that was written: it is damaged or somebody else's, and not to be replaced unasked.
    """
    csv, side = place / "hall_of_fame.csv", place / "front.json"
    way_out = "add --overwrite to search again and replace it; to use its formulas, move it elsewhere and give it"
    way_out += " with --hall-of-fame FILE"
    if not is_there(csv):
        if os.path.lexists(csv):
            raise UserError(f"{relative(csv)} is no file", "move it away")
        return None
    if not side.is_file():
        raise UserError(f"{relative(csv)} was not written here: no front.json lies beside it", way_out)
    about = records.load(FrontRecord, side)
    if about.front_sha256 not in (None, sha256(csv)):
        raise UserError(f"{relative(csv)} is not what was written here: cut off, edited or another file", way_out)
    if about.identity != identity or about.features != list(target.features):
        return None
    try:
        rows = read_hall_of_fame(csv, list(target.features))
    except UserError as exc:
        raise UserError(exc.message, way_out) from None
    if len(rows) != len(about.held_out) or not 0 <= about.chosen < len(rows):
        raise UserError(f"{relative(csv)} does not belong to the front.json beside it", way_out)
    for row, held_out in zip(rows, about.held_out, strict=True):
        row.held_out = held_out
    if about.formulas:  # the csv is for readers, and has ten digits
        exact = zip(rows, about.formulas, about.losses, about.parameters, strict=True)
        for row, formula, loss, parameters in exact:
            row.expr, row.parameters = parse(formula, list(target.features)), parameters
            row.loss = math.inf if loss is None else loss
    return Front(rows, about.engine, about.chosen, about.why, about.info)
