"""The symbolic-regression engine alone: planted messages in, the law out? A part of ``recovery.py``.

components  one message y = c . F + offset + noise; search over dx, dy(, dz), r, m_i, m_j, q_i, q_j.
radial      as many messages as dimensions, mixed at random, on graphs of 4 particles; the mixture is undone as
            in ``symbolic_reg.py`` by ``read_out.read_out``, which is given the true net forces of the particles
            (the accelerations) and no pair force; search for f(r, m_i, m_j, q_i, q_j) = F . d/r.

The noise is the same for all rows, relative to the standard deviation of c . F, so squared errors are the loss
of the search; with --noise-is multiplied it is in proportion to each message instead. A row counts if its error is
below 2 % of the standard deviation on fresh noise-free data, both in range and with r uniform from half the median to
3 times the largest training distance. "Up to constants": a linear function of the true force components (components)
or one factor (radial) is fitted in range, and holds for both.
"""

import itertools

import numpy as np
import recovery_data as data

from distill.files.properties import VARIABLES
from distill.files.storage import finite_or_none as finite
from distill.formulas.program import compile_numpy
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.search.direct import search
from distill.search.engine import SearchOptions

PATHS = ("components", "radial")
LIMIT = 0.02  # error / standard deviation, in range and far
LOSS = "mse"
OPTIONS = "engine loss operators restarts min_restarts niterations max_complexity seed".split()  # of ``search``
JUDGED = 4000  # pairs a formula is judged on, in range and far each


def cells(laws, dims, noise, seeds, paths, engine: str, options: dict, noise_is: str = "added") -> dict[str, dict]:
    """Arguments of every cell by its name."""
    common = {"engine": engine, "loss": LOSS, "limit": LIMIT} | options
    word = {"added": "noise", "multiplied": "multiplied"}[noise_is]
    if noise_is != "added":
        common["noise_is"] = noise_is
    out = {}
    for k, law, dim, x, path in itertools.product(seeds, laws, dims, noise, paths):
        own = {"path": path, "law": law, "dim": dim, "noise": x, "seed": k}
        out[f"{engine}_{path}_{law}_d{dim}_{word}{x:g}_s{k}"] = own | common
    return out


def measure(arguments: dict) -> dict:
    """One cell: plant, search, judge every row of the front. ``arguments`` as from ``cells``."""
    a = arguments
    rng = data.generator(a["seed"], a["law"], a["dim"], a["noise"], float(PATHS.index(a["path"])))
    plant, how = (component if a["path"] == "components" else radial), a.get("noise_is", "added")
    planted = plant(a["law"], a["dim"], a["noise"], a["rows"], rng, how)
    X, y, names, limit, about = planted
    front = search(X, y, names, SearchOptions(progress=False, **{k: a[k] for k in OPTIONS}))
    r = X[:, names.index("r")]
    fresh, _ = data.in_range(a["law"], a["dim"], JUDGED, rng, limit)
    beyond = data.far(a["law"], a["dim"], JUDGED, r, rng)
    judged = [errors(row.expr, names, fresh, beyond) for row in front.rows]
    good = [max(e) < LIMIT for e in judged]
    row, own = front.rows[front.chosen], judged[front.chosen]
    right = front.rows[good.index(True)] if any(good) else None
    found = {k: a[k] for k in ("path", "law", "dim", "noise", "seed", "engine")}
    found |= {"chosen": good[front.chosen], "on_front": any(good)}
    found |= {"error_in_range": finite(own[0]), "error_far": finite(own[1])}
    found |= {"equation": row.equation, "complexity": row.complexity, "held_out": finite(row.held_out)}
    found |= {"right_row": right and right.equation, "right_complexity": right and right.complexity}
    found |= {"front_rows": len(front.rows), "rows": len(y), "engine_cpu_s": round(front.info["cpu_seconds"], 2)}
    return found | {k: front.info.get(k) for k in ("restarts", "evaluations")} | about


def component(law: str, dim: int, noise: float, rows: int, rng, noise_is: str = "added") -> tuple:
    """(features [row, feature], message [row], names, largest |F|, what to report)."""
    pairs, limit = data.in_range(law, dim, rows, rng)
    c = data.mixing(dim, 1, rng)
    y = data.sent(pairs["force"], c, noise, rng, None, noise_is)[:, 0]
    X = np.column_stack([pairs["d"], *(pairs[v] for v in VARIABLES)])
    return X, y, [*data.axis_names(dim), *VARIABLES], limit, {"mixing": c.tolist()}


def radial(law: str, dim: int, noise: float, rows: int, rng, noise_is: str = "added") -> tuple:
    """As ``component``; y is the radial force of ``rows`` pairs, each taken once, read out of all messages."""
    pairs_a_graph = data.PARTICLES * (data.PARTICLES - 1) // 2
    m = data.graphs(law, dim, int(1.1 * rows / pairs_a_graph) + 10, rng)
    size = np.linalg.norm(m["force"], axis=1)
    limit = float(np.quantile(size, data.TRIM))
    c = data.mixing(dim, dim, rng)
    m["message"] = data.sent(m["force"], c, noise, rng, m["force"][size <= limit], noise_is)
    m["active"] = np.ones(dim, dtype=np.int8)
    nodes = nodes_of(m)
    read = read_out.read_out(m, nodes, False, 0)
    central = read_out.centrality(read.force(m, nodes), m["dx"], m["r"])
    once = np.flatnonzero((size <= limit) & (m["receiver"] < m["sender"]))  # f_ij = f_ji: no new information
    pick = rng.permutation(once)[:rows]
    X = np.column_stack([m[k][pick] for k in ("r", "mass_i", "mass_j", "charge_i", "charge_j")])
    about = {"mixing": c.tolist(), "gauge": read.gauge, "read_out_error": read.error}
    about["tangential_share"] = central["tangential_share"]
    return X, central["radial"][pick], list(VARIABLES), limit, about


def errors(expr, names, fresh: dict, far: dict) -> tuple[float, float]:
    """RMS error / standard deviation of ``expr`` in range and far, constants fitted in range; infinite where it
    cannot be evaluated. ``names`` starts with dx if ``expr`` is a message component, else it is a radial force.
    """
    function = compile_numpy(expr, names)
    vector = names[0] != VARIABLES[0]
    constants, out = None, []
    for pairs in (fresh, far):
        columns = [*(pairs["d"].T if vector else ()), *(pairs[v] for v in VARIABLES)]
        with np.errstate(all="ignore"):
            value = np.asarray(function(*columns), dtype=float) + np.zeros(len(pairs["r"]))
        if not np.isfinite(value).all():
            return np.inf, np.inf
        if vector:
            design = np.column_stack([pairs["force"], np.ones(len(value))])
            found = np.linalg.lstsq(design, value, rcond=None)[0] if constants is None else constants
            target = design @ found
        else:
            target = (pairs["force"] * pairs["d"]).sum(1) / pairs["r"]
            found = (value @ target) / max(value @ value, 1e-300) if constants is None else constants
            value = found * value
        constants = found
        spread = target.std()
        out.append(float(np.sqrt(np.mean((value - target) ** 2)) / spread) if spread > 0 else np.inf)
    return out[0], out[1]
