"""Draw the figure at the top of the README from one finished run.

reads   outputs/<run>/  messages_test.npz  linear_fit.json  law.json  generalization.json
writes  docs/figure.png

example:  python benchmarks/readme_figure.py --run r2_n4_d2_s0__l1-newton__s0
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


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--run", required=True)
    run = parser.parse_args(argv).run

    from distill.report import plots
    from distill.statistics import metrics

    folder = paths.OUTPUTS / run
    messages, _ = load_messages(messages_path(run, "test"), run)
    fit, law, against = (load_json(folder / f"{n}.json") for n in ("linear_fit", "law", "generalization"))
    figure = plots.Figure(figsize=(11.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))

    y = metrics.standardise(messages["message"][:, fit["top_components"][:1]].astype(float))[:, 0]
    x = np.column_stack([messages["force"], np.ones(len(y))]) @ fit["targets"]["force"]["coefficients"][0]
    scale = np.median(np.abs(x))  # forces span orders of magnitude: show all of them
    left.scatter(x / scale, y / scale, s=4, alpha=0.25, color=plots.INK, lw=0, rasterized=True)
    left.set(
        xscale="symlog",
        yscale="symlog",
        xlabel="linear combination of true forces",
        ylabel="message component 1",
        title=f"messages are forces: $R^2$ = {fit['r2_all']:.4f}\n(all {fit['n_edges']} test edges)",
    )
    ticks = [-1e4, -1e2, 0, 1e2, 1e4]
    left.set_xticks(ticks), left.set_yticks(ticks)

    target = law["targets"]["radial"]
    complexity, loss = np.array([row[:2] for row in target["rows"]]).T
    middle.step(complexity, loss, where="post", color=plots.MUTED, lw=1)
    middle.plot(complexity, loss, "o", color=plots.INK, ms=4)
    chosen = target["chosen"]
    middle.plot(complexity[chosen], loss[chosen], "o", color=plots.ACCENT, ms=10, mfc="none", mew=2)
    middle.annotate(
        "chosen from the\nmessages alone",
        (complexity[chosen], loss[chosen]),
        xytext=(10, 12),
        textcoords="offset points",
        fontsize=8,
    )
    middle.set(
        yscale="log",
        xlabel="complexity",
        ylabel="relative error of the radial force",
        title=f"refitted on accelerations: $f = {law['pair']['latex']}$",
    )

    names = list(against["sets"])[::-1]
    for who, colour, marker in (("gnn", plots.ACCENT, "s"), ("law", plots.SOFT, "o")):
        errors = [max(against["sets"][n][who]["median_relative_error"] or 0, 1e-16) for n in names]
        right.plot(errors, range(len(names)), marker, color=colour, label={"gnn": "network", "law": "law"}[who])
    right.set(
        xscale="log",
        xlabel="median relative error of accelerations (1e-16: exact)",
        title="law against its network",
        xlim=(3e-17, 1),
    )
    right.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    right.legend(loc="center")
    save_bytes(ROOT / "docs" / "figure.png", plots.save_bytes(figure))
    return 0


if __name__ == "__main__":
    run_script(main)
