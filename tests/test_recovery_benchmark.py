"""benchmarks/recovery.py: rates, resuming, costs, seeds, the command line and the figure."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import recovery
import recovery_cells as cells
import recovery_figure
import recovery_summary as summary
import sections
from filled import filled
from scripts import ROOT, refused, run

from distill.files import kinds, records
from distill.files.storage import plain, save_json, save_text
from distill.pipeline.runs.cells import Children, Outcome
from distill.report.numbers import law_numbers
from distill.shell import paths
from distill.shell.errors import UserError

SETS = {"interpolation": 0.1, "wide": 0.5, "heavy": 2.0, "close": 0.3}


def row(system="r2", variant="l1", good=True, **other):
    """A row of a pipeline."""
    made = {
        "system": system,
        "dim": 2,
        "variant": variant,
        "noise": 0.0,
        "seed": 1,
        "error": None,
        "recovered": good,
        "from_messages_recovered": good,
        "control_recovered": None,
        "law_over_gnn_mae": SETS,
    }
    return made | other


# ---------------------------------------------------------------- rates


def test_variants_of_a_dataset_are_one_trial():
    """Intervals count datasets: 72 of 72 networks on 24 datasets are worth 24 of 24; the control ran once on each."""
    names = [(s, d, k) for s in ("spring", "r1", "r2", "charge") for d in (2, 3) for k in (1, 2, 3)]
    rows = [
        row(s, v, dim=d, seed=k, control_recovered=s != "charge")
        for s, d, k in names
        for v in ("l1", "bottleneck", "pruning")
    ]
    networks, control = (summary.rate(rows, key) for key in ("recovered", "control_recovered"))
    assert summary.shown_rate(networks) == "72/72 [86, 100]" and networks["datasets"] == 24
    assert summary.shown_rate(control) == "18/24 [55, 88]"  # not 54/72 [64, 84]
    once = [r if r["variant"] == "l1" else r | {"control_recovered": None} for r in rows]
    assert summary.rate(once, "control_recovered") == control
    # levels of noise lie on the same positions: one dataset more often, not more datasets
    noisy = [r | {"noise": x} for r in rows[:9] for x in (0.01, 0.05)]
    assert [summary.rate(noisy, k)[c] for k, c in (("recovered", "n"), ("recovered", "datasets"))] == [18, 3]
    assert [summary.rate(noisy, "control_recovered")[c] for c in ("n", "datasets")] == [6, 3]


def test_failed_cells_count_and_unknown_ones_do_not():
    rows = [row(), row(good=False), row(good=None), row(good=None, error="train.py: out of memory")]
    found = summary.rate(rows, "recovered")
    assert (found["successes"], found["n"]) == (1, 3)
    assert summary.rate(rows, "control_recovered")["n"] == 0
    assert summary.shown_rate(summary.rate([row(seed=k) for k in range(6)], "recovered")) == "6/6 [61, 100]"


def test_ratios_leave_out_what_is_not_finite():
    assert summary.ratios(row()) == {"interpolation": 0.1, "worst": 2.0, "median": 0.5}
    assert summary.ratios(row(law_over_gnn_mae=SETS | {"wide": None}))["worst"] is None
    assert summary.ratios(row(law_over_gnn_mae=None)) == {"interpolation": None, "worst": None, "median": None}


def test_pipeline_table_has_every_group():
    rows = [row(s, v, good=s == "r2", seed=k) for s in ("r2", "spring") for v in ("l1", "pruning") for k in range(3)]
    found = summary.summarise("pipeline", rows)
    table = found["table"].splitlines()
    assert any(line.startswith("| r2 2-D l1 | 3 | 3/3 [44, 100]") for line in table)
    assert any(line.startswith("| spring | 3 | 0/6 [0, 56]") for line in table)
    assert table[-1].startswith("| all | 6 | 6/12 [19, 81]")
    assert len({len(line.split("|")) for line in table}) == 1
    entry = next(g for g in found["rates"] if not g["group"])
    assert entry["recovered"]["n"] == 12 and entry["law_over_gnn_worst"] == 2.0


# ---------------------------------------------------------------- cells


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    return tmp_path


def test_finished_cells_are_not_run_again(outputs, monkeypatch):
    calls, errors = [], {"b": "no luck"}

    def fake(cell, children):
        calls.append(cell.name)
        return {"error": errors.get(cell.name), "value": cell.arguments["x"]}

    monkeypatch.setattr(cells, "measured", fake)
    todo = [cells.Measurement("planted", name, {"x": 1, "names": ("u", "v")}) for name in "ab"]
    rows = [c["row"] for c in cells.run_all(todo, 1)]
    assert calls == ["a", "b"] and [r["error"] for r in rows] == [None, "no luck"]
    stored = json.loads((outputs / "recovery" / "planted" / "a.json").read_text())
    assert stored["arguments"] == {"x": 1, "names": ["u", "v"]} and "commit" in stored["git"]
    errors.clear()
    assert [c["row"]["value"] for c in cells.run_all(todo, 1)] == [1, 1]
    assert calls == ["a", "b", "b"]  # what failed is tried again
    cells.run_all(todo, 1)
    assert len(calls) == 3
    changed = [cells.Measurement("planted", "a", {"x": 2, "names": ("u", "v")}), todo[1]]
    assert [c["row"]["value"] for c in cells.run_all(changed, 1)] == [2, 1]
    assert calls[3:] == ["a"]
    changed[0].path.write_text("{half")
    cells.run_all(changed, 1)
    cells.run_all(changed, 1, overwrite=True)
    assert calls[4:] == ["a", "a", "b"]


def test_a_pipeline_is_collected_again_when_its_law_has_changed(outputs, monkeypatch):
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", outputs / "weights")
    calls = []
    monkeypatch.setattr(cells, "pipeline", lambda cell, *rest: calls.append(1) or {"error": None})
    todo = cells.pipelines(["r2"], [2], ["l1"], [0.0], [201], "newton", 4, ["radial"])
    law = outputs / todo[0].name / "law.json"
    for text, expected in (("{}", 1), ("{}", 1), ('{"seconds": 2}', 2), ('{"seconds": 2}', 2)):
        save_text(law, text)
        cells.run_all(todo, 1)
        assert len(calls) == expected
    law.unlink()
    cells.run_all(todo, 1)
    assert len(calls) == 3


def test_children_are_measured_and_stopped():
    children = Children()
    burn = "import time\nx = bytearray(80_000_000)\nwhile time.process_time() < 0.3: pass\nprint('seen')"
    outcome = children.run([sys.executable, "-c", burn])
    assert outcome.error is None and outcome.stdout == "seen\n"
    assert 0.3 <= outcome.cpu_s < 3 and outcome.peak_mb > 80
    assert children.run([sys.executable, "-c", "import sys; sys.exit('first\\nlast')"]).error == "last"

    raised = []

    def wait():
        try:
            children.run([sys.executable, "-c", "import time; time.sleep(60)"])
        except KeyboardInterrupt:
            raised.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    while not children._running:
        time.sleep(0.01)
    children.stop()
    thread.join(20)
    assert raised == [True]
    with pytest.raises(KeyboardInterrupt):
        children.run([sys.executable, "-c", "pass"])


def test_stages_of_a_pipeline_are_what_a_user_would_type():
    (cell,) = cells.pipelines(["r2"], [3], ["l1"], [0.05], [201], "newton", 4, ["radial", "node"])
    name = "r2_n4_d3_s201_noise0.05"
    assert cell.name == cell.arguments["run"] == f"{name}__l1-newton__s201"
    said = [" ".join(words) for words in cell.arguments["stages"]]
    assert said == [
        "simulate.py --system r2 --n 4 --dim 3 --seed 201 --tag noise0.05 --acceleration-noise 0.05",
        f"train.py --dataset {name} --variant l1 --recipe newton --seed 201 --resume",
        f"extract_messages.py --run {cell.name} --seed 201",
        f"fit_linear.py --run {cell.name} --seed 201",
        f"symbolic_reg.py --run {cell.name} --seed 201 --targets radial node --rivals",
        f"test_generalization.py --run {cell.name} --rollouts 0",
    ]
    (added,) = cells.pipelines(["r2"], [2], ["l1"], [0.05], [201], "newton", 4, ["radial"], "added")
    words = "simulate.py --system r2 --n 4 --dim 2 --seed 201 --tag added0.05 --additive-noise 0.05"
    assert " ".join(added.arguments["stages"][0]) == words and added.arguments["noise_is"] == "added"
    variants = ["l1", "pruning"]
    both = cells.pipelines(["r2"], [2], variants, [0.0], [201], "newton", 4, ["radial"], rivals=["control", "splines"])
    # once a dataset: what needs no trained network is the same for every variant
    asked = [" ".join(cell.arguments["stages"][4]).partition("--rivals")[2].split() for cell in both]
    assert asked == [["control", "splines"], []]
    bare = cells.pipelines(["r2"], [2], ["l1"], [0.0], [201], "newton", 4, ["radial"], without=["exp_gate", "all"])
    flags = [" ".join(cell.arguments["stages"][1]).partition("--resume")[2].split() for cell in bare]
    assert flags[0] == ["--no-exp-gate"] and bare[0].name.endswith("__s201_without-exp-gate")
    assert len(bare) == 2 and {"--no-exp-gate", "--no-linear-node", "--close-sampling", "0"} < set(flags[1])
    (clean,) = cells.pipelines(["r2"], [2], ["l1"], [0.0], [201], "newton", 4, ["radial"])
    assert clean.arguments["stages"][0] == "simulate.py --system r2 --n 4 --dim 2 --seed 201".split()


def test_presets_have_the_sizes_reported():
    sizes = {}
    for matrix in recovery.MATRICES:
        args = recovery.parse(["pipeline", "--matrix", matrix])
        args.seeds = recovery.seeds_of(args)
        section, made = recovery.pipeline(args)
        assert section == matrix
        sizes[matrix] = len({c.name for c in made})
    assert sizes == {"newton": 72, "standard": 24, "hard": 9, "noise": 24, "added-noise": 24, "argon": 18, "priors": 54}
    args = recovery.parse(["pipeline", "--systems", "r2", "--seeds", "1501"])
    assert recovery.pipeline(args)[0] == "custom"


def test_a_pipeline_stops_at_its_first_error_and_keeps_former_costs(outputs, monkeypatch):
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", outputs / "weights")
    (cell,) = cells.pipelines(["r2"], [2], ["l1"], [0.0], [201], "newton", 4, ["radial"])
    former = {"stages": {"simulate.py": {"cpu_s": 7.0}}, "error": "train.py: x"}
    save_json(cell.path, {"arguments": plain(cell.arguments), "row": former})
    asked = []

    class Fake(Children):
        def script(self, name, *words):
            asked.append(name)
            text = "simulate  already done with the same arguments and inputs" if name == "simulate.py" else ""
            error = "error: no disk left" if name == "extract_messages.py" else None
            return Outcome(error, text, 1.0, 0.5, 100.0)

    found = cells.pipeline(cell, Fake())
    assert asked == ["simulate.py", "train.py", "extract_messages.py"]
    assert found["error"] == "extract_messages.py: error: no disk left"
    assert found["stages"]["simulate.py"]["cpu_s"] == 7.0 and found["stages"]["train.py"]["cpu_s"] == 0.5


def test_numbers_of_a_law():
    said = {"recovered": True, "why": "", "relative_error_in_range": 0.01, "relative_error_extrapolated": 0.2}
    equal = filled(kinds.Equivalence, relation="equal")
    law = records.build(kinds.LawRecord, filled(kinds.LawRecord, verdict=said | {"equivalence": equal}))
    law.from_messages.verdict = records.build(kinds.Verdict, said)
    found = law_numbers(law)
    assert found["recovered"] and found["equivalence"] == "equal" and found["control_recovered"] is None
    assert found["from_messages_within_5"] is False and found["from_messages_equivalence"] is None
    law.from_messages.verdict.relative_error_extrapolated = 0.04
    other = filled(kinds.Rival, verdict=said | {"recovered": False}, before_refit=filled(kinds.BeforeRefit))
    law.rivals = {"control": records.build(kinds.Rival, other)}
    found = law_numbers(law)
    assert found["from_messages_within_5"] is True and found["control_recovered"] is False
    for name, known in (("control", None), ("untrained", False)):  # where no force could be read there is no law
        law.rivals = {name: records.build(kinds.Rival, other | {"before_refit": None})}
        assert law_numbers(law).get(f"{name}_before_refit_recovered") is known
    law.from_messages.verdict = None
    found = law_numbers(law)
    assert found["from_messages_within_5"] is None and "sigma_off" not in found
    one = {"value": 3.4034, "true": 3.4}
    law.from_messages.lennard_jones = {"sigma": one, "epsilon": one | {"true": None}}
    found = law_numbers(law)
    assert found["from_messages_sigma_off"] == pytest.approx(1e-3) and "from_messages_epsilon_off" not in found


# ---------------------------------------------------------------- seeds and command line


@pytest.mark.parametrize("kind", recovery.KINDS)
def test_development_seeds_are_refused(kind):
    for seed in recovery.DEVELOPMENT_SEEDS:
        with pytest.raises(UserError, match=f"seed {seed} was used in development"):
            recovery.seeds_of(recovery.parse([kind, "--seeds", "999", str(seed)]))
    default = recovery.seeds_of(recovery.parse([kind]))
    assert default == list(recovery.SEEDS[kind])
    with pytest.raises(UserError, match="no development seed"):
        recovery.seeds_of(recovery.parse([kind, "--development", "--seeds", str(default[0])]))
    apart = [recovery.results_path(kind, development) for development in (False, True)]
    assert apart[0].parent == ROOT / "results" and "development" in apart[1].name


def test_changed_code_is_refused(tmp_path, monkeypatch):
    """In a repository of its own: what measurements write does not count, code does, unless it is asked for."""

    def git(*words):
        who = "-c user.name=x -c user.email=x@x -c commit.gpgsign=false".split()
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    (tmp_path / "results").mkdir()
    names = ("code.py", "results/a.json", "README.md")
    for name in names:
        (tmp_path / name).write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    args = recovery.parse(["pipeline"])
    for name in names[::-1]:
        recovery.require_clean(args)
        (tmp_path / name).write_text("2")
    with pytest.raises(UserError, match="differ from the commit"):
        recovery.require_clean(args)
    for words in ("--allow-dirty", "--development"):
        recovery.require_clean(recovery.parse(["pipeline", words]))


def test_sections_are_kept(tmp_path):
    path = tmp_path / "recovery_pipeline.json"
    for section, value in (("newton", 1), ("noise", 2), ("newton", 3)):
        sections.save(path, "recovery pipeline", section, {"value": value})
    assert json.loads(path.read_text())["sections"] == {"newton": {"value": 3}, "noise": {"value": 2}}


def test_near_misses_from_the_command_line(outputs, capsys):
    command = ["near-misses", "--development", "--seeds", "100", "--count", "1", "--jobs", "1"]
    assert recovery.main(command) == 0
    text = capsys.readouterr().out
    assert "0 of 1 cells are done" in text and "| all, given | 1 | 1 | 0 |" in text
    path = outputs / "recovery" / "recovery_near_misses_development.json"
    content = json.loads(path.read_text())["sections"]["custom"]
    assert (
        [r["group"] for r in content["rows"]] == ["small", "right"]
        and content["hardware"]
        and content["date"]
        and "sympy" in content["versions"]
    )
    assert all(c["cpu_s"] > 0.1 and c["peak_mb"] > 20 and c["error"] is None for c in content["cells"])
    recovery.main(command)
    assert "1 of 1 cells are done" in capsys.readouterr().out
    recovery.main(["summary", "--development"])
    assert "near-misses, custom" in capsys.readouterr().out


def test_summary_draws_the_figure(outputs, monkeypatch, capsys):
    with pytest.raises(UserError, match="no results yet"):
        recovery.main(["summary", "--development"])
    path = recovery.results_path("pipeline", True)
    content = {"date": "today", "hardware": "an abacus"} | summary.summarise("pipeline", [row(), row("spring")])
    sections.save(path, "recovery pipeline", "newton", content)
    recovery.main(["summary", "--development"])
    assert "an abacus" in capsys.readouterr().out
    assert (outputs / "recovery" / "recovery.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_calls_are_one_line(tmp_path):
    refused(run(tmp_path, "benchmarks/recovery.py", "planted", "--seeds", 7), "seed 7 was used in development")
    refused(run(tmp_path, "benchmarks/recovery.py", "plantd"), "did you mean 'planted'", code=2)


SIZE = {"trajectories": 1, "frames": 1}


def test_a_cell_that_fails_is_reported(outputs):
    found = cells.run_all(
        [cells.Measurement("near-misses", "bad", {"law": "nothing", "dim": 2, "seed": 100} | SIZE)], 1
    )
    assert "nothing" in found[0]["row"]["error"] and found[0]["row"]["peak_mb"] > 0
    table = summary.summarise("near-misses", [c["row"] for c in found])["table"]
    assert "cells failed: 1" in table


# ---------------------------------------------------------------- figure


def texts(figure):
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_figure_of_rates():
    rows = [row(s, v, good=k < 2, seed=k) for s in ("spring", "r2") for v in ("l1", "standard") for k in range(3)]
    rows[0] |= {"law_over_gnn_mae": dict.fromkeys(SETS, 0.0), "control_recovered": True}
    noisy = [row("r2", noise=0.05, good=False), row("r2", noise=0.05, good=None, error="x")]
    figure = recovery_figure.recovery({"newton": rows, "noise": noisy})
    shown = texts(figure)
    assert shown.count("2/3") >= 8 and "1/1" in shown and "0/2" in shown and "5 %" in shown
    (ratios,) = (axis for axis in figure.axes if axis.get_xscale() == "log")
    points = np.concatenate([line.get_xdata() for line in ratios.get_lines()])
    assert (points == recovery_figure.FLOOR).sum() == 2  # exact zeros: interpolation and worst extrapolation
    assert not any("noise" in text for text in texts(recovery_figure.recovery({"newton": rows[:1]})))
