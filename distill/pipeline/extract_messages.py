"""What every edge of a trained network sends, on a split of its dataset: the stage ``extract_messages``."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.arrays import stream_npz
from distill.files.dataset import load_dataset
from distill.files.fields import MESSAGE_FIELDS, TARGET_FIELDS, ends_of
from distill.files.kinds import MessagesRecord, RunConfig, TrainedRecord
from distill.files.messages import refuse_foreign
from distill.files.names import messages_path, run_dir, run_name_of
from distill.files.of_run import dataset_of_run
from distill.files.provenance import already_done, provenance
from distill.files.storage import is_there
from distill.network.recipes import doubted
from distill.pipeline import unknowns
from distill.results.messages import MessagesResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Done, Stage, name_of, progress
from distill.shell.threads import pick_device

GRAPHS, EDGES = 10_000, 600_000  # drawn unless told otherwise; edges count where frames have thousands
QUICK_GRAPHS = 200


def extract_messages(
    run: str | Done,
    *,
    split: str | Sequence[str] = ("train", "test"),
    max_graphs: int | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    each: Callable[[MessagesResult], None] = lambda done: None,
) -> list[MessagesResult]:
    """Store the messages of ``run`` on frames of every ``split``; writes messages_<split>.npz and .json each.

    ``max_graphs``: frames drawn at random, 0 for all, None for ``GRAPHS`` or as many as have ``EDGES``. ``each`` is
    called with each as it comes. ``UserError`` where the run or its dataset are missing or have changed.
    """
    run = run_name_of(name_of(run))
    arguments = {k: v for k, v in locals().items() if k not in ("each", "split")}
    folder = run_dir(run)
    inputs = {"weights": folder / "model.safetensors", "config": folder / "config.json"}
    if not inputs["weights"].is_file():
        raise UserError(f"{relative(inputs['weights'])} does not exist", "train again:  python train.py --resume ...")
    if max_graphs is None:
        max_graphs = arguments["max_graphs"] = usual_graphs(records.load(RunConfig, inputs["config"]))
    finished, todo = [], []

    def finish(done: MessagesResult) -> None:
        finished.append(done)
        each(done)

    def done_before(name: str, path: Path, own: dict) -> bool:
        if done := already_done(path.with_suffix(".json"), own, inputs, overwrite) and is_there(path):
            finish(Stage("extract_messages", f"{run} {name}", MessagesResult).already_done(path))
        return done

    for name in [split] if isinstance(split, str) else split:
        path, own = messages_path(run, name), arguments | {"split": name}
        if not done_before(name, path, own):
            if not overwrite:
                refuse_foreign(path, "add --overwrite to replace it")
            todo.append((name, path, own))
    if not todo:
        return finished
    told = paths.OUTPUTS / run / "properties.json"
    if not overwrite and records.load(RunConfig, inputs["config"]).learnt is not None:
        records.refuse_foreign(TrainedRecord, told)

    from distill.messages.extraction import extraction_of
    from distill.network.weights import load_run

    where = pick_device(device, threads)
    model, config = load_run(run, where)
    dataset = dataset_of_run(run, config)
    learnt = [] if config.learnt is None else learnt_of_run(told, run, config, arguments, inputs)
    extraction = extraction_of(model, dataset)
    read = inputs | {"dataset": dataset.path}
    for name, path, own in todo:
        stage = Stage("extract_messages", f"{run} {name}", MessagesResult)
        graphs = np.stack(extraction.graphs(name))
        total = graphs.shape[1]
        limit = min(max_graphs or total, QUICK_GRAPHS if quick else total)
        if limit < total:
            graphs = graphs[:, np.sort(np.random.default_rng(seed).choice(total, limit, replace=False))]
        content = {
            "run": run,
            "split": name,
            "graphs": graphs.shape[1],
            **{k: getattr(config, k) for k in ("variant", "recipe", "dataset_path")},
            "n": dataset.n,
            "dim": dataset.dim,
            "properties": list(dataset.properties),
            "antisymmetric": model.config.antisymmetric,
            "network_error": config.skill.network if config.skill else None,
            "target": dataset.has_target,
            "window": extraction.window,
            "reference": extraction.counted_from,
            "reference_speed": extraction.usual_speed,
            "doubted": doubted(config.recipe, config.arguments),
            "dataset": dataset.name,
            "system": dataset.meta.system,
        }

        def record(told: dict, stage=stage, own=own, content=content) -> bytes:
            made = provenance("extract_messages", own, read, stage.seconds, where)
            return records.text(MessagesRecord, made | content | told).encode()

        with alone_making(path):
            if done_before(name, path, own):  # by another process, since it was asked before
                continue
            about = write(path, extraction, *graphs, record)
        finish(stage.done(path, learnt, graphs=graphs.shape[1], **about))
        learnt = []
    return finished


def learnt_of_run(path: Path, run: str, config: RunConfig, arguments: dict, inputs: dict) -> list[str]:
    """Write the values that were learnt with the weights to ``path``; lines for a terminal."""
    source = load_dataset(config.dataset_path)
    known, correlation = unknowns.truths(source, config.learnt)
    made = provenance("extract_messages", arguments, inputs | {"dataset": source.path}, 0.0)
    content = {"run": run, "dataset": source.name, "learnt": config.learnt, "known": known}
    content |= {"correlation": correlation, "network_error": config.skill.network if config.skill else None}
    with alone_making(path):
        records.save(TrainedRecord, path, made | content)
    return unknowns.lines(config.learnt, known, correlation)


def usual_graphs(config: RunConfig) -> int:
    """Frames to draw by default for the run of this ``config.json``."""
    edges = config.edges_a_frame
    return GRAPHS if edges is None else max(1, min(GRAPHS, int(EDGES / edges)))


def write(path: Path, extraction, trajectory, frame, record: Callable[[dict], bytes]) -> dict:
    """Stream the messages of the frames ``(trajectory[k], frame[k])`` to ``path``; returns edges, components, mae.
    ``record`` gives the JSON beside them, which is told edges, mae and the digest of the file.
    """
    edges, missed, components = extraction.edges(trajectory, frame), 0.0, 0

    def parts():
        nonlocal missed, components
        batches = len(extraction.batches(trajectory, frame))
        for part in progress(extraction.parts(trajectory, frame), total=batches, desc="extract", unit="batch"):
            missed += float(np.abs(part[f"{learnt}_pred_i"] - part[f"{learnt}_i"]).sum())
            components = part["message"].shape[1]
            yield part

    def mae() -> float:
        return missed / (edges * extraction.dataset.outputs)

    learnt, fields = ("target", TARGET_FIELDS) if extraction.dataset.has_target else ("acc", MESSAGE_FIELDS)
    fields = fields | ends_of(extraction.dataset.properties)
    fix = "use fewer --max-graphs, or another disk for DISTILL_OUTPUTS"
    side = lambda digest: record({"edges": edges, "mae": mae(), "arrays_sha256": digest})  # noqa: E731
    stream_npz(path, parts(), {"edge": edges}, fields, fix, side)
    return {"edges": edges, "components": components, "mae": mae()}
