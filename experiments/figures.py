"""Draw a figure of README.md from one finished run: docs/figure.png, or docs/argon.png of a fluid.

reads   outputs/<run>/  messages_test.npz  linear_fit.json  law.json  generalization.json  (a fluid: messages_train.npz)
writes  docs/figure.png  or  docs/argon.png

example:  python experiments/figures.py --run r2_n4_d2_s0__l1-newton__s0
"""

import numpy as np
import sympy as sp

from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.properties import VARIABLES
from distill.files.storage import load_json, save_bytes
from distill.formulas.latex import to_latex
from distill.formulas.program import compile_numpy
from distill.formulas.text import parse
from distill.messages import read_out
from distill.messages.net_forces import nodes_of
from distill.report import palette, plots
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.stage import run_script
from distill.statistics.metrics import standardise

POINTS, EDGES = 400, 3000


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True)
    run = parser.parse_args(argv).run
    figure, name = drawn(run)
    save_bytes(paths.ROOT / "docs" / name, plots.save_bytes(figure))
    return 0


@plots.styled
def drawn(run: str) -> tuple[plots.Figure, str]:
    """The figure of a run, and the name of its file."""
    test, _ = load_messages(messages_path(run, "test"), run)
    fit, law, against = (load_json(paths.OUTPUTS / run / f"{n}.json") for n in ("linear_fit", "law", "generalization"))
    fluid = "g_r" in (against.get("rollouts") or {})
    figure = plots.Figure(figsize=(11.5, 3.7 if fluid else 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1 if fluid else 1.15))
    draw_messages(left, test, fit)
    if fluid:
        draw_force(middle, *load_messages(messages_path(run, "train"), run), test, law)
        draw_structure(right, against["rollouts"]["g_r"])
    else:
        draw_front(middle, law)
        draw_errors(right, against["sets"])
    return figure, "argon.png" if fluid else "figure.png"


def draw_messages(axis, test, fit):
    """The most important component against its best combination of force components."""
    y = standardise(test["message"][:, fit["top_components"][:1]].astype(float))[:, 0]
    x = np.column_stack([test["force"], np.ones(len(y))]) @ fit["targets"]["force"]["coefficients"][0]
    scale = np.median(np.abs(x))  # forces span orders of magnitude: show all of them
    pick = np.random.default_rng(0).permutation(len(y))[: 4 * EDGES]
    axis.scatter(x[pick] / scale, y[pick] / scale, s=4, alpha=0.25, color=palette.INK, lw=0, rasterized=True)
    axis.set(xscale="symlog", yscale="symlog")
    axis.set(xlabel="linear combination of true pair forces", ylabel="message component 1")
    axis.set(title=f"messages are forces: $R^2$ = {fit['r2_all']:.5f}\n({fit['n_edges']:,} test edges)")
    ticks = [-1e4, -1e2, 0, 1e2, 1e4]
    axis.set_xticks(ticks), axis.set_yticks(ticks)


# ---------------------------------------------------------------- of a few particles


def draw_front(axis, law):
    """Relative error of the formulas found for the radial force by complexity, the chosen one marked."""
    target = law["targets"]["radial"]
    complexity, loss = np.array([row[:2] for row in target["rows"]]).T
    at = complexity[target["chosen"]], loss[target["chosen"]]
    axis.step(complexity, loss, where="post", color=palette.MUTED, lw=1)
    axis.plot(complexity, loss, "o", color=palette.INK, ms=4)
    axis.plot(*at, "o", color=palette.ACCENT, ms=10, mfc="none", mew=2)
    place = {"xytext": (10, 12), "textcoords": "offset points", "fontsize": 8}
    axis.annotate("chosen from the\nmessages alone", at, **place)
    axis.set(yscale="log", xlabel="complexity", ylabel="relative error of the radial force")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(title=f"refitted on accelerations: $f = {law['pair']['latex']}$")


def draw_errors(axis, sets):
    """Median relative error of accelerations of law and network on every set."""
    names = list(sets)[::-1]
    for who, label, colour, marker in (("gnn", "network", palette.ACCENT, "s"), ("law", "law", palette.SOFT, "o")):
        errors = [max(sets[n][who]["median_relative_error"] or 0, 1e-16) for n in names]
        axis.plot(errors, range(len(names)), marker, color=colour, label=label)
    axis.set(xscale="log", xlim=(3e-17, 1), title="law against its network")
    axis.set(xlabel="median relative error of accelerations (1e-16: exact)")
    axis.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    axis.legend(loc="center")


# ---------------------------------------------------------------- of a fluid


def draw_force(axis, train, meta, test, law):
    """f(r) as the messages have it, the law found in them, and the truth."""
    alone = law["from_messages"]
    read = read_out.read_out(train, nodes_of(train), meta.antisymmetric, law["arguments"]["seed"])
    force = read_out.centrality(read.force(test, nodes_of(test)), test["dx"], test["r"])["radial"]
    pick = np.random.default_rng(1).permutation(len(force))[:EDGES]
    r = np.linspace(float(test["r"].min()), law["cutoff"], POINTS)
    mass = np.full(POINTS, float(test["mass_i"][0]))
    found, true = (
        compile_numpy(parse(text, VARIABLES), VARIABLES)(r, mass, mass, 0 * r, 0 * r)
        for text in (alone["text"], law["truth"]["text"])
    )
    axis.plot(r, true, color=palette.INK, lw=4, alpha=0.25, label="truth")
    axis.plot(test["r"][pick], force[pick], ".", ms=2.5, color=palette.ACCENT, label="read from the messages")
    axis.plot(r, found, color=palette.SOFT, lw=1.4, label="law found in them")
    units = (("sigma", "$\\sigma$", "Å"), ("epsilon", "$\\epsilon$", "kJ/mol"))
    one, depth = alone["lennard_jones"] or {}, -float(np.min(true))
    values = ", ".join(f"{symbol} = {one[k]['value']:.5g} {unit}" for k, symbol, unit in units if one)
    formula = to_latex(sp.expand(parse(alone["text"], VARIABLES)))
    axis.set(xlabel="r, Å", ylabel="pair force f(r), kJ/mol/nm", ylim=(-1.4 * depth, 3 * depth))
    axis.set(title=f"$f = {formula}$\n{values}")
    axis.legend()


def draw_structure(axis, g):
    r, reference = np.array(g["r_A"]), g["reference"]
    spread = {"color": palette.MUTED, "alpha": 0.45, "lw": 0, "label": f"reference, {reference['n']} seeds"}
    axis.fill_between(r, reference["low"], reference["high"], **spread)
    for name, label, colour, style in (("gnn", "network", palette.ACCENT, "--"), ("law", "law", palette.SOFT, "-")):
        one = g["models"][name]
        if one.get("mean") is not None:
            axis.plot(r, one["mean"], style, color=colour, lw=1.3, label=f"{label}, {one['n']} x {one['time_ps']:g} ps")
    axis.set(xlabel="r, Å", ylabel="g(r)", xlim=(2.5, r[-1]), title="the fluid that each of them drives, 100 K")
    axis.legend()


if __name__ == "__main__":
    run_script(main)
