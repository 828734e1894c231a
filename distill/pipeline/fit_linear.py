"""Message components against the true forces: the stage ``fit_linear``."""

from pathlib import Path

from distill.files import records
from distill.files.kinds import LinearFit
from distill.files.names import name_of_messages, run_dir, run_name_of
from distill.files.provenance import already_done, provenance
from distill.files.storage import save_bytes
from distill.law import message_scores
from distill.results.fits import FitResult
from distill.shell import paths
from distill.shell.errors import UserError
from distill.shell.processes import alone_making
from distill.shell.stage import Done, Stage, name_of

ELSEWHERE = "all"  # edges of messages made elsewhere that are scored


def fit_linear(
    run: str | Done | None = None,
    *,
    messages: str | Path | None = None,
    name: str | None = None,
    split: str = "test",
    cutoff: int = 5000,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> FitResult:
    """Score the messages of ``run`` on the edges of ``split``; writes linear_fit.json, linear_fit.png, importance.png.

    In place of ``run``: a file of ``messages`` made elsewhere, all of whose edges are scored; what comes of it goes to
    outputs/``name``/ (None: what the file is called). ``cutoff``: points drawn at most. ``UserError`` where messages
    are missing or hold no true forces.
    """
    if (run is None) == (messages is None):
        raise UserError("give either a trained run or messages made elsewhere", "--run NAME or --messages FILE")
    if name is not None and messages is None:
        raise UserError("--name is what messages made elsewhere are called here", "give it with --messages FILE")
    if messages is None:
        run = run_name_of(name_of(run))
        run_dir(run)
    else:
        messages, run, split = str(messages), name_of_messages(messages, name), ELSEWHERE
    arguments = dict(locals()) | {"name": run if messages else None}
    folder, files = paths.OUTPUTS / run, message_scores.files_of(run, split, messages)
    loaded = message_scores.load(run, files, messages)
    out, stage = folder / "linear_fit.json", Stage("fit_linear", run, FitResult)
    inputs = {f"messages_{s}": p for s, p in files.items()}
    with alone_making(out):
        if already_done(out, arguments, inputs, overwrite):
            return stage.already_done(out)
        result, drawn = message_scores.scores(run, loaded, split, messages=messages, cutoff=cutoff, seed=seed)
        from distill.report import plots  # matplotlib takes a second, which a refusal above need not wait for

        save_bytes(folder / "linear_fit.png", plots.save_bytes(plots.linear_fit(**drawn)))
        figure = plots.importance_bars(**{k: result[k] for k in plots.IMPORTANCE}, title=run)
        save_bytes(folder / "importance.png", plots.save_bytes(figure))
        made = provenance("fit_linear", arguments, inputs, stage.seconds)
        fit = records.save(LinearFit, out, made | result)
    best = fit.best_target
    shown = {} if best == "force" else {f"r2_trim90_{best}": fit.targets[best].r2_trim90}
    return stage.done(
        out,
        r2_all=fit.r2_all,
        r2_trim90=fit.r2_trim90,
        best_target=best,
        **shown,
        read_out_r2_all=fit.read_out.r2_all,
        splines_r2_all=fit.splines.r2_all,
        edges=fit.n_edges,
    )
