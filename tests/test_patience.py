"""Patience: the rate by hand, when a training stops and when it goes on, kills, stacks, and what files say of it."""

import math
from pathlib import Path

import pytest
import torch
from planted import write_dataset
from scripts import ok, refused, run
from test_following import Logged
from test_stage_train import SMALL, start, weights
from test_steps import Watch, trainer

import distill
from distill.files.dataset import load_dataset
from distill.files.storage import load_json
from distill.messages import following
from distill.messages.following import METRICS, Followed, Following
from distill.network.learning import training
from distill.network.learning.fit import fit
from distill.network.learning.patience import HELD, Patience
from distill.network.learning.steps import Stepper
from distill.network.learning.training import FOLLOWED, HISTORY
from distill.report import words
from distill.shell.errors import UserError

PATIENT = {"patience": 3, "patience_gain": 0.1, "cool_down": 0.25, "schedule": HELD}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(str(write_dataset(tmp_path_factory.mktemp("data"), trajectories=40)))


def patient(dataset, variant="l1", seed=0, like=None, errors=None, **options):
    """A trainer that follows its messages; ``errors``: what the read-out is made to say, row by row."""
    member = trainer(dataset, "newton", variant, seed, like, **PATIENT | options)
    member.checkpoint = Path(f"{variant}{seed}.safetensors")
    member.follow = Following.of(member)
    if errors is not None:
        member.follow = lambda: Followed(errors[len(member.history)], 0.0, "force")
    return member


# ---------------------------------------------------------------- the rate


def test_the_rate_rises_holds_and_falls_as_one_less_a_square_root():
    patience = Patience(3, 0.1, 0.2)
    rate = lambda step, cooled=None, total=4000: patience.factor(step, total, cooled)  # noqa: E731
    assert rate(0) == pytest.approx(0.04) and rate(200) == pytest.approx((1 + 0.04) / 2)  # half way up half a cosine
    assert rate(400) == rate(401) == rate(3999) == 1.0
    assert rate(499, None, 100_000) < rate(500, None, 100_000) == 1.0  # 500 steps at most, of however many
    assert patience.end(4000, None) == 4000 and patience.end(4000, 1000) == 1200
    assert rate(999, 1000) == 1.0
    for step in range(1000, 1201):
        assert rate(step, 1000) == pytest.approx(1 - math.sqrt((step - 1000) / 200), abs=2e-4)
    assert rate(1200, 1000) == pytest.approx(1e-4) and rate(3000, 1000) == pytest.approx(1e-4)


def test_one_that_cools_down_within_its_warm_up_falls_from_there():
    patience = Patience(1, 0.1, 0.5)
    low = patience.factor(100, 4000, None)
    assert 0.04 < low < 0.3
    assert patience.factor(100, 4000, 100) == low
    assert patience.factor(125, 4000, 100) == pytest.approx(low * (1 - math.sqrt(0.5)), abs=1e-4)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.37, 1.0])
@pytest.mark.parametrize("total", [1, 2, 7, 100, 6248, 99_999])
def test_no_training_goes_beyond_its_epochs_and_one_without_an_end_has_all_of_them(share, total):
    patience = Patience(3, 0.1, share)
    latest = patience.latest(total)
    assert patience.end(total, latest) == total
    assert latest <= total / (1 + share) < latest + 1
    for cooled in {1, latest // 2, latest - 1} & set(range(1, latest)):
        assert cooled < patience.end(total, cooled) <= total
        assert patience.end(total, cooled) == pytest.approx(cooled * (1 + share), abs=1)


@pytest.mark.parametrize(
    "errors, gain, exhausted",
    [
        ([5, 4, 3, 2, 1], 0.1, False),
        ([5, 4, 4, 4, 4], 0.1, True),
        ([5, 4, 4, 4], 0.1, False),
        ([5, 4, 3.9, 3.8, 3.7], 0.1, True),  # improves, but by less than a tenth
        ([5, 4, 3.9, 3.7, 3.5], 0.1, False),  # a tenth, slowly
        ([5, 4, 3.9, 3.8, 3.7], 0.0, False),
        ([1, None, None], 0.1, False),
        ([1, None, None, None], 0.1, True),
        ([None, None, None], 0.1, True),  # nothing can be read from it
        ([], 0.1, False),
    ],
)
def test_patience_counts_from_the_best(errors, gain, exhausted):
    assert Patience(3, gain, 0.2).exhausted(errors) == exhausted


# ---------------------------------------------------------------- when a training stops


def test_it_cools_down_at_the_row_at_which_patience_ends(dataset):
    """Two components from the start: nothing but the read-out decides. Rows up to the warm-up do not count."""
    errors = [0.1] * 5 + [0.5, 0.4, 0.3, 0.29, 0.28, 0.275] + [0.1] * 100
    member = patient(dataset, "bottleneck", errors=errors, epochs=25)
    assert member.every > 1 and member.patience.warm_up(member.total) == 5 * member.every
    fit([member])
    steps = [row["step"] for row in member.history]
    assert member.cooled_from == steps[10] and member.step == steps[-1] == round(1.25 * member.cooled_from)
    assert steps[:-1] == list(range(member.every, member.step, member.every))
    assert [row["lr"] for row in member.history[5:11]] == [member.options["lr"]] * 6
    assert all(a["lr"] > b["lr"] for a, b in zip(member.history[10:], member.history[11:], strict=False))
    assert member.stopped() == {
        "why": "patience",
        "epochs_asked": 25,
        "epochs_made": pytest.approx(member.step / member.steps_per_epoch, abs=1e-3),
        "cooled_from": steps[10],
        "follows": FOLLOWED,
        "error": 0.1,
    }


def test_one_that_improves_goes_on_to_its_last_epoch(dataset):
    member = patient(dataset, "bottleneck", errors=[0.8**k for k in range(100)], epochs=8)
    fit([member])
    assert member.step == member.total and member.stopped()["why"] == "epochs"
    assert member.cooled_from == int(member.total / 1.25)
    assert member.history[-1]["lr"] < 0.1 * member.history[-9]["lr"]


def test_an_easy_problem_ends_early_and_a_short_training_does_not(tmp_path):
    springs = load_dataset(str(write_dataset(tmp_path, system="spring", trajectories=40)))
    long, short = (patient(springs, "bottleneck", epochs=epochs, patience=6) for epochs in (160, 40))
    fit([long])
    fit([short])
    assert long.step < long.total and long.stopped()["why"] == "patience"
    held = [row[FOLLOWED] for row in long.history if row["step"] <= long.cooled_from]
    assert long.history[-1][FOLLOWED] < min(held)  # what the cool-down is for
    assert short.step == short.total and short.stopped()["why"] == "epochs"
    assert long.history[-1][FOLLOWED] < short.history[-1][FOLLOWED]


def test_a_penalty_is_relaxed_when_patience_ends_and_patience_begins_anew(dataset):
    errors = [0.5] * 9 + [0.4] * 100
    member = patient(dataset, "l1", errors=errors, epochs=25)
    fit([member])
    first = next(k for k, row in enumerate(member.history) if row["active"] == 2)
    # 5 rows of the warm-up, one that is the best, three without an improvement; then the same of 0.4
    assert first == 9 and member.history[8]["active"] == 100
    assert member.since == member.history[8]["step"] < 0.4 * member.total
    assert member.cooled_from == member.history[12]["step"]


@pytest.mark.parametrize("relax_at, relaxed", [(0.2, True), (0.0, False)])
def test_relax_at_is_the_latest_and_0_is_never(dataset, relax_at, relaxed):
    member = patient(dataset, "l1", errors=[0.8**k for k in range(100)], epochs=25, relax_at=relax_at)
    fit([member])
    assert member.penalised is not relaxed
    assert member.since == (math.ceil(relax_at * member.total) if relaxed else 0)


def test_what_is_pruned_is_pruned_first(dataset):
    member = patient(dataset, "pruning", errors=[0.5] * 100, epochs=25, prune_end=0.5)
    fit([member])
    done = next(row["step"] for row in member.history if row["active"] == 2)
    assert member.cooled_from > done and member.step < member.total and int(member.model.active.sum()) == 2


def test_a_stack_goes_on_until_all_have_learnt(dataset):
    soon, late = [0.5] * 100, [0.8 ** min(k, 14) for k in range(100)]
    members = [patient(dataset, "bottleneck", 0, errors=soon, epochs=25)]
    members.append(patient(dataset, "bottleneck", 1, members[0], errors=late, epochs=25))
    fit(members)
    alone = patient(dataset, "bottleneck", 0, errors=soon, epochs=25)
    fit([alone])
    row = lambda member: [r["step"] for r in member.history].index(member.cooled_from)  # noqa: E731
    assert row(alone) == 8 and [row(member) for member in members] == [17, 17]
    assert members[0].step == members[1].step == round(1.25 * members[0].cooled_from)
    assert members[0].stopped()["why"] == members[1].stopped()["why"] == "patience"


def test_runs_stack_that_are_as_far(dataset):
    one, other = (patient(dataset, "bottleneck", seed) for seed in (0, 1))
    assert one.stacks_with(other)
    one.cooled_from = 0
    assert not one.stacks_with(other)


def test_a_new_course_of_the_rate_lies_where_a_captured_step_reads_it(dataset):
    member = patient(dataset, "bottleneck", epochs=25)
    stepper = Stepper([member])
    place = stepper.rates.data_ptr()
    for step in range(100):
        if step == 60:
            member.cooled_from = step
            stepper.rated()
        with Watch() as watch:
            stepper.step(step)
        assert not watch.found or step % member.steps_per_epoch == 0  # an order is drawn
        wanted = member.patience.factor(step, member.total, 60 if step >= 60 else None)
        assert float(stepper.lr) == pytest.approx(member.options["lr"] * wanted, rel=1e-6)
        assert stepper.rates.data_ptr() == place


def test_trackers_are_told_what_was_followed_and_it_is_not_computed_twice(dataset):
    member, calls = patient(dataset, "bottleneck", epochs=8), []
    plain, told = member.follow, Logged()
    member.follow = lambda: calls.append(member.step) or plain()
    fit([member], watch=following.Watch([member], [told]))
    assert [numbers[FOLLOWED] for _, numbers in told.rows] == [row[FOLLOWED] for row in member.history]
    assert {"read_out_r2", *METRICS} < set(told.rows[0][1]) and calls == [row["step"] for row in member.history]
    again = Logged()
    following.Watch([member], [again])  # of a run that goes on: its rows first
    assert [numbers[FOLLOWED] for _, numbers in again.rows] == [row[FOLLOWED] for row in member.history]


# ---------------------------------------------------------------- kills


def killed_at(step, monkeypatch, members):
    """Train with a checkpoint after every step until the step after ``step`` begins, and fail there."""
    plain = Stepper.step

    def failing(self, done):
        if done == step:
            raise OSError("killed")
        plain(self, done)

    with monkeypatch.context() as patch:
        patch.setattr("distill.network.learning.fit.CHECKPOINT_SECONDS", -1.0)
        patch.setattr(Stepper, "step", failing)
        if step == members[0].total:  # after the last one
            return fit(members)
        with pytest.raises(OSError, match="killed"):
            fit(members)


@pytest.mark.parametrize("variants", [("l1",), ("kl",), ("pruning",), ("bottleneck", "bottleneck")])
def test_a_resumed_run_ends_with_the_same_bits_wherever_it_was_killed(dataset, variants, monkeypatch):
    """Before and after a relaxation, at the last step before the cool-down, at its first, within it, after its last."""
    small = dict(epochs=15, message_dim=2 if variants[0] == "bottleneck" else 6, patience_gain=0.3, prune_end=0.3)

    def members():
        out = [patient(dataset, variants[0], 0, **small)]
        return out + [patient(dataset, v, k + 1, out[0], **small) for k, v in enumerate(variants[1:])]

    whole = members()
    fit(whole)
    cooled, end = whole[0].cooled_from, whole[0].step
    assert whole[0].stopped()["why"] == "patience" and end < whole[0].total
    changed = whole[0].since or 20  # the step of the relaxation, or the last one at which something was pruned
    for step in (changed, changed + 1, cooled - 1, cooled, cooled + 1, (cooled + end) // 2, end - 1, whole[0].total):
        killed_at(step, monkeypatch, members())
        again = members()
        for member in again:
            member.restore()
        assert again[0].step == min(step, end) and again[0].cooled_from == (cooled if step > cooled else None)
        fit(again)
        for one, other in zip(whole, again, strict=True):
            assert one.history == other.history and one.stopped() == other.stopped()
            ends = one.model.state_dict(), other.model.state_dict()
            assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_checkpoint_with_an_impossible_course_is_refused(dataset, monkeypatch):
    killed_at(20, monkeypatch, [patient(dataset, epochs=25)])
    tensors, header, _ = training.load_tensors(Path("l10.safetensors"))
    for changes in ({"cooled_from": 21}, {"since": -1}, {"cooled_from": "soon"}, {"since": None}, {"cooled_from": 8}):
        training.save_tensors(Path("l10.safetensors"), tensors, header | changes)
        with pytest.raises(UserError, match=r"does not fit this run .*--overwrite"):
            patient(dataset, epochs=25).restore()
    training.save_tensors(Path("l10.safetensors"), tensors, {k: v for k, v in header.items() if k != "since"})
    with pytest.raises(UserError, match="does not fit this run"):
        patient(dataset, epochs=25).restore()


# ---------------------------------------------------------------- as a user runs it


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "datasets", trajectories=40)
    return tmp_path


NAME = "r2_n4_d2_s0__l1-newton__s0"
MORE = (*SMALL, "--epochs", 40, "--patience", 2, "--patience-gain", 0.3)


def test_what_is_told_of_it(folder):
    out = ok(run(folder, "train.py", *MORE)).splitlines()
    config = load_json(folder / "model_weights" / NAME / "config.json")
    head, *rows = (folder / "model_weights" / NAME / "history.csv").read_text().splitlines()
    told, last = config["stopped"], dict(zip(head.split(","), rows[-1].split(","), strict=True))
    assert head.split(",") == [*HISTORY, FOLLOWED] and METRICS[0] in head
    assert told["why"] == "patience" and told["epochs_asked"] == 40 and told["epochs_made"] < 40
    assert config["steps"] == int(last["step"]) and told["epochs_made"] == float(last["epoch"])
    assert told["error"] == float(last[FOLLOWED]) and config["graphs_seen"] == 16 * config["steps"]
    assert config["options"]["schedule"] == HELD and config["options"]["cool_down"] == 0.2
    words_said = dict(zip(out[-1].split()[2::2], out[-1].split()[3::2], strict=False))
    assert words_said["epochs_made"] == f"{told['epochs_made']:.4g}" and words_said["epochs_asked"] == "40"
    assert float(words_said[FOLLOWED]) == pytest.approx(told["error"], rel=1e-3)
    assert f"stopped after {told['epochs_made']:.3g} of at most 40 epochs: the read-out" in out[-2]
    assert "already done" in ok(run(folder, "train.py", *MORE))
    refused(run(folder, "train.py", *MORE[:-3], 3), "patience was 2, now 3", "--overwrite")
    refused(run(folder, "train.py", *SMALL, "--epochs", 40), "schedule was 'held'", "--overwrite")


def test_killed_by_the_system_it_goes_on_to_the_same_bits(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("whole")
    write_dataset(other / "datasets", trajectories=40)
    ok(run(other, "train.py", *MORE))
    process = start(folder, *MORE)
    process.kill()
    process.wait()
    ok(run(folder, "train.py", *MORE, "--resume"))
    assert weights(folder) == weights(other)
    texts = [(place / "model_weights" / NAME / "history.csv").read_text() for place in (folder, other)]
    assert texts[0] == texts[1]


def test_the_page_and_the_result_say_when_it_stopped(folder):
    ok(run(folder, "train.py", *MORE))
    code = "import distill, sys; r = distill.load_run(sys.argv[1]); print(r.facts()['Patience']); print(r.report)"
    (folder / "facts.py").write_text(code)
    said, page = ok(run(folder, folder / "facts.py", NAME)).splitlines()[-2:]
    assert said.startswith("stopped after ") and "the read-out of the messages" in said
    assert "topped after " in Path(page).read_text() and "of at most 40 epochs" in Path(page).read_text()


def test_where_messages_cannot_be_followed_it_is_the_validation_loss(folder):
    result = run(folder, "train.py", *MORE, "--variant", "hamiltonian")
    out = ok(result)
    name = NAME.replace("l1", "hamiltonian")
    assert f"of {name} as it is trained: patience is for its validation loss" in result.stderr
    config = load_json(folder / "model_weights" / name / "config.json")
    last = (folder / "model_weights" / name / "history.csv").read_text().splitlines()
    assert config["stopped"]["follows"] == "validation_loss" and last[0].split(",") == list(HISTORY)
    assert config["stopped"]["error"] == config["validation_loss"]
    assert "validation loss" in out.splitlines()[-2] and f"validation_loss {config['validation_loss']:.4g}" in out


def test_refusals(folder):
    for flags, said, code in (
        (("--patience", 0), "--patience", 2),
        (("--patience", 2.5), "--patience", 2),
        (("--patience", "N"), "--patience", 2),
        (("--patience", 3, "--cool-down", 1.5), "--cool-down", 2),
        (("--patience", 3, "--cool-down", 0), "--cool-down is 0", 1),
        (("--patience", 3, "--patience-gain", 1), "--patience-gain is 1", 1),
        (("--patience-gain", 0.1), "--patience-gain says nothing without --patience", 1),
        (("--cool-down", 0.1), "add --patience N", 1),
        (("--patience", 3, "--schedule", "onecycle"), "--schedule onecycle", 1),
    ):
        refused(run(folder, "train.py", *SMALL, *flags), said, code=code)
    assert {p.name for p in folder.iterdir()} == {"datasets"}


@pytest.mark.parametrize("wrong", [{"patience": 2.5}, {"patience": 0}, {"patience": True}, {"patience": "3"}])
def test_the_call_refuses_what_the_flag_does(dataset, wrong):
    with pytest.raises(UserError, match="--patience is .*, expected a whole number"):
        distill.train(str(dataset.path), **wrong)


def test_without_patience_there_is_none(dataset):
    member = trainer(dataset, "newton", "l1", 0)
    assert member.patience is None and member.stopped() is None and member.columns == HISTORY
    fit([member])
    assert member.step == member.total and set(member.history[-1]) == set(HISTORY)


def test_what_cannot_be_fitted_is_told_as_unknown():
    told = {"why": "epochs", "epochs_asked": 4, "epochs_made": 4.0, "cooled_from": 100, "follows": FOLLOWED}
    said = words.stopped_words(words.Stopped(**told, error=None))
    assert "error unknown at the end" in said and "4 of at most 4 epochs" in said
