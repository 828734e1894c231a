"""Networks that predict the accelerations of a dataset: the stage ``train``."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import LookRecord, RunConfig, Stopped, TrainedValues
from distill.files.names import run_name, splines_name
from distill.files.of_run import start_of
from distill.files.provenance import IGNORED_ARGUMENTS, already_done, provenance, sha256
from distill.files.scales import far_from_one, over_decades, scales_of
from distill.files.storage import save_together
from distill.network.bodies import Bodies
from distill.network.learning import patience
from distill.network.recipes import (
    BOX_NEEDS,
    FURTHER,
    NEEDED_BY_WIDE_MASSES,
    RECIPES,
    box_changes,
    defaults,
    enough_epochs,
    target_changes,
)
from distill.network.variants import VARIANTS
from distill.pipeline import unknowns
from distill.report.words import stopped_words
from distill.results.runs import RunResult
from distill.shell import paths, trackers
from distill.shell.errors import UserError, near_miss
from distill.shell.paths import relative
from distill.shell.processes import alone
from distill.shell.stage import Done, Stage, name_of, warn
from distill.shell.threads import pick_device
from distill.shell.trackers import Tracker
from distill.statistics.metrics import spans_decades
from distill.survey.recipes import advice
from distill.windows.of_dataset import positions_alone

# options that say when a schedule of messages does something
OF_SCHEDULES = {"relax_at": "relax"} | dict.fromkeys(("prune_start", "prune_end", "prune_schedule"), "prune")


def train(
    dataset: str | Done,
    *,
    variant: str | Sequence[str] = "l1",
    recipe: str = "newton",
    seed: int | Sequence[int] = 0,
    tag: str = "",
    device: str = "auto",
    precision: str = "float32",
    resume: bool = False,
    stack: str = "auto",
    capture: bool = True,
    wandb: bool = False,
    track: bool = False,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
    each: Callable[[RunResult], None] = lambda done: None,
    **options,
) -> list[RunResult]:
    """Train a network for every variant and seed; writes ``model_weights/<run>/`` each.

    ``each`` is called with every run as it comes. ``UserError`` if a run is unfinished or was made otherwise.
    ``options``, of which None is the recipe's; ``train.py --help`` says what each does and which values it takes:

    model       hidden message_dim activation edge_model
    assumes     antisymmetric translation_invariant geometric_inputs exp_gate linear_node log_mass scale_output
                relative_messages additive_node clock radial pair_momenta self_position velocities wide_masses
    training    loss epochs batch_size lr schedule augment close_sampling motion_weight polish
    stopping    patience patience_gain cool_down
    penalties   l1_weight kl_weight std_weight hamiltonian_weight dissipative_weight
    messages    relax_at prune_start prune_end prune_schedule
    bodies      unknown reference latent
    """
    dataset = name_of(dataset)
    arguments = {k: v for k, v in locals().items() if k not in ("each", "options", "variant", "seed")}
    variants, seeds = ([v] if isinstance(v, str | int) else list(dict.fromkeys(v)) for v in (variant, seed))
    for name, chosen, known in (("variant", variants, VARIANTS), ("recipe", [recipe], RECIPES)):
        for unknown in (c for c in chosen if c not in known):
            raise UserError(f"there is no {name} '{unknown}'{near_miss(unknown, known)}", f"known: {', '.join(known)}")
    asked = {k: v for k, v in options.items() if v is not None}
    for name in (v for v in variants if not VARIANTS[v].of(recipe)):
        fix = f"--recipe {' or '.join(VARIANTS[name].own)}"
        raise UserError(f"the recipe '{recipe}' has no networks of the variant '{name}'", fix)
    known = {k for v in VARIANTS if VARIANTS[v].of(recipe) for k in defaults(recipe, v, 2)} | {
        "edge_model",
        "wide_masses",
        "velocities",
        *FURTHER,
        *patience.OPTIONS,
        *unknowns.FLAGS,
    }
    known -= {"silent_start"}  # how a network starts is its recipe's
    for unknown in sorted(set(asked) - known):
        raise UserError(f"train has no option '{unknown}'{near_miss(unknown, known)}")
    check_flags(variants, asked, precision)
    arguments |= (told := unknowns.flags(asked))
    asked_trackers = trackers.asked_for(arguments)
    asked |= {name: value for name, value in told.items() if value}
    data = load_dataset(dataset)
    if found := unknowns.asked_bodies(data, asked):
        source, data = data, unknowns.without(data, found)
    else:
        source = data
    if data.learnt is None and not positions_alone(data):
        raise data.lacks("acc")
    own_edges = "has a periodic box" if data.periodic else "" if data.there.all() else "has particles that come and go"
    if own_edges and stack == "on":
        raise UserError(
            f"{relative(data.path)} {own_edges}: every frame has edges of its own, and runs cannot be stacked",
            "leave --stack on out",
        )
    if wide := over_decades(data):
        warn(f"{relative(data.path)} ranges widely ({', '.join(wide)}): what is small in it is learnt last, if at all")
    if other := _advice(data, recipe):
        warn(other)
    finished, jobs, auto = [], [], {}
    if positions_alone(data) and "velocities" not in asked:
        auto["velocities"], why = _velocities(data) if found is None else (False, "splines do not know the bodies yet")
        warn(f"velocities are {'' if auto['velocities'] else 'not '}seen by the network: {why}")

    def finish(done: RunResult) -> None:
        finished.append(done)
        each(done)

    for name, number in ((v, k) for v in variants for k in seeds):
        chosen = resolve(data, name, recipe, asked | auto, quick, found)
        own = {"variant": name, "seed": number, "options": chosen, "edge_model": chosen.get("edge_model")}
        job = Job(run_name(data.name, name, recipe, number, tag), arguments | asked | own)
        if done := job.done_before(data):
            finish(done)
        else:
            jobs.append(job)
    if not jobs:
        return finished
    where, digest, waiting = pick_device(device, threads), sha256(data.path), []
    with contextlib.ExitStack() as held:
        for job in jobs:
            held.enter_context(alone(job.folder))
            if done := job.done_before(data):  # by another process, since it was asked before
                finish(done)
            else:
                like = waiting[0][1] if waiting else None
                waiting.append((job, job.trainer(data, digest, where, like, found)))
        while waiting:
            group = waiting[:1]
            if stack == "on" or (stack == "auto" and where == "cuda" and not own_edges):
                first = waiting[0][1]
                group = [pair for pair in waiting if pair[1].stacks_with(first)]
            waiting = [pair for pair in waiting if pair not in group]
            learn(group, capture, asked_trackers, () if found is None else found.names)
            for job, trainer in group:
                finish(write(job, trainer, source, where, len(group), found))
    return finished


def _advice(dataset: Dataset, recipe: str) -> str | None:
    """What a look at these very data says against the recipe."""
    path = paths.OUTPUTS / splines_name(dataset.name) / "look.json"
    if not path.is_file():
        return None
    found = records.load(LookRecord, path)
    same = found.digest_of("dataset") == sha256(dataset.path)
    return advice(recipe, found.assumptions) if same and found.assumptions else None


def _velocities(dataset: Dataset) -> tuple[bool, str]:
    """Whether a network on positions alone is to see velocities, and why."""
    from distill.splines.velocities import velocities_matter

    if "vel" not in dataset.arrays:
        return False, f"{relative(dataset.path)} holds none"
    try:
        return velocities_matter(dataset)
    except UserError as exc:  # too few for splines
        return False, exc.message


def resolve(dataset: Dataset, variant: str, recipe: str, asked: dict, quick: bool, found: Bodies | None = None) -> dict:
    """The options of a run: the recipe's, for this variant and these data, overridden by those ``asked`` for, and what
    a network needs that has to learn what is not known of the bodies ``found``.
    """
    options = defaults(recipe, variant, dataset.outputs, dataset.n)
    check_variant(dataset, variant, asked)
    small = dict(epochs=2, batch_size=32, hidden=min(options["hidden"], 32), rank_graphs=64) if quick else {}
    options |= small
    if dataset.periodic:
        from distill.network.edges import edges_of, graphs_of

        for name, needed in BOX_NEEDS.items():
            if (given := asked.get(name, needed)) != needed:
                flag = name.replace("_", "-")
                raise UserError(
                    f"{relative(dataset.path)} has a periodic box, where absolute positions mean nothing",
                    f"leave {f'--no-{flag}' if isinstance(given, bool) else f'--{flag} {given:g}'} out",
                )
        edges = edges_of(dataset, graphs_of(dataset, "train")).sample()[2]
        changes = box_changes(recipe, variant, options, dataset.n, edges)
        options |= {k: v for k, v in changes.items() if not (quick and k == "epochs")}
        if dataset.has_target:
            changes = target_changes(recipe, options, dataset.n, edges)
            options |= {k: v for k, v in changes.items() if not (quick and k == "hidden")}
    if positions_alone(dataset):  # the largest accelerations are those of which frames see the least
        options["close_sampling"] = 0.0
    options |= {k: v for k, v in asked.items() if k in options or k in FURTHER}
    options |= patience.options_for(asked)
    if not quick and "epochs" not in asked:
        graphs = len(dataset.trajectories("train")) * dataset.pos.shape[1]
        options["epochs"] = enough_epochs(recipe, options["epochs"], options["batch_size"], graphs)
    if (options.get("antisymmetric", True) or positions_alone(dataset)) and "receivers" in options:
        options["receivers"] = 0  # messages need those of the other direction, windows the particle's other frames
    if asked.get("edge_model", "mlp") != "mlp":
        options["edge_model"] = asked["edge_model"]  # not named for the MLP, as in runs from before there was a choice
    if found is not None:
        options |= unknowns.options_for(found, options, asked)
    if options.get("additive_node") and not options["linear_node"]:
        raise UserError("--additive-node is a linear node", "add --linear-node")
    if dataset.periodic and "self_position" not in asked and "self_position" in options:
        options["self_position"] = False  # in a box no place differs from another
    if options.get("self_position") and options["translation_invariant"]:
        found_is = "--self-position: an energy of the place is not the same everywhere"
        raise UserError(found_is, "add --no-translation-invariant, or leave it out")
    if "vel" not in dataset.arrays and asked.get("velocities"):
        raise dataset.lacks("vel")
    if not asked.get("velocities", "vel" in dataset.arrays) and "velocities" not in VARIANTS[variant].without:
        options["velocities"] = False
    able = "wide_masses" not in VARIANTS[variant].without and not dataset.has_target
    if wide := able and wide_masses(dataset, recipe, options, asked.get("wide_masses")):
        options |= wide | ({} if "loss" in asked else {"loss": "sized"})
    for name in ("augment", "close_sampling", "motion_weight", VARIANTS[variant].weight):
        if name in options and not 0 <= options[name] < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} is {options[name]}, expected 0 or a positive number")
    if options.get("message_dim", dataset.outputs) < dataset.outputs:
        raise UserError(f"--message-dim is {options['message_dim']}, expected at least {dataset.outputs}")
    if options["prune_end"] < options["prune_start"]:
        raise UserError("--prune-end lies before --prune-start")
    return options


def check_flags(variants: list[str], asked: dict, precision: str) -> None:
    """``UserError`` for flags that none of the ``variants`` has anything to do with, whatever the data."""
    theirs = {v.weight: [v.name] for v in VARIANTS.values() if v.penalty}
    for name, schedule in OF_SCHEDULES.items():
        theirs[name] = [v.name for v in VARIANTS.values() if v.schedule == schedule]
    for name in (k for k in asked if not set(theirs.get(k, variants)) & set(variants)):
        flag, others = name.replace("_", "-"), " and ".join(theirs[name])
        found_is = f"--{flag} is for the variant {others}, and {' and '.join(variants)} is asked for"
        raise UserError(found_is, "leave it out")
    for variant in (v for v in variants if VARIANTS[v].needs and (asked.get("unknown") or asked.get("latent"))):
        found_is = f"the variant '{variant}' learns nothing of bodies: {VARIANTS[variant].why}, which have to be known"
        raise UserError(found_is, "train another variant:  --variant l1")
    for variant in (v for v in variants if "precision" in VARIANTS[v].without and precision != "float32"):
        found_is = f"--precision {precision} says nothing of networks of the variant '{variant}'"
        raise UserError(f"{found_is}: differences of energies need all digits", "leave it out")


def check_variant(dataset: Dataset, variant: str, asked: dict) -> None:
    """``UserError`` for data that a variant cannot have, and for flags that say nothing of its networks."""
    head = VARIANTS[variant]
    fix = "train another variant:  --variant l1"
    if dataset.has_target and not (dataset.periodic and "box" in dataset.arrays):
        found_is = f"{relative(dataset.path)} holds a 'target' and no 'box'"
        raise UserError(f"{found_is}: networks of a number of every particle are for a periodic box", "add a 'box'")
    if dataset.has_target and head.penalty and not head.adds_up:
        found_is = (
            f"the penalty of the variant '{variant}' is no sum over edges, and networks of a 'target' are trained"
        )
        raise UserError(f"{found_is} on parts of them, one after the other", fix)
    if asked.get("radial") and not dataset.has_target:
        found_is = f"--radial is for a 'target', and {relative(dataset.path)} has accelerations to learn"
        raise UserError(f"{found_is}, whose directions no distance tells", "leave --radial out")
    if lacking := [name for name in head.needs if name not in dataset.arrays]:
        found_is = f"{relative(dataset.path)} holds no '{lacking[0]}', which the variant '{variant}' needs"
        raise UserError(f"{found_is}: {head.why}", fix)
    others = set().union(*(own for one in VARIANTS.values() for own in one.own.values()))
    others -= set().union(*head.own.values(), *(recipe.options for recipe in RECIPES.values()))
    for name in (k for k in asked if k in head.without or k in others):
        flag = ("no-" if asked[name] is False else "") + name.replace("_", "-")
        raise UserError(f"--{flag} says nothing of networks of the variant '{variant}'", "leave it out")


def wide_masses(dataset: Dataset, recipe: str, options: dict, asked: bool | None) -> dict:
    """The option ``wide_masses`` where it is on: as ``asked``, or by the recipe where masses are wide."""
    without = [name for name in NEEDED_BY_WIDE_MASSES if not options[name]]
    without += ["no_additive_node"] if options.get("additive_node") else []
    if asked and without:
        flag = without[0].replace("_", "-")
        raise UserError(f"--wide-masses needs --{flag}", f"add --{flag}, or leave --wide-masses out")
    own = RECIPES[recipe].wide_masses and not without and spans_decades(dataset.mass[dataset.trajectories("train")])
    return {"wide_masses": True} if (own if asked is None else asked) else {}


@dataclass
class Job:
    """One run that is asked for: its name, and its arguments as if it were the only one."""

    name: str
    arguments: dict
    resuming: bool = False

    def __post_init__(self):
        self.start()

    def start(self) -> None:
        self.stage = Stage("train", self.name, RunResult)

    @property
    def folder(self) -> Path:
        return paths.MODEL_WEIGHTS / self.name

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def done_before(self, dataset: Dataset) -> RunResult | None:
        """A run that is there; ``UserError`` if one is unfinished or was made otherwise."""
        overwrite = self.arguments["overwrite"]
        started = self.checkpoint.exists() and not overwrite
        self.resuming = self.arguments["resume"] and started
        inputs = {"dataset": dataset.path}
        if not self.resuming and already_done(self.folder / "config.json", self.arguments, inputs, overwrite):
            if (self.folder / "model.safetensors").is_file() and not self.checkpoint.exists():
                return self.stage.already_done(self.folder)
        if started and not self.resuming:
            raise UserError(
                f"{relative(self.checkpoint)} is an unfinished run",
                "add --resume to go on, or --overwrite to start again",
            )
        return None

    def identity(self, digest: str) -> dict:
        """What a checkpoint of this run is known by; ``digest``: of the dataset."""
        matters = {k: v for k, v in self.arguments.items() if k not in IGNORED_ARGUMENTS and v is not None}
        return {"arguments": matters, "dataset_sha256": digest}

    def trainer(self, dataset: Dataset, digest: str, device: str, like, found: Bodies | None):
        """The ``Trainer`` of this run, where its checkpoint left it; ``like``: one that has the data already;
        ``found``: bodies of which something is unknown.
        """
        from distill.network.learning.training import Trainer

        given, identity = self.arguments, self.identity(digest)
        variant, options, seed, precision, quick = (
            given[k] for k in ("variant", "options", "seed", "precision", "quick")
        )
        scales = scales_of(dataset)
        if not RECIPES[given["recipe"]].scaled:
            if far := far_from_one(dataset, scales):
                own = f"the recipe '{given['recipe']}' takes data as they are"
                warn(f"{own}, and {', '.join(far)} are far from 1: rescale them, or use --recipe newton")
            scales = None
        trainer = Trainer(
            dataset, variant, options, seed, device, precision, self.checkpoint, identity, quick, like, scales, found
        )
        if trainer.patience:
            follow(trainer, self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.resuming:
            trainer.restore()
        elif given["resume"]:
            warn(f"no checkpoint in {relative(self.folder)}: starting from the beginning")
        return trainer


def follow(trainer, name: str) -> None:
    """Have the read-out of messages followed for patience; where there is none, a line says what is."""
    from distill.messages.following import Following

    trainer.follow = Following.of(trainer)
    if trainer.follow is None:
        warn(f"no forces can be read from the messages of {name} as it is trained: patience is for its validation loss")


def learn(group: list, capture: bool, logged: Sequence[Tracker] = (), bodies: Sequence[str] = ()) -> None:
    """Train one run, or several as a stack, each ``logged`` by these trackers, with the ``bodies`` that it learns."""
    from distill.messages.following import Watch
    from distill.network.learning.fit import fit

    trainers = [trainer for _, trainer in group]
    configs = {job.name: job.arguments["options"] | job.arguments for job, _ in group}
    with trackers.opened(logged, configs) as runs:
        for job, _ in group:
            job.start()
            if not job.resuming:  # --overwrite: the former result stays until there is a new one
                job.checkpoint.unlink(missing_ok=True)
        fit(trainers, capture, Watch(trainers, runs, bodies))


def write(job: Job, trainer, dataset: Dataset, device: str, stacked: int, found: Bodies | None) -> RunResult:
    """The finished run to ``model_weights/<run>/``; ``dataset``: as it lies there."""
    from distill.files.tensors import tensor_bytes
    from distill.network.learning.training import history_text

    folder, last, inputs = job.folder, trainer.history[-1], {"dataset": dataset.path}
    own = dataset.path.resolve().parent == paths.DATASETS.resolve()
    where = dataset.name if own else str(dataset.path.resolve())  # a name moves with its folder
    scores = {k: last[k] for k in ("validation_mae", "validation_loss", "active")}
    skill = trainer.skill()
    if not skill["network"] < min(skill["zero"], skill["mean"]):
        warn(
            f"{job.name} predicts no better than nothing: error {skill['network']:.3g} on trajectories of the"
            f" validation split, {skill['zero']:.3g} by predicting zero and {skill['mean']:.3g} by the mean"
        )
    learnt = None if found is None else unknowns.trained(found, trainer.values())
    model = trainer.stored_config()
    trainer.model.bodies = None  # from here on values are properties like others
    weights, digest = tensor_bytes(
        trainer.model.state_dict(), {"run": job.name, "dataset_sha256": sha256(dataset.path)}
    )
    config = provenance("train", job.arguments, inputs, job.stage.seconds, device) | {
        "run": job.name,
        "dataset": dataset.name,
        "dataset_path": where,
        "dataset_start": start_of(dataset),
        **{k: job.arguments[k] for k in ("variant", "recipe", "seed", "options")},
        "model": model.as_dict(),
        "system": dataset.meta.system,
        "chain": trainer.chain,
        "n": dataset.n,
        "dim": dataset.dim,
        "steps": trainer.step,
        "graphs_seen": trainer.step * trainer.batch,
        "stopped": (stopped := trainer.stopped()),
        "stacked_runs": stacked,
        "train_graphs": len(trainer.x),
        "edges_a_frame": trainer.data.edges_a_frame,
        "window": None if trainer.labels.omega is None else trainer.labels.across,
        "cpu_seconds": round(trainer.cpu_seconds, 2),
        "polish_cpu_seconds": round(trainer.polish_seconds, 2),
        **scores,
        "skill": skill,
        "validation_graphs": len(trainer.x_val),
        "learnt": learnt,
        "weights_sha256": digest,
    }
    history, about = history_text(trainer.history, trainer.columns).encode(), records.text(RunConfig, config).encode()
    files = {"model.safetensors": weights, "history.csv": history, "config.json": about}
    save_together({folder / name: content for name, content in files.items()})  # complete while config.json is there
    job.checkpoint.unlink(missing_ok=True)
    options, lines = job.arguments["options"], []
    if "epochs" not in job.arguments and options["epochs"] > RECIPES[job.arguments["recipe"]].options["epochs"]:
        lines = [f"{len(trainer.x):,} training graphs: {options['epochs']} epochs, to make {trainer.total:,} steps"]
    if stopped:
        lines.append(stopped_words(Stopped(**stopped)))
    if learnt:
        values = TrainedValues(**learnt)
        lines += unknowns.lines(values, *unknowns.truths(dataset, values))
    return job.stage.done(
        folder,
        lines,
        error=skill["network"],
        of_zero=skill["zero"],
        of_mean=skill["mean"],
        **({"of_noise": skill["noise"]} if "noise" in skill else {}),
        **({"motion": skill["motion"]} if "motion" in skill else {}),
        validation_mae=last["validation_mae"],
        graphs=len(trainer.x_val),
        steps=trainer.step,
        **({k: stopped[k] for k in ("epochs_made", "epochs_asked")} if stopped else {}),
        **({stopped["follows"]: stopped["error"]} if stopped and stopped["error"] is not None else {}),
        active=last["active"],
        cpu_s=round(trainer.cpu_seconds, 1),
    )
