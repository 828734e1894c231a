"""The embedded engine: genetic programming by pyoperon, then polish and repair with ``distill.formulas``.

First the families of ``formulas.families`` are fitted; what they find enters the front like any other row, and counts
as one vote. A restart is one NSGA-II run on (error, length) over 500 rows, its front turned into sympy, polished, and
its best rows repaired; the fronts of all restarts are merged. Restarts stop as soon as the row that would be chosen
leaves nothing but noise (``noise.py``: no search can then lower the loss), else once two votes agree near the lowest
loss and explain most of the target. Agreement is no proof (two restarts have agreed on a wrong polynomial, and on a
constant), hence at least three restarts by default and a larger population every third time. pyoperon's trees do not
pickle: sympy trees leave this module.
"""

import functools
import subprocess
import sys
import time
from importlib import metadata, util

import numpy as np
import sympy as sp

from distill.formulas.families import propose
from distill.formulas.functions import FUNCTIONS
from distill.formulas.improve import descent, logarithms, polish, prune, repair
from distill.formulas.switches import switch
from distill.formulas.text import symbols_for
from distill.formulas.tree import canonical, complexity, parametrise
from distill.search.choice import costs, pareto
from distill.search.engine import USUAL, Engine, SearchOptions, objective_for, unit_charges
from distill.search.front import Row
from distill.search.noise import explained
from distill.shell import stage
from distill.statistics.metrics import typical_size

SEARCH_ROWS, POLISH_ROWS, REPAIR_ROWS, REPAIRED, DESCENTS = 500, 2000, 800, 4, 3
LEAST_RESTARTS = 3  # unless only noise is left
JUDGED_ROWS = 4000  # at most, of the test whether only noise is left
LONG_FROM = 30  # nodes asked for
LOCAL_STEPS = 5  # of Levenberg-Marquardt on the constants of every new tree
_KINDS = {f.operon.capitalize(): f for f in FUNCTIONS.values() if f.operon}  # by the type of a node


def find(X, y, names, options: SearchOptions) -> tuple[list[sp.Expr], dict]:
    """Formulas of the merged front for y [row] of X [row, feature], and how they were found."""
    loss, price, least = options.loss, options.node_price, options.min_restarts
    scale = float(np.sqrt(np.mean(y**2))) or 1.0 if loss == "mse" else typical_size(y)
    rng = np.random.default_rng([options.seed, 7])
    # the search knows squares only, and heavy tails would leave it nothing but the largest rows
    usable = np.flatnonzero(np.abs(y) <= np.quantile(np.abs(y), 0.98)) if loss == "relative" else np.arange(len(y))
    order = rng.permutation(len(y))  # the same rows in every restart, so that their losses compare
    fit, small, judge = (
        objective_for(X[o], y[o] / scale, names, loss)
        for o in (order[:POLISH_ROWS], order[:REPAIR_ROWS], order[:JUDGED_ROWS])
    )
    front, lowest, forms, evaluations, done, started = [], [], [], 0, False, time.perf_counter()
    unit = unit_charges(X, names)
    # who leaves operators out wants formulas without them
    allowed = "exp" in options.operators or set(USUAL) <= set(options.operators)
    known = _rows([e for e in propose(small) if allowed or not e.has(sp.exp)], fit)
    log_allowed = "log" in options.operators
    front = pareto(known + _logarithms(known, fit, small, log_allowed))
    if front:
        lowest.append(min(costs(front, loss, price)))
    bar = stage.progress(total=options.restarts, desc="search", unit="restart") if options.progress else None
    for k in range(options.restarts):
        sample = rng.permutation(usable)[:SEARCH_ROWS]
        left = None if options.time_limit is None else options.time_limit - (time.perf_counter() - started)
        trees, n = _evolve(X[sample], y[sample] / scale, names, options, k, left)
        evaluations += n
        own = _improve(trees, fit, small, options.max_complexity, log_allowed)
        forms.append({parametrise(canonical(r.expr, unit))[0] for r in own})
        front = pareto(front + own)
        lowest.append(min(costs(own, loss, price), default=np.inf))
        if bar is not None:
            bar.set_postfix(loss=f"{min((r.loss for r in front), default=np.inf):.3g}")
            bar.update()
        agree = sum(v <= min(lowest) + 0.1 for v in lowest)  # the families among them
        most = True
        if least is None:
            # longer rows are still on the front, for a later restart to find the short form of what they say
            short = [r for r in front if complexity(canonical(r.expr, unit)) <= options.max_complexity]
            best = int(np.argmin(costs(short, loss, price))) if short else None
            most, done = (False, False) if best is None else explained(short[best].expr, judge)
        if done or (most and k + 1 >= (least or LEAST_RESTARTS) and agree >= 2):
            break
        if options.time_limit is not None and time.perf_counter() - started > options.time_limit:
            break
    if bar is not None:
        bar.close()
    own = lowest[len(lowest) - (k + 1) :]
    info = {"restarts": k + 1, "restarts_agreeing": sum(v <= min(lowest) + 0.1 for v in own)}
    info |= {"families": len(known), "evaluations": int(evaluations)}
    info["only_noise_left"] = done if least is None else None  # None: not looked at
    info["forms"] = forms  # of each restart, for the search to count those that met the formula it chooses
    return [sp.Add(*[sp.Float(scale) * t for t in sp.Add.make_args(r.expr)]) for r in front], info


def _evolve(X, y, names, options: SearchOptions, restart: int, time_limit: float | None):
    """One NSGA-II run on (mean squared error, length): (formulas of its front, number of evaluations).

    pyoperon's core is used directly: its scikit-learn estimator does the same (the fronts are identical) after the
    second that scikit-learn takes to import, and computes statistics that nobody reads.
    """
    import pyoperon as op

    allowed = {FUNCTIONS[o].operon for o in options.operators} - {""} | {"constant", "variable"}
    seed, twice = options.seed * 1000 + restart + 1, 1 + (restart % 3 == 2)
    budget = dict(population_size=500 * twice, max_evaluations=options.evaluations * twice)
    # short trees find a law of one pair sooner; sums over several particles do not fit into them
    depth, length = (10, options.max_complexity) if options.max_complexity > LONG_FROM else (8, 22)
    data = op.Dataset(np.asfortranarray(np.column_stack([X, y])))
    columns = sorted(data.Variables, key=lambda v: v.Index)
    inputs = [v.Hash for v in columns[:-1]]
    rows = op.Range(0, data.Rows)
    problem = op.Problem(data)
    problem.TrainingRange, problem.TestRange = rows, op.Range(data.Rows - 1, data.Rows)
    problem.Target, problem.InputHashes = columns[-1], inputs
    problem.ConfigurePrimitiveSet(sum(int(getattr(op.NodeType, n.capitalize())) for n in allowed))
    primitives = problem.PrimitiveSet
    creator = op.BalancedTreeCreator(primitives, inputs, 0.0)
    coefficients = op.NormalCoefficientInitializer()
    coefficients.ParameterizeDistribution(0, 1)
    # C++ keeps pointers and no references: whatever is handed over has to live in a variable until the run ends
    table = op.DispatchTable()
    optimizer = op.LMOptimizer(table, problem, LOCAL_STEPS, 0)
    error, size_of = op.Evaluator(problem, table, op.MSE(), True), op.LengthEvaluator(problem)
    evaluator = op.MultiEvaluator(problem)
    for part in (error, size_of):
        part.Budget = budget["max_evaluations"]
        evaluator.Add(part)
    evaluator.Budget = budget["max_evaluations"]
    order = op.CrowdedComparison()
    selectors = op.TournamentSelector(order), op.TournamentSelector(order)
    for selector in selectors:
        selector.TournamentSize = 5
    reinserter, crossover = op.KeepBestReinserter(order), op.SubtreeCrossover(0.9, depth, length)
    mutations = _mutations(op, inputs, primitives, creator, coefficients, depth, length)
    mutation = op.MultiMutation()
    for one, weight in mutations:
        mutation.Add(one, weight)
    local = op.CoefficientOptimizer(optimizer)
    generator = op.BasicOffspringGenerator(evaluator, crossover, mutation, *selectors, local)
    initial = op.UniformLengthTreeInitializer(creator)
    initial.ParameterizeDistribution(primitives.FunctionArityLimits()[0] + 1, min(10, length))
    initial.MinDepth, initial.MaxDepth = 1, 1000
    config = op.GeneticAlgorithmConfig(
        generations=10**6,
        local_iterations=LOCAL_STEPS,
        pool_size=budget["population_size"],
        p_crossover=1.0,
        p_mutation=0.5,
        p_local=1.0,
        p_lamarck=1.0,
        epsilon=1e-10,  # its default of 1e-5 stops early on scaled data
        seed=seed,
        max_time=sys.maxsize if time_limit is None else max(1, int(time_limit)),
        **budget,
    )
    sorter = op.RankSorter()
    search = op.NSGA2Algorithm(config, problem, initial, coefficients, generator, reinserter, sorter)
    search.Run(op.RandomGenerator(np.uint64(seed)), None, options.threads, False)
    symbols = dict(zip(inputs, symbols_for(names), strict=True))
    found = []
    for individual in search.BestFront:
        tree = individual.Genotype
        # errors are those after a linear scaling, which the tree itself does not hold
        scale, offset = op.FitLeastSquares(op.Evaluate(table, tree, data, rows), y)
        expr = tree_to_sympy(tree, symbols)
        expr = sp.Mul(_single(scale), expr) if scale != 1 else expr
        found.append(sp.Add(_single(offset), expr) if offset != 0 else expr)
    return found, evaluator.ResidualEvaluations + evaluator.JacobianEvaluations


def _single(value) -> sp.Float:
    """A number as a node of a tree would hold it, in single precision."""
    return sp.Float(float(np.float32(value)))


def _mutations(op, inputs, primitives, creator, coefficients, depth, length) -> list:
    """(mutation, relative frequency)."""
    one, several, discrete = op.NormalOnePointMutation(), op.NormalMultiPointMutation(), op.DiscretePointMutation()
    for mutation in (one, several):
        mutation.ParameterizeDistribution(0, 1)
    for constant in op.Math.Constants:
        discrete.Add(constant, 1.0)
    grown = creator, coefficients, depth, length
    return [
        (one, 1.0),
        (several, 0.5),
        (discrete, 0.2),
        (op.ChangeVariableMutation(inputs), 2.0),
        (op.ChangeFunctionMutation(primitives), 2.0),
        (op.InsertSubtreeMutation(*grown), 4.0),
        (op.ReplaceSubtreeMutation(*grown), 2.0),
        (op.RemoveSubtreeMutation(primitives), 2.0),
    ]


def tree_to_sympy(tree, symbols: dict) -> sp.Expr:
    """A pyoperon tree as sympy; ``symbols``: variable hash -> symbol.

    Walks the nodes: the model as text has six decimals only. Nodes are in postfix order, the first operand
    popped first, and every variable carries a weight.
    """
    stack = []
    for node in tree.Nodes:
        if node.IsVariable:
            stack.append(sp.Float(node.Value) * symbols[node.HashValue])
        elif node.IsConstant:
            stack.append(sp.Float(node.Value))
        else:
            args = [stack.pop() for _ in range(node.Arity)]
            stack.append(_apply(str(node.Type).split(".")[-1], args))
    return stack[0]


def _apply(kind, args):
    first, rest = args[0], args[1:]
    if kind == "Add":
        return sp.Add(*args)
    if kind == "Mul":
        return sp.Mul(*args)
    if kind == "Sub":
        return first - sp.Add(*rest) if rest else -first
    if kind == "Div":
        above, below = (first, sp.Mul(*rest)) if rest else (sp.Integer(1), first)
        return sp.zoo if below.is_zero else above / below  # of two numbers sympy raises ZeroDivisionError
    return _KINDS[kind].symbolic(*args)


def _rows(exprs, fit) -> list[Row]:
    """The formulas polished on ``fit``, those that can be evaluated."""
    out = []
    for expr in exprs:
        if not expr.has(sp.zoo, sp.nan, sp.oo, sp.I):
            expr, score = polish(expr, fit, 30)
            out += [Row(complexity(expr), score, "", expr)] if np.isfinite(score) else []
    return out


def _logarithms(rows, fit, small, allowed) -> list[Row]:
    """``rows`` with powers that stand in for logarithms replaced by these, where formulas may have them."""
    return _rows([e for r in rows for e in logarithms(r.expr, small)], fit) if allowed else []


def _improve(exprs, fit, small, max_complexity, log_allowed=False):
    """Polish every formula, repair the best, prune the last: front rows."""

    def row(expr):
        return _rows([expr], fit)

    front = pareto(_rows(dict.fromkeys(exprs), fit))
    for r in front:  # a switch shows in the simplest row as well as in the best
        switched, score = switch(r.expr, small)
        front = front + (row(switched) if score < r.loss else [])
    front = front + _logarithms(front, fit, small, log_allowed)
    for r in sorted(front, key=lambda r: r.loss)[:REPAIRED]:
        front = front + row(repair(r.expr, small)[0])
    front = pareto(front)
    met: set = set()
    for r in front[-DESCENTS:]:  # what only fits noise goes again; the last rows hold the law and more
        for expr in (prune(r.expr, fit)[0], *descent(r.expr, small, met)):
            front = front + row(canonical(expr))
    return [r for r in pareto(front) if r.complexity <= max_complexity + 10]


# ---------------------------------------------------------------- the engine


@functools.cache
def operon_problem() -> str:
    """Why pyoperon cannot be used, or "". Imported in a process of its own: its wheels need AVX2, and a CPU
    without it kills the process.
    """
    if util.find_spec("pyoperon") is None:
        return "it is not installed (pip install pyoperon; no wheels for Windows, Intel macOS or ARM Linux)"
    try:
        done = subprocess.run([sys.executable, "-c", "import pyoperon"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"its import did not end ({type(exc).__name__})"
    if done.returncode < 0:
        return f"its import was killed by signal {-done.returncode} (a CPU without AVX2?)"
    return (done.stderr.strip().splitlines() or ["its import failed"])[-1] if done.returncode else ""


ENGINE = Engine(
    name="operon",
    title="pyoperon",
    remedy="install one: make pysr",
    operators=tuple(f.name for f in FUNCTIONS.values() if f.operon is not None),
    problem=operon_problem,
    find=find,
    versions=lambda: {"pyoperon": metadata.version("pyoperon")},
)
