"""Draw the README's figure on argon from one finished run.

reads   outputs/<run>/  messages_test.npz  linear_fit.json  law.json  generalization.json
writes  docs/argon.png

example:  python experiments/argon_figure.py --run lj_n258_d3_s201__bottleneck-newton__s201
"""

from pathlib import Path

import numpy as np

from distill.files.messages import load_messages
from distill.files.names import messages_path
from distill.files.storage import load_json, save_bytes
from distill.shell import paths
from distill.shell.flags import Parser
from distill.shell.stage import run_script

ROOT = Path(__file__).resolve().parent.parent

POINTS, EDGES = 400, 3000


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True)
    run = parser.parse_args(argv).run

    from distill.report import plots

    folder = paths.OUTPUTS / run
    (train, meta), (test, _) = (load_messages(messages_path(run, split), run) for split in ("train", "test"))
    fit, law, against = (load_json(folder / f"{n}.json") for n in ("linear_fit", "law", "generalization"))
    figure = plots.Figure(figsize=(11.5, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_messages(left, test, fit)
    draw_force(middle, train, test, meta, law)
    draw_structure(right, against["rollouts"]["g_r"])
    save_bytes(ROOT / "docs" / "argon.png", plots.save_bytes(figure))
    return 0


def draw_messages(axis, test, fit):
    """The most important component against its best combination of force components."""
    from distill.report import plots

    pick = np.random.default_rng(0).permutation(len(test["r"]))[: 4 * EDGES]
    y = test["message"][:, fit["top_components"][0]].astype(float)
    y = (y - y.mean()) / y.std()
    x = np.column_stack([test["force"], np.ones(len(y))]) @ fit["targets"]["force"]["coefficients"][0]
    scale = np.median(np.abs(x))
    axis.scatter(x[pick] / scale, y[pick] / scale, s=4, alpha=0.25, color=plots.INK, lw=0, rasterized=True)
    ticks = [-1e3, -1e1, 0, 1e1, 1e3]
    axis.set(
        xscale="symlog",
        yscale="symlog",
        xlabel="linear combination of true pair forces",
        ylabel="message component 1",
        title=f"messages are forces: $R^2$ = {fit['r2_all']:.5f}\n({fit['n_edges']:,} test edges)",
    )
    axis.set_xticks(ticks), axis.set_yticks(ticks)


def draw_force(axis, train, test, meta, law):
    """f(r) as the messages have it, the law found in them, and the truth."""
    import sympy as sp

    from distill.formulas.latex import to_latex
    from distill.formulas.program import compile_numpy
    from distill.formulas.text import parse
    from distill.messages import read_out
    from distill.messages.net_forces import nodes_of
    from distill.physics.law import VARIABLES
    from distill.report import plots

    read = read_out.read_out(train, nodes_of(train), meta["antisymmetric"], law["arguments"]["seed"])
    force = read_out.centrality(read.force(test, nodes_of(test)), test["dx"], test["r"])["radial"]
    pick = np.random.default_rng(1).permutation(len(force))[:EDGES]
    r = np.linspace(float(test["r"].min()), law["cutoff"], POINTS)
    mass = np.full(POINTS, float(test["mass_i"][0]))
    found, true = (
        compile_numpy(parse(text, VARIABLES), VARIABLES)(r, mass, mass, 0 * r, 0 * r)
        for text in (law["from_messages"]["text"], law["truth"]["text"])
    )
    axis.plot(r, true, color=plots.INK, lw=4, alpha=0.25, label="truth")
    axis.plot(test["r"][pick], force[pick], ".", ms=2.5, color=plots.ACCENT, label="read from the messages")
    axis.plot(r, found, color=plots.SOFT, lw=1.4, label="law found in them")
    depth = -float(np.min(true))
    formula = to_latex(sp.expand(parse(law["from_messages"]["text"], VARIABLES)))
    one = law["from_messages"]["lennard_jones"] or {}
    values = ", ".join(
        f"{symbol} = {one[k]['value']:.5g} {unit}"
        for k, symbol, unit in (("sigma", "$\\sigma$", "Å"), ("epsilon", "$\\epsilon$", "kJ/mol"))
        if one
    )
    axis.set(
        xlabel="r, Å",
        ylabel="pair force f(r), kJ/mol/nm",
        ylim=(-1.4 * depth, 3 * depth),
        title=f"$f = {formula}$\n{values}",
    )
    axis.legend()


def draw_structure(axis, g):
    from distill.report import plots

    r, reference = np.array(g["r_A"]), g["reference"]
    axis.fill_between(
        r,
        reference["low"],
        reference["high"],
        color=plots.MUTED,
        alpha=0.45,
        lw=0,
        label=f"reference, {reference['n']} seeds",
    )
    for name, label, colour, style in (("gnn", "network", plots.ACCENT, "--"), ("law", "law", plots.SOFT, "-")):
        one = g["models"][name]
        if one.get("mean") is not None:
            axis.plot(r, one["mean"], style, color=colour, lw=1.3, label=f"{label}, {one['n']} x {one['time_ps']:g} ps")
    axis.set(xlabel="r, Å", ylabel="g(r)", xlim=(2.5, r[-1]), title="the fluid that each of them drives, 100 K")
    axis.legend()


if __name__ == "__main__":
    run_script(main)
