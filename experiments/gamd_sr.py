"""The eight results on argon that gamd_sr set out to find and never printed, measured on a run's test messages.

gamd_sr (github.com/pranavkantgaur/gamd_sr) lists them in its README with nothing after the colons. Our keys, in
its order: ``gnn_mae``, ``potential_r2``, ``force_r2``, ``message_sr``, ``aggregate_r2``, ``net_force_sr``,
``interpolation``, ``extrapolation``. Forces in kJ/mol/nm. Where its definitions could not give an answer ours differ:

* the reference force has the factor 24 of the Lennard-Jones force and goes through the nearest image (its own
  has 48 and no image);
* the messages are those that the node model sums (its own are another tensor);
* of its "linearity fit score", whose scale depends on that of the messages, R2 stands here: each of the three
  messages as an affine function of the target's components, over all test edges, the mean of the three;
* the messages are also predicted by one radial formula for all of them, the law from the messages alone: component
  k is f(r) c_k . (x_i - x_j)/r, with three constants each (``message_sr_one_law``);
* the sums over the neighbours are compared with the net force without absolute positions, which say nothing in
  a periodic box.
"""

import numpy as np

from distill.files.kinds import Generalization, LawRecord, LinearFit, MessagesRecord, SetErrors
from distill.files.properties import of_edges
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse
from distill.messages import read_out
from distill.messages.net_forces import nodes_of, state_of
from distill.physics.law import AXES
from distill.statistics.metrics import affine_fit, r_squared


def rows(
    train: dict, test: dict, meta: MessagesRecord, fit: LinearFit, law: LawRecord, against: Generalization
) -> dict:
    """The eight rows, JSON-ready; None where the law's search had no such target.

    train, test: messages (``files.messages.load_messages``) of the two splits, meta of the training split's; fit, law,
    against: records of ``linear_fit.json``, ``law.json`` and ``generalization.json``.
    """
    sets = against.sets
    fresh = sets["interpolation"]
    beyond = {name: _both(one) for name, one in sets.items() if name != "interpolation"}
    return {
        "gnn_mae": fresh.gnn.mae,
        "potential_r2": fit.potential and fit.potential.r2_all,
        "force_r2": fit.targets["force"].r2_all,
        "message_sr": message_errors(test, law.targets),
        "message_sr_one_law": one_law_errors(train, test, law.from_messages.text),
        "aggregate_r2": aggregate_r2(train, test),
        "net_force_sr": net_force_error(train, test, meta, law),
        "interpolation": _both(fresh),
        "extrapolation": beyond,
    }


def _both(one: SetErrors) -> dict:
    return {"law_mae": one.law.mae, "gnn_mae": one.gnn.mae, "law_over_gnn": one.law_over_gnn_mae}


def message_errors(test: dict, targets: dict) -> list[dict] | None:
    """Of each of the D most important components: the formula found for it in dx, dy, dz and r, its MAE on the test
    edges, and the same in units of the mean size of the component; None if components were not searched.
    """
    dim = test["dx"].shape[1]
    values = {f"d{a}": test["dx"][:, k].astype(float) for k, a in enumerate(AXES[:dim])}
    values |= of_edges(test)
    found = []
    for k, c in enumerate(read_out.top_components(read_out.importance(test), dim)):
        if (target := targets.get(f"component_{k + 1}")) is None:
            continue
        message = test["message"][:, c].astype(float)
        predicted = _values(target.equation, values)
        error = float(np.abs(predicted - message).mean())
        found.append({"equation": target.equation, "mae": error, "relative": error / float(np.abs(message).mean())})
    return found or None


def one_law_errors(train: dict, test: dict, text: str) -> list[dict]:
    """As ``message_errors`` for f(r) c_k . (x_i - x_j)/r with the radial formula ``text`` for f and c_k [dim] fitted
    on the training split by least squares.
    """
    top = read_out.top_components(read_out.importance(train), train["dx"].shape[1])

    def forces(messages):
        ends = of_edges(messages)
        return (_values(text, ends) / ends["r"])[:, None] * messages["dx"]

    mixture = np.linalg.lstsq(forces(train), train["message"][:, top].astype(float), rcond=None)[0]
    message = test["message"][:, top].astype(float)
    error, size = np.abs(forces(test) @ mixture - message).mean(0), np.abs(message).mean(0)
    return [
        {"constants": c.tolist(), "mae": float(e), "relative": float(e / s)}
        for c, e, s in zip(mixture.T, error, size, strict=True)
    ]


def aggregate_r2(train: dict, test: dict) -> float:
    """R2 of the net force (all axes) as an affine function of the summed D most important messages, the function
    fitted on the receivers of the training split.
    """
    top = read_out.top_components(read_out.importance(train), train["dx"].shape[1])
    summed, net = zip(*(_sums(messages, top) for messages in (train, test)), strict=True)
    coefficients = np.column_stack([affine_fit(summed[0], y) for y in net[0].T])
    fitted = summed[1] @ coefficients[:-1] + coefficients[-1]
    return r_squared(net[1].reshape(-1), fitted.reshape(-1))


def net_force_error(train: dict, test: dict, meta: MessagesRecord, law: LawRecord) -> dict | None:
    """The node function found for a_i from the read-out's net force R_i, and its MAE as a net force on the test
    receivers; None if it was not searched.
    """
    search = law.node_search
    if search is None:
        return None
    seed = law.arguments["seed"]
    read = read_out.read_out(train, nodes_of(train), meta.antisymmetric, seed)
    nodes = nodes_of(test)
    net = nodes.sum(read.force(test, nodes))
    state, acc = state_of(test, nodes.first), test["acc_i"][nodes.first].astype(float)
    axes = ({"R": R, "v": v} | state.variables for R, v in zip(net.T, state.vel.T, strict=True))
    predicted = np.column_stack([_values(search.equation, columns) for columns in axes])
    return {"equation": search.equation, "mae": float(np.abs((predicted - acc) * state.mass[:, None]).mean())}


def _sums(messages: dict, top) -> tuple[np.ndarray, np.ndarray]:
    """Summed messages [receiver, D] and true net forces [receiver, dim]."""
    nodes = nodes_of(messages)
    mass = messages["mass_i"][nodes.first].astype(float)[:, None]
    return nodes.sum(messages["message"][:, top].astype(float)), mass * messages["acc_i"][nodes.first].astype(float)


def _values(equation: str, columns: dict) -> np.ndarray:
    """``equation`` on columns of equal length [row]."""
    names = list(columns)
    with np.errstate(all="ignore"):
        found = compile_numpy(parse(equation, names), names)(*(columns[k] for k in names))
    return np.asarray(found, dtype=float) + np.zeros(len(columns[names[0]]))
