"""The sections of the report below the law: each takes the ``Material`` of a run and returns HTML."""

import csv
from pathlib import Path

import numpy as np

from distill.files.dataset import load_dataset
from distill.files.fields import SPLITS
from distill.physics.neighbours import unwrap
from distill.report import parts, plots, plots_generalization
from distill.report.page import code, details, formula, image, missing, percent, r2, shown, table, text
from distill.report.words import power, ratio_words

GAUGES = {"force": "F (pair force)", "acceleration": "F / m_i", "charge_force": "q_i F"}
FIGURES_A_ROW = 3
DRAWN = 12  # particles in a periodic box
MOMENTA = {"momentum_drift": "momentum", "angular_momentum_drift": "angular momentum"}


def simulation(m) -> str:
    about, body = m.dataset, ""
    system = m.system
    rows, report = [], about.get("report") or {}
    if system:
        rows.append(["System", f"{code(system.get('name'))}: {text(system.get('summary') or 'no summary')}"])
        rows.append(["True force", code(system["law"]) if system.get("law") else "by autodiff of its potential"])
        if system.get("external_law"):
            rows.append(["Outside field", text(system["external_law"])])
        if system.get("drag"):
            rows.append(["Drag", shown(system["drag"])])
        if system.get("source"):
            rows.append(["Source", text(system["source"])])
    rows += parts.added("simulation_rows", m)
    unit = m.units.get("t", "time units")
    if m.dataset_path is not None:
        dataset = load_dataset(str(m.dataset_path))
        count, frames, n, dim = dataset.pos.shape
        split = [int((dataset.split == k).sum()) for k in range(3)]
        rows += [
            ["Trajectories", f"{count:,} ({split[0]:,} to train, {split[1]:,} to validate, {split[2]:,} to test)"],
            ["Particles, dimensions", f"{n}, {dim}"],
            [
                "Frames a trajectory",
                f"{frames}, {shown(float(dataset.t[1] - dataset.t[0])) if frames > 1 else 0} {text(unit)} apart",
            ],
        ]
        if "energy_drift" in dataset.arrays:
            drift = dataset.arrays["energy_drift"]
            rows.append(
                ["Relative energy drift", f"largest {shown(float(drift.max()))} over {len(drift):,} trajectories"]
            )
        body = _example(dataset)
    if "dropped" in report or "redone" in report:
        rows.append(
            [
                "Trajectories done again, replaced",
                f"{shown(report.get('redone', 0))}, {shown(report.get('dropped', 0))}",
            ]
        )
    if not rows:
        return missing("Nothing is known about the data.", "python simulate.py --system ...")
    if not about:
        body += '<p class="note">There is no JSON beside the dataset: it was made by other means.</p>'
    return table([], rows) + body


def _example(dataset) -> str:
    which = SPLITS.index("test")
    index = (dataset.split == which).nonzero()[0]
    index = (index if len(index) else dataset.trajectories("all"))[:3]
    pos, drawn = dataset.pos[index], dataset.n
    if "box" in dataset.arrays:  # of a fluid only some, and without jumps across the picture
        drawn = min(drawn, DRAWN)
        pos = np.stack([unwrap(one[:, :drawn], dataset.box) for one in pos])
    figure = plots_generalization.trajectories(
        pos, dataset.mass[index, :drawn], dataset.t, [f"trajectory {k}" for k in index]
    )
    axes = " (first two axes)" if dataset.dim == 3 else ""
    caption = f"Example trajectories of the test split{axes}. A dot marks the last frame, larger for larger mass."
    if drawn < dataset.n:
        caption += f" {drawn} of {dataset.n} particles are drawn."
    return image(plots.save_bytes(figure), "Paths of the particles in example trajectories", caption)


def history_columns(path: Path) -> dict:
    """Columns of history.csv as lists of floats; {} where missing or damaged."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {k: [float(r[k]) for r in rows] for k in ("epoch", "train_loss", "validation_loss", "validation_mae")}
    except (OSError, KeyError, ValueError, TypeError):
        return {}


def training(m) -> str:
    if not m.config:
        return missing("The network has not been trained.", "python train.py --dataset ...")
    c, options = m.config, m.config.get("options") or {}
    unit = f" {m.units['acc']}" if "acc" in m.units else ""
    priors = [
        k.replace("_", " ")
        for k in ("antisymmetric", "translation_invariant", "geometric_inputs", "exp_gate", "linear_node", "log_mass")
        if (c.get("model") or {}).get(k)
    ]
    rows = [
        ["Message head (variant)", text(c.get("variant"))],
        ["Recipe", text(c.get("recipe"))],
        ["What is assumed", text(", ".join(priors) or "nothing beyond the paper’s architecture")],
        ["Size", f"width {shown(options.get('hidden'))}, {shown(options.get('message_dim'))} message components"],
        [
            "Training",
            f"{shown(c.get('steps'))} steps, {shown(c.get('train_graphs'))} frames, loss "
            f"{text(options.get('loss'))}, {shown(c.get('seconds'))} s on {text(c.get('device'))}",
        ],
        [
            "Validation MAE",
            f"{shown(c.get('validation_mae'))}{text(unit)} an acceleration component,"
            f" n {shown(c.get('validation_graphs'))} frames",
        ],
    ]
    history = history_columns(m.weights / "history.csv")
    body = ""
    if history:
        caption = "Left: losses. Right: mean absolute error of an acceleration component on the validation split."
        body = image(plots.save_bytes(plots.training_curve(history, "")), "Losses and validation error", caption)
    return table([], rows) + body


def messages(m) -> str:
    extracted = m.messages_test or m.messages_train
    if not extracted:
        return missing("No messages have been extracted.", f"python extract_messages.py --run {m.run}")
    if not m.linear_fit:
        what = f"{extracted.get('edges', 0):,} messages were extracted, but not compared with forces."
        return missing(what, f"python fit_linear.py --run {m.run}")
    fit = m.linear_fit
    n = f"{fit['n_edges']:,} edges of the {text(fit['split'])} split"
    rows = [[GAUGES.get(k, text(k)), r2(v["r2_all"]), r2(v["r2_trim90"])] for k, v in fit["targets"].items()]
    order = list(fit["targets"])
    about = f"Best linear fit of the {len(fit['top_components'])} most important message components; n: {n}."
    body = table(
        ["compared with the true …", "R² (all edges)", "R² (best 90 %)"],
        rows,
        about,
        order.index(fit["best_target"]) if fit.get("best_target") in order else None,
    )
    if (read := fit.get("read_out") or {}).get("r2_all") is not None:
        body += (
            f'<p class="note">A read-out of all components, found from net forces alone without any pair force,'
            f" reaches R² {r2(read['r2_all'])} (all), {r2(read['r2_trim90'])} (best 90 %)"
            f" with the true pair forces; n: {n}.</p>"
        )
    if m.cut_off and (potential := fit.get("potential") or {}).get("r2_all") is not None:
        body += (
            f'<p class="note">Not potentials: with the {text(potential["what"])} the same fit reaches R²'
            f" {r2(potential['r2_all'])} (all), {r2(potential['r2_trim90'])} (best 90 %).</p>"
        )
    caption = "Standardised message components against their best linear combination of true force components."
    body += image(m.folder / "linear_fit.png", "Message components against true forces", caption)
    share, count = percent(fit.get("top_share")), len(fit["top_components"])
    caption = f"The top {count} components hold {share} of the variance of all messages;"
    caption += f" {fit.get('active_components')} are active."
    if len(fit.get("importance") or []) == count:
        return body  # all of them are the top ones: nothing to show
    return body + image(m.folder / "importance.png", "Importance of each message component", caption)


def search(m) -> str:
    targets = {k: v for k, v in (m.law.get("targets") or {}).items() if v.get("rows")}
    if not targets:
        return missing("No fronts of formulas are there.", f"python symbolic_reg.py --run {m.run}")
    body = (
        '<p class="lead">Each point is the most accurate formula of its complexity (number of nodes). The chosen one'
        " is ringed.</p>"
    )
    names = list(targets)
    a_row = -(-len(names) // -(-len(names) // FIGURES_A_ROW))  # rows of about equal length
    for start in range(0, len(names), a_row):
        fronts = {}
        for name in names[start : start + a_row]:
            rows = targets[name]["rows"]
            fronts[name.replace("_", " ")] = ([r[0] for r in rows], [r[1] for r in rows], _chosen(targets[name]))
        body += image(plots.save_bytes(plots.pareto(fronts, "")), "Loss against complexity of the formulas found")
    for name, target in targets.items():
        chosen = _chosen(target)
        rows = [[shown(r[0]), shown(float(r[1])), code(r[2])] for r in target["rows"]]
        body += f"<h3>{text(name.replace('_', ' ').capitalize())}</h3>"
        if target.get("latex"):
            body += f"<p>{formula(target['latex'], 18, str(target.get('equation', '')))}</p>"
        if target.get("why"):
            body += f'<p class="note">Why this one: {text(target["why"])}</p>'
        best = target.get("pysr_best") or {}
        if best.get("equation") not in (None, target.get("equation")):
            body += f'<p class="note">By the score of PySR: {code(best["equation"])}</p>'
        body += details(
            f"All {len(rows)} formulas of the front", table(["complexity", "loss", "formula"], rows, "", chosen)
        )
    return body


def _chosen(target: dict) -> int:
    """The row that was chosen, by index or by equation; the last where neither says."""
    rows, index = target["rows"], target.get("chosen")
    if isinstance(index, int) and 0 <= index < len(rows):
        return index
    return next((k for k, r in enumerate(rows) if r[2] == target.get("equation")), len(rows) - 1)


def generalization(m) -> str:
    sets = m.generalization.get("sets")
    if not sets:
        return missing(
            "The law has not been compared with the network.", f"python test_generalization.py --run {m.run}"
        )
    rows, what = [], []
    unit = m.generalization.get("force_unit")  # of a fluid, whose errors are those of forces
    kind = "force" if unit else "acceleration"
    for name, one in sets.items():
        gnn, law = one["gnn"], one["law"]
        label = text(name.replace("_", " "))
        ratio = f"<span class=line>{text(ratio_words(one))}</span>"
        rows.append(
            [
                label,
                gnn["mae"],
                law["mae"],
                *(percent(v["median_relative_error"]) for v in (gnn, law)),
                r2(gnn["r2"]),
                r2(law["r2"]),
                ratio,
                law["n"],
            ]
        )
        what.append(f"<li><strong>{label}</strong>: {text(one['what'])}.</li>")
    truth = (
        ""
        if m.generalization.get("truth")
        else ('<p class="note">The true law is not known here: only held-out data of the dataset itself are used.</p>')
    )
    told = f" Units: {text(unit)}." if unit else ""
    skipped = m.generalization.get("skipped_sets") or {}
    what += [
        f"<li><strong>{text(k.replace('_', ' '))}</strong>: not simulated, {text(why)}.</li>"
        for k, why in skipped.items()
    ]
    header = ["set", *("network", "law") * 3, "MAE of the law", "n"]
    groups = [("", 1), ("MAE", 2), ("median rel. error", 2), ("R²", 2), ("", 2)]
    figure = plots_generalization.set_errors(sets, unit)
    figure = image(plots.save_bytes(figure), "Mean absolute error of network and law on each set")
    return (
        f'<p class="lead">Errors of the {kind}s that the network and the law predict, against the true ones.'
        " MAE: mean absolute error of a component, which close encounters dominate. Relative error: of the vector,"
        f" over the size of the true one. n: {kind}s.{told}</p>"
        f'{truth}{figure}{table(header, rows, groups=groups)}<ul class="note">{"".join(what)}</ul>{_bad_values(sets)}'
    )


def _bad_values(sets: dict) -> str:
    bad = [
        f"{who} on {name.replace('_', ' ')}: {one[key]['n_not_finite']:,}"
        for name, one in sets.items()
        for key, who in (("gnn", "network"), ("law", "law"))
        if one[key].get("n_not_finite")
    ]
    return (
        f'<p class="note">Predictions that are not finite, left out above: {text("; ".join(bad))}.</p>' if bad else ""
    )


def rollouts(m) -> str:
    r = m.generalization.get("rollouts")
    if not r:
        return missing("Nothing has been rolled out.", f"python test_generalization.py --run {m.run}")
    if r.get("skipped"):
        return f'<p class="note">Not done: {text(r["skipped"])}.</p>'
    if extension := parts.of_rollouts(r):
        return extension.rollouts(r)
    names = {"law": "law", "gnn": "network", "truth_loose": "truth, looser tolerance", "truth": "truth"}
    momenta = {k: v for k, v in MOMENTA.items() if f"{k}_is" in r}
    conserved = {k: v for k, v in momenta.items() if any(one.get(k) for one in r["models"].values())}
    rows = []
    for key, label in names.items():
        one = r["models"][key]
        followed = "—" if key == "truth" else f"{shown(one['followed_for'])} of {shown(r['horizon'])}"
        end = one["position_error"]["median"][-1]
        rows.append(
            [
                label,
                power(one["rtol"]),
                followed,
                "—" if key == "truth" else shown(end),
                shown(one["final_energy_drift_median"]),
                *(shown(one.get(f"final_{k}_median")) for k in conserved),
                f"<span class=line>{len(one['failed'])} of {r['n']}</span>",
            ]
        )
    failed = [
        f"{names[k]}, start {f['trajectory']}, at {f['at_time']:.4g}: {f['why']}"
        for k, one in r["models"].items()
        for f in one["failed"]
    ]
    body = (
        f'<p class="lead">{r["n"]} new starts of {r["particles"]} particles, integrated under truth, law and network'
        f" up to {shown(r['horizon'])} time units; the training data end at {shown(r['training_time'])}."
        " Curves are medians and quartiles over the starts.</p>"
    )
    body += image(
        plots.save_bytes(plots_generalization.rollout_curves(r)),
        "Position error and energy drift of law and network against time",
    )
    header = ["model", "rtol", "followed the truth for", "position error", "energy", *conserved.values(), "failed"]
    groups = [("", 4), ("drift of", 1 + len(conserved)), ("", 1)]
    body += table(
        header,
        rows,
        f"Medians over n = {r['n']} starts; position error and drifts at the end. Followed:"
        f" {text(r['followed_while'])}.",
        groups=groups,
    )
    drifts = [f" Drift of the {label}: {text(r[f'{k}_is'])}." for k, label in momenta.items()]
    body += (
        '<p class="note">Position errors are to be read with care: after close encounters any two solutions part'
        " exponentially, however small their first difference. The truth integrated at a looser tolerance shows this:"
        " below its curve a position error says nothing about a model. The drifts remain meaningful. "
        f"Position error: {text(r['position_error_is'])}. Energy drift: {text(r['energy_drift_is'])}."
        f"{''.join(drifts)} Solver: {text(r['method'])}.</p>"
    )
    return body + (
        details(f"{len(failed)} rollouts that failed", f"<pre>{text(chr(10).join(failed))}</pre>") if failed else ""
    )
