"""The sections of the report on law against network beyond the training data: errors set by set, rollouts."""

from distill.files.kinds import Skipped
from distill.report import parts, plots
from distill.report.page import details, image, missing, percent, r2, shown, table, text
from distill.report.words import power, ratio_words

MOMENTA = {"momentum_drift": "momentum", "angular_momentum_drift": "angular momentum"}


def generalization(m) -> str:
    if not (compared := m.generalization):
        what = "The law has not been compared with the network."
        return missing(what, f"python test_generalization.py --run {m.run}")
    rows, what, bad = [], [], []
    unit = compared.force_unit  # of a fluid, whose errors are those of forces
    kind = "force" if unit else "acceleration"
    for name, one in compared.sets.items():
        gnn, law, label = one.gnn, one.law, text(name.replace("_", " "))
        relative = [percent(v.median_relative_error) for v in (gnn, law)]
        ratio = f"<span class=line>{text(ratio_words(one))}</span>"
        rows.append([label, gnn.mae, law.mae, *relative, r2(gnn.r2), r2(law.r2), ratio, law.n])
        what.append(f"<li><strong>{label}</strong>: {text(one.what)}.</li>")
        for who, errors in (("network", gnn), ("law", law)):
            bad += [f"{who} on {label}: {errors.n_not_finite:,}"] if errors.n_not_finite else []
    for name, why in compared.skipped_sets.items():
        what.append(f"<li><strong>{text(name.replace('_', ' '))}</strong>: not simulated, {text(why)}.</li>")
    truth = "The true law is not known here: only held-out data of the dataset itself are used."
    truth = "" if compared.truth else f'<p class="note">{truth}</p>'
    told = f" Units: {text(unit)}." if unit else ""
    header = ["set", *("network", "law") * 3, "MAE of the law", "n"]
    groups = [("", 1), ("MAE", 2), ("median rel. error", 2), ("R²", 2), ("", 2)]
    figure = plots.save_bytes(plots.set_errors(compared.sets, unit))
    of = "; ".join(f"{name.replace('_', ' ')} n = {one.law.n:,}" for name, one in compared.sets.items())
    each = f"Mean absolute error of a component of {kind}s, in {unit or 'the units of the data'}; {of} {kind}s."
    figure = image(figure, "Mean absolute error of network and law on each set", text(each))
    lost = f'<p class="note">Predictions that are not finite, left out above: {"; ".join(bad)}.</p>' if bad else ""
    return (
        f'<p class="lead">Errors of the {kind}s that the network and the law predict, against the true ones.'
        " MAE: mean absolute error of a component, which close encounters dominate. Relative error: of the vector,"
        f" over the size of the true one. n: {kind}s.{told}</p>"
        f'{truth}{figure}{table(header, rows, groups=groups)}<ul class="note">{"".join(what)}</ul>{lost}'
    )


def rollouts(m) -> str:
    if not m.generalization:
        return missing("Nothing has been rolled out.", f"python test_generalization.py --run {m.run}")
    r = m.generalization.rollouts
    if isinstance(r, Skipped):
        return f'<p class="note">Not done: {text(r.skipped)}.</p>'
    if extension := parts.of_rollouts(r):
        return extension.rollouts(r)
    conserved = {k: v for k, v in MOMENTA.items() if any(getattr(one, k) for one in r.models.values())}
    rows, failed = [], []
    for key, label in plots.MODELS.items():
        one, truth = r.models[key], key == "truth"
        drifts = (shown(getattr(one, f"final_{k}_median")) for k in ("energy_drift", *conserved))
        followed = "—" if truth else f"{shown(one.followed_for)} of {shown(r.horizon)}"
        end = "—" if truth else shown(one.position_error.median[-1])
        lost = f"<span class=line>{len(one.failed)} of {r.n}</span>"
        rows.append([label, power(one.rtol), followed, end, *drifts, lost])
    for key, one in r.models.items():
        failed += [f"{plots.MODELS[key]}, start {f.trajectory}, at {f.at_time:.4g}: {f.why}" for f in one.failed]
    body = (
        f'<p class="lead">{r.n} new starts of {r.particles} particles, integrated under truth, law and network'
        f" up to {shown(r.horizon)} time units; the training data end at {shown(r.training_time)}."
        " Curves are medians and quartiles over the starts.</p>"
    )
    figure = plots.save_bytes(plots.rollout_curves(r))
    body += image(figure, "Position error and energy drift of law and network against time", text(of_curves(r)))
    header = ["model", "rtol", "followed the truth for", "position error", "energy", *conserved.values(), "failed"]
    about = f"Medians over n = {r.n} starts; position error and drifts at the end. Followed: {text(r.followed_while)}."
    body += table(header, rows, about, groups=[("", 4), ("drift of", 1 + len(conserved)), ("", 1)])
    told = {label: getattr(r, f"{k}_is") for k, label in MOMENTA.items()}
    drifts = "".join(f" Drift of the {label}: {text(what)}." for label, what in told.items() if what)
    body += (
        '<p class="note">Position errors are to be read with care: after close encounters any two solutions part'
        " exponentially, however small their first difference. The truth integrated at a looser tolerance shows this:"
        " below its curve a position error says nothing about a model. The drifts remain meaningful. "
        f"Position error: {text(r.position_error_is)}. Energy drift: {text(r.energy_drift_is)}."
        f"{drifts} Solver: {text(r.method)}.</p>"
    )
    if r.symplectic:
        body += symplectic(r)
    listed = f"<pre>{text(chr(10).join(failed))}</pre>"
    return body + (details(f"{len(failed)} rollouts that failed", listed) if failed else "")


def of_curves(r) -> str:
    """The caption of the curves of rollouts."""
    said = f"n = {r.n} starts of {r.particles} particles: medians, with quartiles shaded for law and network. Left:"
    said += " error of positions over the size of the system; right: drift of the true energy over its scale (both"
    return f"{said} without a unit). Time in the unit of the data; the training data end at the vertical line."


def symplectic(r) -> str:
    """The same starts by a symplectic integrator, of what has an energy of its own."""
    rows = []
    for key, one in r.symplectic.items():
        drifts = one.final_own_energy_drift_median, one.final_energy_drift_median
        most = f"<span class=line>{min(one.steps)} to {max(one.steps)}</span>"
        rows.append([plots.MODELS[key], *map(shown, drifts), shown(one.position_error.median[-1]), most])
    about = f"Medians over n = {r.n} starts at the end. {text(r.symplectic_method)}; steps: from frame to frame."
    head = ["symplectic", "own", "true", "position error", "steps"]
    return table(head, rows, about, groups=[("", 1), ("drift of the energy", 2), ("", 2)])
