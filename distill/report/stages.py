"""The sections of the report on the stages before the law: data, network, messages, search."""

from collections.abc import Mapping

import numpy as np

from distill.files.dataset import load_dataset
from distill.files.fields import SPLITS
from distill.messages.energies import ENERGY
from distill.messages.gauges import gauge_named
from distill.network.recipes import PRIORS
from distill.physics.neighbours import unwrap
from distill.report import parts, plots, words
from distill.report.material import history
from distill.report.page import code, details, formula, image, missing, percent, r2, shown, table, text

FIGURES_A_ROW = 3
BODIES_SHOWN = 30
DRAWN = 12  # particles in a periodic box


def simulation(m) -> str:
    system, body, rows = m.system, "", []
    if system.name:
        rows.append(["System", f"{code(system.name)}: {text(system.summary or 'no summary')}"])
        rows.append(["True force", code(system.law) if system.law else "by autodiff of its potential"])
        rows += [["Response", text(words.response_words(system.response))]] if system.response else []
        rows += [["Beside it", text(system.external_law)]] if system.external_law else []
        rows += [["Drag", shown(system.drag)]] if system.drag else []
        rows += [["Source", text(system.source)]] if system.source else []
    rows += parts.added("simulation_rows", m)
    if m.dataset_path is not None:
        dataset = load_dataset(str(m.dataset_path))
        count, frames, n, dim = dataset.pos.shape
        train, validation, test = (f"{(dataset.split == k).sum():,}" for k in range(3))
        apart = shown(float(dataset.t[1] - dataset.t[0])) if frames > 1 else 0
        rows.append(["Trajectories", f"{count:,} ({train} to train, {validation} to validate, {test} to test)"])
        rows.append(["Particles, dimensions", f"{n}, {dim}"])
        rows.append(["Frames a trajectory", f"{frames}, {apart} {text(m.units.get('t', 'time units'))} apart"])
        if "energy_drift" in dataset.arrays:
            drift = dataset.arrays["energy_drift"]
            told = f"largest {shown(float(drift.max()))} over {len(drift):,} trajectories"
            rows.append(["Relative energy drift", told])
        figure, caption = example(dataset, m.units.get("pos", "units of the data"))
        body = image(plots.save_bytes(figure), "Paths of the particles in example trajectories", text(caption))
    if m.dataset and "redone" in m.dataset.report:
        redone, dropped = (shown(m.dataset.report[k]) for k in ("redone", "dropped"))
        rows.append(["Trajectories done again, replaced", f"{redone}, {dropped}"])
    if not rows:
        return missing("Nothing is known about the data.", "python simulate.py --system ...")
    if not m.dataset:
        body += '<p class="note">There is no JSON beside the dataset: it was made by other means.</p>'
    return table([], rows) + body


def example(dataset, unit: str, count: int = 3) -> tuple[plots.Figure, str]:
    """Paths of ``count`` trajectories, of the test split where there is one, and what to say of them; ``unit``: of
    positions.
    """
    index = np.flatnonzero(dataset.split == SPLITS.index("test"))
    split, index = (" of the test split", index) if len(index) else ("", dataset.trajectories("all"))
    pos, drawn = dataset.pos[index[:count]], dataset.n
    if "box" in dataset.arrays:  # only some, and without jumps across the picture
        drawn = min(drawn, DRAWN)
        pos = np.stack([unwrap(one[:, :drawn], dataset.box) for one in pos])
    titles = [f"trajectory {k}" for k in index[:count]]
    figure = plots.trajectories(pos, dataset.mass[index[:count], :drawn], dataset.t, titles)
    particles = f"{drawn} particles" if drawn == dataset.n else f"{drawn} of {dataset.n} particles"
    axes = "Position against time" if dataset.dim == 1 else "The first two axes" if dataset.dim == 3 else "Positions"
    caption = f"Paths of {particles} in n = {len(pos)} of the {len(index):,} trajectories{split},"
    caption += f" {pos.shape[1]} frames each. {axes}, in {unit}."
    return figure, f"{caption} A marker is at the last frame, larger for larger mass."


def training(m) -> str:
    if not (c := m.config):
        return missing("The network has not been trained.", "python train.py --dataset ...")
    unit = f" {m.units['acc']}" if "acc" in m.units else ""
    priors = ", ".join(priors_of(c))
    loss, seconds = text(c.options["loss"]), f"{shown(c.seconds)} s on {text(c.device)}"
    mae = f"{shown(c.validation_mae)}{text(unit)} an acceleration component"
    size = f"width {shown(c.options['hidden'])}, {shown(c.model['message_dim'])} message components"
    rows = [
        ["Message head (variant)", text(c.variant)],
        ["Recipe", text(c.recipe)],
        ["What is assumed", text(priors or "nothing beyond the paper’s architecture")],
        ["Size", size],
        ["Training", f"{shown(c.steps)} steps, {shown(c.train_graphs)} frames, loss {loss}, {seconds}"],
        ["Validation MAE", f"{mae}, n {shown(c.validation_graphs)} frames"],
    ]
    rows += [["Patience", text(words.sentence(words.stopped_words(c.stopped)))]] if c.stopped else []
    body = table([], rows) + (learnt(c.learnt) if c.learnt else "")
    if columns := history(m.run):
        figure = plots.save_bytes(plots.training_curve(columns, ""))
        body += image(figure, "Losses and validation error", text(of_training(c, unit.strip())))
    return body


def of_training(c, unit: str) -> str:
    """The caption of the curves of a training."""
    both = f"n = {c.train_graphs:,} frames to train, n = {c.validation_graphs:,} to validate"
    error = f"mean absolute error of an acceleration component ({unit or 'units of the data'})"
    return f"Left: loss ({c.options['loss']}) against epochs; {both}. Right: {error} on the same validation frames."


def learnt(values) -> str:
    """Values of bodies that were trained beside the weights (``kinds.TrainedValues``)."""
    rows = []
    for k, body in enumerate(values.bodies[:BODIES_SHOWN]):
        own = [f"{v[k]:.5g}" + (" (given)" if body in values.given[name] else "") for name, v in values.values.items()]
        rows.append([text(body), *own])
    scale = "; ".join(f"{name}: {how}" for name, how in values.gauge.items())
    more = len(values.bodies) - len(rows)
    said = f"Learnt beside the weights. {'. '.join(values.says)}. Scale of {scale}." + (
        f" {more} more." if more else ""
    )
    return table(["body", *map(text, values.values)], rows, text(said))


def priors_of(config) -> list[str]:
    """What the network knew beforehand, in words."""
    return [told for k, told in PRIORS.items() if config.model.get(k) or config.options.get(k)]


def messages(m) -> str:
    extracted, fit = m.messages_test or m.messages_train, m.linear_fit
    if not extracted and not m.elsewhere:
        return missing("No messages have been extracted.", f"python extract_messages.py --run {m.run}")
    if not fit:
        what = f"{extracted.edges:,} messages were extracted, but not compared with forces."
        return missing(what, f"python fit_linear.py --run {m.run}")
    n = f"{fit.n_edges:,} edges" + ("" if m.elsewhere else f" of the {text(fit.split)} split")
    rows = [[text(gauge_named(k).label), r2(v.r2_all), r2(v.r2_trim90)] for k, v in fit.targets.items()]
    slopes = fit.read_out.gauge == ENERGY
    what = "slope of the energies" if slopes else f"{len(fit.top_components)} most important message components"
    about = f"Best linear fit of the {what}; n: {n}."
    header = ["compared with the true …", "R² (all edges)", "R² (best 90 %)"]
    body = table(header, rows, about, list(fit.targets).index(fit.best_target))
    said = "A read-out of all components, found from net forces alone without any pair force,"
    said = "The slope of the energies of both edges of a pair, with no fit," if slopes else said
    body += (
        f'<p class="note">{said}'
        f" reaches R² {r2(fit.read_out.r2_all)} (all), {r2(fit.read_out.r2_trim90)} (best 90 %)"
        f" with the true pair forces; n: {n}.</p>"
    )
    if fit.splines:
        dependence = " ".join(code(name) for name in fit.splines.functions[:8])
        dependence = f"of {dependence}" if fit.splines.dependence == "given" else "of smooth functions of each end"
        body += (
            f'<p class="note">Without any network: splines in r, as factors {dependence}, fitted to the net forces of'
            f" the same frames in {shown(fit.splines.cpu_seconds)} s of CPU time, reach R²"
            f" {r2(fit.splines.r2_all)} (all), {r2(fit.splines.r2_trim90)} (best 90 %). Median relative errors:"
            f" {percent(fit.splines.median_relative_error)}, of the read-out"
            f" {percent(fit.read_out.median_relative_error)}.</p>"
        )
    if slopes and fit.potential:
        body += (
            f'<p class="note">Energies of edges against the {text(fit.potential.what)}: R² {r2(fit.potential.r2_all)}'
            f" (all), {r2(fit.potential.r2_trim90)} (best 90 %).</p>"
        )
    elif m.cut_off and fit.potential:
        body += (
            f'<p class="note">Not potentials: with the {text(fit.potential.what)} the same fit reaches R²'
            f" {r2(fit.potential.r2_all)} (all), {r2(fit.potential.r2_trim90)} (best 90 %).</p>"
        )
    if m.config and (known := priors_of(m.config)):
        told = f"The R² of the messages are bought with what the network knew beforehand: {', '.join(known)}."
        body += f'<p class="note">{text(told)}</p>'
    body += image(m.folder / "linear_fit.png", "Message components against true forces", text(of_messages(fit)))
    count = len(fit.top_components)
    if len(fit.importance) == count:
        return body  # all of them are the top ones: nothing to show
    what = {"std": "Standard deviation", "mean_kl": "Mean Kullback-Leibler divergence"}[fit.importance_is]
    caption = f"{what} of each of {len(fit.importance)} message components over n = {fit.n_edges:,} edges, as a share"
    caption += f" of the largest (no unit). Dark: the top {count}, which hold {percent(fit.top_share)} of the variance"
    caption += f" of all messages; {fit.active_components} are active."
    return body + image(m.folder / "importance.png", "Importance of each message component", caption)


def of_messages(fit) -> str:
    """The caption of the panels of messages against forces."""
    drawn = fit.arguments.get("cutoff")
    points = fit.n_edges if drawn is None else min(drawn, fit.n_edges)
    said = "First panels: message components, standardised (no unit), against their best linear combination of true"
    said += " force components. Last two: the force along the line of centres, read from the messages and by splines"
    said += " without a network, against the true one, both in the force unit of the data. Line: equality."
    return f"{said} n = {points:,} edges are drawn at random, R² is over all n = {fit.n_edges:,}."


def search(m) -> str:
    if not (m.law and m.law.targets):
        return missing("No fronts of formulas are there.", f"python symbolic_reg.py --run {m.run}")
    body = (
        '<p class="lead">Each point is the most accurate formula of its complexity (number of nodes). The chosen one'
        f" is ringed. {text(targets_words(m.law.targets))}</p>"
    )
    fronts = plots.fronts_of(m.law.targets)
    names = list(fronts)
    a_row = -(-len(names) // -(-len(names) // FIGURES_A_ROW))  # rows of about equal length
    for start in range(0, len(names), a_row):
        some = {name: fronts[name] for name in names[start : start + a_row]}
        figure = plots.save_bytes(plots.pareto(some, ""))
        body += image(figure, "Loss against complexity of the formulas found", text(of_fronts(m.law, some)))
    for name, target in m.law.targets.items():
        rows = [[shown(r[0]), shown(float(r[1])), code(r[2])] for r in target.rows]
        body += f"<h3>{text(name.replace('_', ' ').capitalize())}</h3>"
        body += f"<p>{formula(target.latex, 18, target.equation)}</p>"
        body += f'<p class="note">Why this one: {text(target.why)}</p>'
        if (best := target.pysr_best["equation"]) != target.equation:
            body += f'<p class="note">By the score of PySR: {code(best)}</p>'
        listed = table(["complexity", "loss", "formula"], rows, "", target.chosen)
        body += details(f"All {len(rows)} formulas of the front", listed)
    return body


def of_fronts(law, fronts: Mapping[str, tuple]) -> str:
    """The caption of fronts: what a loss is, and over how many rows."""
    rows, loss = law.arguments.get("rows"), LOSSES.get(law.arguments.get("loss"), "of the search")
    drawn = f"at most n = {rows:,} edges or particles" if isinstance(rows, int) else "the rows searched"
    of = "; ".join(f"{name}: n = {len(one[0])} formulas" for name, one in fronts.items())
    return f"Loss ({loss}) over {drawn} against complexity in nodes. Fronts: {of}. The ring is the formula chosen."


LOSSES = {"relative": "relative, no unit", "mse": "mean square, in the square of the target’s unit"}
TARGETS = {
    "radial": "the force along the line of centres",
    "component": "one of the most important message components",
    "shared": "one radial function behind these components",
    "node": "acceleration as a function of the net force",
    "potential": "the energy of a pair, less that at one distance",
    "kinetic": "the energy of a particle, less that at the typical speed, as a function of its momentum p",
    "pair": "the force along the line of centres up to a factor, read without accelerations",
    "alpha": "the response a = alpha S + beta v to the net force S (s its size, v the speed, sv = S.v), or of that what"
    " its name says",
    "beta": "likewise (odd: over sv; shared: beta/alpha)",
}


def targets_words(targets) -> str:
    """What the names of the searches mean, as far as they are known."""
    first = list(dict.fromkeys(name.split("_")[0] for name in targets))
    told = "; ".join(f"{name}: {TARGETS[name]}" for name in first if name in TARGETS)
    return f"{words.sentence(told)}." if told else ""
