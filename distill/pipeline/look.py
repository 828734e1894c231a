"""A first answer in seconds, without any network or search: the stage ``look``."""

from dataclasses import replace
from pathlib import Path

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LookRecord
from distill.files.names import splines_name
from distill.files.provenance import provenance
from distill.files.storage import save_bytes
from distill.messages.net_forces import nodes_of
from distill.pipeline.forces import MORE
from distill.results.fits import LookResult
from distill.shell import paths
from distill.shell.errors import about
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Done, Stage, name_of
from distill.splines.blocks import with_motion
from distill.splines.observations import observations
from distill.survey.assumptions import assumptions, momentum
from distill.survey.fit import all_that_acts, unseen
from distill.survey.labels import against_tracks
from distill.survey.recipes import advice
from distill.survey.tell import (
    assumption_lines,
    data_lines,
    doubt_lines,
    doubts_of,
    fit_lines,
    left_lines,
    of_data,
    of_fit,
    shares,
)
from distill.survey.window_length import with_window

GRAPHS, QUICK_GRAPHS = 16_000, 1000  # frames that are fitted


def look(
    dataset: str | Done, *, seed: int = 0, threads: int = 1, overwrite: bool = False, quick: bool = False
) -> LookResult:
    """Splines of the pair force and node terms, fitted to the accelerations of ``dataset`` or to the windows of its
    positions; what they leave, and which assumptions that speaks against. Writes outputs/<dataset>__splines/look.json
    and look.png again each time: ``threads`` and ``overwrite`` are taken as other stages take them, and change nothing.
    ``UserError`` where there are too few particles, frames or motions for a fit.
    """
    dataset = name_of(dataset)
    arguments = dict(locals())
    data, stage = load_dataset(dataset), Stage("look", dataset, LookResult)
    out = paths.OUTPUTS / splines_name(data.name) / "look.png"
    with alone_making(out.with_suffix(".json")):
        return _looked(data, stage, out, arguments, seed, quick)


def _looked(data: Dataset, stage: Stage, out: Path, arguments: dict, seed: int, quick: bool) -> LookResult:
    with about(relative(data.path), MORE):
        length = with_window(data, seed)
        edges = observations(data, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
        edges = edges if data.periodic else with_motion(edges, data)
        nodes, held = nodes_of(edges), unseen(data, seed)
        fit, found, told = all_that_acts(edges, nodes, held, seed, quick)
    told |= momentum(data, fit, held, found, told)
    told |= of_data(data, length, edges, nodes) | {"further": shares(fit, held)}
    told["assumptions"] = assumptions(fit, edges, told)
    lines = [*data_lines(told), *fit_lines(fit, edges, told["further"]), *left_lines(told)]
    lines += assumption_lines(told["assumptions"])
    told["against"] = doubts = doubts_of(told, against_tracks(data))
    del told["text"]  # is among them, or is nothing
    lines += doubt_lines(doubts)
    if other := advice("newton", told["assumptions"]):
        lines.append(f"train     {other}")
    from distill.report import plots  # matplotlib takes a second

    figure = plots.first_look(fit, edges, held, found, told, data.name)
    save_bytes(out, plots.save_bytes(figure))
    made = provenance("look", arguments, {"dataset": data.path}, stage.seconds) | told | of_fit(fit, edges)
    records.save(LookRecord, out.with_suffix(".json"), made | {"dataset": data.name, "receivers": len(nodes.first)})
    shown = {"functions": len(fit.dependence.functions), "node_terms": len(fit.node_terms), "further": len(fit.further)}
    shown |= {"left": told["left"]}
    return replace(stage.done(out, lines, **shown, receivers=len(nodes.first)), figure=figure)
