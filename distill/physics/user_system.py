"""A system from a user's own Python file, for ``simulate.py --system-file``. Five lines are enough:

    import jax.numpy as jnp

    dt = 0.01
    law = "-3*m_i*m_j/(r + 0.1)^4"                       # optional: checked against the potential
    def potential(r, m_i, m_j, q_i, q_j):                # energy of one pair, softening included
        return -m_i * m_j / (r + 0.1) ** 3

The arguments of ``potential`` after r may be named otherwise: ``spin_i, spin_j`` make ``spin`` a property of the
particles, drawn from N(0,1) unless ``initial`` gives it. Or a whole
``SYSTEM = distill.physics.system.System(...)``. The other optional names are the fields of ``System``;
``external(pos, mass)`` is the energy ``[..., particle]`` in an outside field, and ``response`` what a particle does
with its net force where that is not a = F/m: a name of ``responses.RESPONSES`` or ``{"alpha": "1/(m_i + s)"}``.
"""

import hashlib
import inspect
import re
import types
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from distill.files.properties import KNOWN, USUAL, of_pairs, ordered, usable, variables, with_symbol
from distill.physics.responses import response_of
from distill.physics.system import System, arguments, external_force, import_jax, radial_force
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative
from distill.statistics.metrics import typical_size

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # becomes part of file names
OPTIONAL = {f.name for f in fields(System)} - {"file", "file_sha256", "properties"}


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
        code = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{where} does not exist") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UserError(f"{where} cannot be read: {_one_line(exc)}") from None
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except Exception as exc:  # the user's code may raise anything
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


def _from_names(names, path, where):
    if not callable(names.get("potential")):
        functions = [k for k, v in names.items() if isinstance(v, types.FunctionType)]
        raise UserError(
            f"{where} defines no function potential(r, m_i, m_j, q_i, q_j)"
            + "".join(near_miss("potential", functions)),
            "see distill/physics/user_system.py for an example",
        )
    given = {k: v for k, v in names.items() if k in OPTIONAL and not isinstance(v, types.ModuleType)}
    given.setdefault("name", re.sub(r"[^A-Za-z0-9_-]", "_", path.stem) or "user")
    given.setdefault("summary", f"user-defined in {path.name}")
    given.setdefault("source", path.name)
    potential, external = given["potential"], given.get("external")
    taken, given["properties"] = _arguments(potential, where)
    try:
        given["response"] = response_of(given.get("response"))
    except UserError as exc:
        raise UserError(f"{where}: {exc.message}", exc.fix) from None
    if given["response"] is not None:  # what only the response depends on is a property too
        given["properties"] = ordered({*given["properties"], *given["response"].properties})
    order = variables(given["properties"])

    def energy(*values):  # in the order of ``System.variables``, then the array module
        named = dict(zip(order, values[:-1], strict=True))
        return potential(*(named[k] for k in taken)) + 0.0 * named["r"]

    given["potential"] = energy
    if callable(external):
        given["external"] = lambda pos, mass, xp: external(pos, mass) + 0.0 * mass
    if callable(force := given.get("external_force")):
        given["external_force"] = lambda pos, mass, xp: force(pos, mass) + 0.0 * pos
    return System(**given)


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

    for name in ("dt", "drag", "softening"):
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
    for name in ("external", "external_force", "initial"):
        if not isinstance(getattr(system, name), Callable | None):
            raise bad(name, "a function")
    if not isinstance(system.held, tuple | list) or not all(isinstance(k, int) for k in system.held):
        raise bad("held", "particle numbers, for instance (0,)")


def _check_physics(system, where):
    rng = np.random.default_rng(0)
    r = np.concatenate([np.geomspace(0.05, 5, 40), rng.uniform(0.05, 5, 40)])
    both = {"mass": np.exp(0.5 * rng.standard_normal((2, 80)))}
    both |= {name: rng.standard_normal((2, 80)) for name in system.properties if name != "mass"}
    one, other = ({name: values[k] for name, values in both.items()} for k in (0, 1))
    ends, jnp = of_pairs(one, other), import_jax().numpy

    def energy(ends):
        return np.asarray(system.potential(*map(jnp.asarray, arguments(system, r, ends)), jnp))

    value = energy(ends)
    if value.shape != r.shape or not np.isfinite(value).all():
        raise UserError(
            f"{where}: potential gives shape {value.shape} or values that are not finite for arrays"
            f" {', '.join(system.variables)} of shape {r.shape} with r > 0; write it with jax.numpy, element by element"
        )
    if not _close(value, energy(of_pairs(other, one)), 1e-9).all():
        raise UserError(f"{where}: potential changes when i and j are exchanged, so it is no pair potential")
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
    if system.response is not None:
        _check_response(system, rng, where)
    if system.external is not None:
        pos, mass = rng.standard_normal((5, 3, 2)), np.ones((5, 3))
        outside = np.asarray(system.external(jnp.asarray(pos), jnp.asarray(mass), jnp))
        if outside.shape != mass.shape:
            raise UserError(f"{where}: external gives shape {outside.shape}, expected {mass.shape}")
        stated = np.asarray(external_force(system, pos, mass))
        found = np.asarray(external_force(replace(system, external_force=None), pos, mass))
        if not _close(stated, found, 1e-6).all():
            raise UserError(f"{where}: external_force is not minus the gradient of external")


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
