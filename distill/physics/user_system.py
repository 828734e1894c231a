"""A system from a user's own Python file, for ``simulate.py --system-file``. Five lines are enough:

    import jax.numpy as jnp

    dt = 0.01
    law = "-3*m_i*m_j/(r + 0.1)^4"                       # optional: checked against the potential
    def potential(r, m_i, m_j, q_i, q_j):                # energy of one pair, softening included
        return -m_i * m_j / (r + 0.1) ** 3

A ``law`` may be given for every pair of levels of a category, receiver's and sender's: ``category = "species"`` and
``law = {("A", "A"): "1/r^2", ("A", "B"): "-1/r"}``; one order stands for both where the other is not there, and
zero for what is not there at all. To functions a level is a property, 1 for its particles and 0 for others:
``potential(r, species__A_i, species__A_j, species__B_i, species__B_j)``.

The arguments of ``potential`` after r may be named otherwise: ``spin_i, spin_j`` make ``spin`` a property of the
particles, drawn from N(0,1) unless ``initial`` gives it. A radial force that has no potential, because action is not
reaction or because it depends on the time, is a function ``force`` of the same arguments, and of ``t``, or only a
``law``:

    def force(r, m_j, t):                                # along x_i - x_j, positive: repulsive
        return -m_j * (1 + 0.5 * jnp.cos(3 * t)) / (r + 0.1)

Whatever else acts has the name of its term in ``distill.physics.terms`` and is a number, the text of a formula, or a
function of what it depends on, by the names of its arguments:

    relative_velocity = "0.5*exp(-r)"                    # times v_j - v_i; of r, m_i, m_j, q_i, q_j, ... and t
    approach, transverse                                 # along the line of centres, and across it in two dimensions
    drag = 0.1                                           # times -v_i; a function of v, x, y, z, m_i, ... and t
    magnetic = 1.5                                       # times q_i v_i x z; a vector in three dimensions
    constant_force, constant_acceleration = (0, -1), (1, 0)
    centre, central = (1.0, -0.5), "-2*s*exp(-s^2)"      # along x_i - centre; of the distance s from it, m_i, ... and t
    def field(x, y, m_i):                                # the components of a force of the place
        return -x, -3 * y

``external(pos, mass)`` is the energy ``[..., particle]`` in an outside field, from positions [..., particle, dim], from
which its force is found; with arguments named as those of ``field`` it takes what they name. Of forces without a
potential, what they do to the energy is integrated with the motion and holds it to account.

Or a whole ``SYSTEM = distill.physics.system.System(...)``. The other optional names are the fields of ``System``, such
as ``response``, what a particle does with its net force where that is not a = F/m: a name of ``responses.RESPONSES`` or
``{"alpha": "1/(m_i + s)"}``.
"""

import hashlib
import inspect
import re
import types
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from distill.files.properties import (
    KNOWN,
    USUAL,
    by_levels,
    category_of,
    level_names,
    of_pairs,
    ordered,
    usable,
    variables,
    with_symbol,
)
from distill.files.storage import read_file
from distill.physics.acting import Acting
from distill.physics.responses import response_of
from distill.physics.system import System, arguments, further_force, node_force, radial_force
from distill.physics.terms import NODE, PAIR, TERMS, Given, Pairs, State
from distill.physics.terms.arrays import import_jax
from distill.physics.terms.state import AXES, DISTANCE, SPEED, TIME
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative
from distill.statistics.metrics import typical_size

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # becomes part of file names
OPTIONAL = {f.name for f in fields(System)} - {"file", "file_sha256", "properties", "force", "terms"}
ACTING = (*(name for name in PAIR[1:] if not TERMS[name].displaced), *NODE)
OF_NODES = {*AXES, *(f"v{axis}" for axis in AXES), SPEED, DISTANCE, TIME, "pos", "vel"}


def digest(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_system(path) -> System:
    """The system a user's file defines, checked; raises ``UserError`` (one line) for whatever is wrong.

    Checked on a few distances and properties: finite, symmetric under exchange of i and j (or it is no
    pair potential), and, where a law is given, that the law is -dV/dr.
    """
    path, where = Path(path), relative(path)
    import_jax()  # before the file's own imports, so that its constants are 64-bit
    names = _run(path, where)
    system = names.get("SYSTEM")
    if system is None:
        system = _from_names(names, path, where)
    elif not isinstance(system, System):
        raise UserError(f"{where}: SYSTEM is a {type(system).__name__}, expected a distill.physics.system.System")
    if not isinstance(system.name, str) or not NAME.fullmatch(system.name):
        raise UserError(f"{where}: the name {system.name!r} is not made of letters, digits, - and _")
    _check_values(system, where)
    system = replace(system, held=tuple(system.held), file=str(path.resolve()), file_sha256=digest(path))
    try:
        _check_physics(system, where)
    except UserError as exc:
        told = exc.message if exc.message.startswith(where) else f"{where}: {exc.message}"
        raise UserError(told, exc.fix) from None
    except Exception as exc:  # the user's functions may raise anything
        raise UserError(f"{where}: the potential cannot be evaluated: {_one_line(exc)}") from None
    return system


def _run(path, where):
    try:
        code = read_file(path).decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{where} does not exist") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UserError(f"{where} cannot be read: {_one_line(exc)}") from None
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as exc:  # the user's code may raise anything, and must not end the stage
        line = getattr(exc, "lineno", None) or _line_in(exc, str(path))
        raise UserError(f"{where}, line {line or '?'}: {type(exc).__name__}: {_one_line(exc)}") from None
    return vars(module)


def _line_in(exc, path):
    found, trace = None, exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _one_line(exc):
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:160]


def _law_by_levels(names: dict, where) -> dict:
    """``names`` with the text of a ``law`` that was given for pairs of levels."""
    law, category = names["law"], names.get("category", "species")
    levels = [level for pair in law if isinstance(pair, tuple) for level in pair]
    if not (isinstance(category, str) and usable(category) and category_of(category) is None):
        raise UserError(f"{where}: category is {category!r}, expected a name such as 'species'")
    pairs = all(isinstance(pair, tuple) and len(pair) == 2 for pair in law) and all(
        isinstance(t, str) for t in law.values()
    )
    if not (pairs and levels and all(isinstance(v, str) and level_names([v]) == (v,) for v in levels)):
        raise UserError(f'{where}: law is a dict, expected the text for pairs of names like  ("A", "B"): "-1/r"')
    return names | {"law": by_levels(category, law)}


def _from_names(names, path, where):
    names = _law_by_levels(names, where) if isinstance(names.get("law"), dict) else names
    radial = {k: names[k] for k in ("potential", "force") if callable(names.get(k))}
    if not radial and not isinstance(names.get("law"), str):
        functions = [k for k, v in names.items() if isinstance(v, types.FunctionType)]
        raise UserError(
            f"{where} defines no function potential(r, m_i, m_j, q_i, q_j)"
            + "".join(near_miss("potential", functions)),
            "see distill/physics/user_system.py for an example",
        )
    if len(radial) > 1:
        raise UserError(f"{where} defines a potential and a force", "give the one from which the other follows")
    given = {k: v for k, v in names.items() if k in OPTIONAL and not isinstance(v, types.ModuleType)}
    given.setdefault("name", re.sub(r"[^A-Za-z0-9_-]", "_", path.stem) or "user")
    given.setdefault("summary", f"user-defined in {path.name}")
    given.setdefault("source", path.name)
    given["terms"], known = _terms(names, where), set(USUAL)
    if "potential" in radial:
        taken, properties = _arguments(radial["potential"], where)
        known |= set(properties)
    if "force" in radial:
        given["force"] = Given(radial["force"], tuple(inspect.signature(radial["force"]).parameters))
    known |= _properties([given.get("law"), given.get("force"), *given["terms"]])
    try:
        given["response"] = response_of(given.get("response"))
    except UserError as exc:
        raise UserError(f"{where}: {exc.message}", exc.fix) from None
    if given["response"] is not None:  # what only the response depends on is a property too
        known |= set(given["response"].properties)
    if strange := sorted(name for name in known - set(KNOWN) if not usable(name)):
        raise UserError(f"{where}: '{strange[0]}' is no name for a property of particles", "use letters, digits and _")
    given["properties"] = ordered(known)
    order = variables(given["properties"])
    _check_arguments(given, order, where)
    if "potential" not in radial:
        return System(potential=None, **given)

    def energy(*values):  # in the order of ``System.variables``, then the array module
        named = dict(zip(order, values[:-1], strict=True))
        return radial["potential"](*(named[k] for k in taken)) + 0.0 * named["r"]

    return System(**given | {"potential": energy})


def _terms(names, where) -> tuple[Acting, ...]:
    """What acts beside the radial force, by the names of the terms, and a field by its energy ``external``."""
    found = list(names.get("terms", ()))
    if not all(isinstance(one, Acting) for one in found):
        raise UserError(f"{where}: terms is {names['terms']!r}, expected a list of distill.physics.acting.Acting")
    for name in ACTING:
        value = names.get(name)
        if value is None or isinstance(value, types.ModuleType):
            continue
        centre = names.get("centre") if name == "central" else None
        if name == "central" and not (isinstance(centre, tuple | list) and all(_is_number(c) for c in centre)):
            raise UserError(
                f"{where}: centre is {centre!r}, expected the place that 'central' is about, such as (1, 0)"
            )
        if not (whole := _value(value)):
            raise UserError(f"{where}: {name} is {value!r}, expected a number, the text of a formula, or a function")
        if whole[0] != 0:
            found.append(Acting(name, whole[0], centre and tuple(centre)))
    if callable(names.get("external")):
        force = names.get("external_force")
        value = _components(_by_place(force)) if callable(force) else None
        found.append(Acting("field", value, potential=_by_place(names["external"])))
    elif names.get("external") is not None:
        raise UserError(f"{where}: external is {names['external']!r}, expected a function")
    return tuple(found)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _value(value) -> tuple:
    """``value`` as ``Acting`` takes it, in a tuple; an empty one where it is nothing of that kind."""
    if _is_number(value) or isinstance(value, str):
        return (value,)
    if callable(value):
        return (Given(value, tuple(inspect.signature(value).parameters)),)
    if isinstance(value, tuple | list) and value:
        parts = [_value(part) for part in value]
        return (tuple(part[0] for part in parts),) if all(parts) else ()
    return ()


def _by_place(function) -> Given:
    """A function of positions and masses, or of what its arguments name."""
    names = tuple(inspect.signature(function).parameters)
    named = all(name in OF_NODES or name in KNOWN or name.endswith("_i") for name in names)
    return Given(function, names if named else ("pos", "mass")[: len(names)])


def _components(given: Given) -> Given:
    """The components of a function that returns vectors [..., dim]."""

    def components(*arrays):
        found = given.function(*arrays)
        return tuple(found[..., k] for k in range(found.shape[-1]))

    return Given(components, given.names)


def _properties(given) -> set[str]:
    """Properties by whose symbols formulas and functions name them: ``spin`` where they hold ``spin_i``."""
    words = set()
    for one in given:
        for part in (one.value, one.potential) if isinstance(one, Acting) else (one,):
            for own in part if isinstance(part, tuple) else (part,):
                words |= set(own.names if isinstance(own, Given) else re.findall(r"[A-Za-z_]\w*", f"{own}", re.ASCII))
    return {with_symbol(word[:-2]).name for word in words if word[-2:] in ("_i", "_j")}


def _check_arguments(given: dict, order, where) -> None:
    """Every function is one of what its term may depend on."""
    own = {name for name in order if name.endswith("_i")} | OF_NODES | set(given["properties"])
    radial = [("force", given["force"], {*order, TIME})] if "force" in given else []
    for name, one, known in radial + [
        (acting.term, part, {*order, TIME} if acting.of_pair else own)
        for acting in given["terms"]
        for value in (acting.value, acting.potential)
        for part in (value if isinstance(value, tuple) else (value,))
    ]:
        if isinstance(one, Given) and (wrong := [argument for argument in one.names if argument not in known]):
            raise UserError(f"{where}: {name} has the argument {wrong[0]}, expected some of {', '.join(sorted(known))}")


def _arguments(potential, where) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(variables that ``potential`` takes, in its order; names of the properties that it makes known)."""
    parameters = list(inspect.signature(potential).parameters.values())
    names = tuple(p.name for p in parameters)
    ends = [name[:-2] for name in names if name[-2:] in ("_i", "_j")]
    if not ends and (len(names) == len(variables()) or any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        return variables(), USUAL  # by place, whatever they are called
    known = [with_symbol(symbol) for symbol in dict.fromkeys(ends)]
    wanted = ("r", *(v for p in known for v in p.variables))
    if set(names) != set(wanted) or not all(p in KNOWN.values() or usable(p.name) for p in known):
        raise UserError(
            f"{where}: potential has the arguments ({', '.join(names)}), expected r and both ends of the properties it"
            " depends on, for instance (r, m_i, m_j, q_i, q_j) or (r, spin_i, spin_j)"
        )
    return names, ordered({*USUAL, *(p.name for p in known)})


def _check_values(system, where):
    def bad(name, wanted):
        return UserError(f"{where}: {name} is {getattr(system, name)!r}, expected {wanted}")

    for name in ("dt", "softening"):
        value = getattr(system, name)
        low_enough = isinstance(value, int | float) and 0 <= value < np.inf
        if not low_enough or (name == "dt" and value == 0):
            raise bad(name, "a positive number" if name == "dt" else "a number, 0 or more")
    if system.charges not in ("normal", "sign"):
        raise bad("charges", "'normal' or 'sign'")
    if system.masses not in ("lognormal", "unit"):
        raise bad("masses", "'lognormal' or 'unit'")
    if not isinstance(system.law, str | None):
        raise bad("law", "the text of a formula")
    if not isinstance(system.initial, Callable | None):
        raise bad("initial", "a function")
    if not isinstance(system.held, tuple | list) or not all(isinstance(k, int) for k in system.held):
        raise bad("held", "particle numbers, for instance (0,)")


def _check_physics(system, where):
    rng = np.random.default_rng(0)
    r = np.concatenate([np.geomspace(0.05, 5, 40), rng.uniform(0.05, 5, 40)])
    both = {"mass": np.exp(0.5 * rng.standard_normal((2, 80)))}
    both |= {name: rng.standard_normal((2, 80)) for name in system.properties if name != "mass"}
    one, other = ({name: values[k] for name, values in both.items()} for k in (0, 1))
    ends = of_pairs(one, other)
    if system.potential is None:
        _finite(radial_force(system, r, ends, t=0.3), r.shape, "force" if system.law is None else "law", where)
    else:
        _check_potential(system, r, ends, of_pairs(other, one), where)
    if system.response is not None:
        _check_response(system, rng, where)
    if not system.dims:
        raise UserError(f"{where}: there is no number of dimensions in which all of its terms are defined")
    dx, dv, pos, vel = rng.standard_normal((4, 80, system.dims[0]))
    r = np.linalg.norm(dx, axis=1)
    for acting in system.terms:
        alone = replace(system, terms=(acting,), potential=None, law=None)
        if acting.of_pair:
            found = further_force(alone, Pairs(dx, r, ends, dv, 0.3))
        else:
            state = State(vel, one, pos, 0.3)
            found = node_force(alone, state)
        _finite(found, dx.shape, acting.term, where)
        if not acting.of_pair and acting.potential is not None and acting.value is not None:
            if not _close(found, acting.by_autodiff(state, system.properties), 1e-6).all():
                stated = "external_force" if callable(getattr(acting.potential, "function", None)) else acting.term
                raise UserError(f"{where}: {stated} is not minus the gradient of its energy")


def _finite(found, shape, name, where) -> None:
    if np.shape(found) != shape or not np.isfinite(found).all():
        raise UserError(
            f"{where}: {name} gives shape {np.shape(found)}, expected {shape}, or values that are not finite; write it"
            " with jax.numpy, element by element"
        )


def _check_potential(system, r, ends, swapped, where):
    jnp = import_jax().numpy

    def energy(ends):
        return np.asarray(system.potential(*map(jnp.asarray, arguments(system, r, ends)), jnp))

    value = energy(ends)
    if value.shape != r.shape or not np.isfinite(value).all():
        raise UserError(
            f"{where}: potential gives shape {value.shape} or values that are not finite for arrays"
            f" {', '.join(system.variables)} of shape {r.shape} with r > 0; write it with jax.numpy, element by element"
        )
    if not _close(value, energy(swapped), 1e-9).all():
        raise UserError(
            f"{where}: potential changes when i and j are exchanged, so it is no pair potential",
            "where action is not reaction, define force(r, ...) in its place",
        )
    gradient = radial_force(replace(system, law=None), r, ends)
    if not np.isfinite(gradient).all():
        raise UserError(f"{where}: the derivative of potential is not finite at some r > 0")
    if system.law is not None:
        stated = radial_force(system, r, ends)
        off = ~_close(stated, gradient, 1e-6)
        # A few points may sit on a jump of the law; a wrong law is wrong nearly everywhere.
        if off.sum() > 2:
            k = int(np.flatnonzero(off)[0])
            raise UserError(
                f"{where}: the law gives {stated[k]:.6g} at r = {r[k]:.3g}, where -dV/dr is {gradient[k]:.6g}",
                "correct the law, or leave it out and it is found by differentiation",
            )


def _close(values, expected, tolerance: float) -> np.ndarray:
    """Whether they agree to a relative ``tolerance``, or to a thousandth of it of a typical one: in any unit."""
    return np.isclose(values, expected, rtol=tolerance, atol=1e-3 * tolerance * typical_size(np.abs(expected)))


def _check_response(system, rng, where):
    """Finite where forces and speeds are moderate, and its energy of motion and inertia those of it."""
    jax, response = import_jax(), system.response
    jnp, limit = jax.numpy, response.speed_limit
    if limit is not None and not (isinstance(limit, int | float) and 0 < limit < np.inf):
        raise UserError(f"{where}: speed_limit of the response is {limit!r}, expected a positive number")
    if lacking := [name for name in response.properties if name not in system.properties]:
        raise UserError(f"{where}: the response depends on '{lacking[0]}', which is no property of SYSTEM")
    for part in ("alpha", "beta", "kinetic", "inertia"):
        if getattr(response, part) is not None:
            used = {symbol.name for symbol in response.formula(part).free_symbols}
            if part in ("kinetic", "inertia") and used & {"s", "sv"}:
                raise UserError(
                    f"{where}: {part} of the response holds s or sv, expected a function of v and properties"
                )
    force, vel = rng.standard_normal((2, 80, 2))
    vel *= 0.25 * (response.speed_limit or 1.0)
    own = {name: np.exp(0.5 * rng.standard_normal(80)) for name in response.variables if name.endswith("_i")}
    acc = response.acceleration(force, vel, own)
    if not np.isfinite(acc).all():
        raise UserError(f"{where}: the response gives accelerations that are not finite")

    def change(part, vector):
        def at(v):
            value = response.value(part, {"v": jnp.sqrt((v * v).sum(-1))}, own, jnp) + 0.0 * v[:, 0]
            return value[:, None] * v if vector else value

        return np.asarray(jax.jvp(at, (jnp.asarray(vel),), (jnp.asarray(acc),))[1])

    if response.kinetic is not None and not np.allclose(change("kinetic", False), (force * vel).sum(1), rtol=1e-6):
        raise UserError(f"{where}: kinetic is not the energy of motion of the response: dT/dt is not S . v")
    if response.inertia is not None and not np.allclose(change("inertia", True), force, rtol=1e-6):
        raise UserError(f"{where}: inertia is not that of the response: d(inertia v)/dt is not S")
