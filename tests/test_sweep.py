"""What the tables consist of and how a sweep is started; the workflow itself where Snakemake is installed."""

import importlib.util
import subprocess
import sys

import cells
import pytest
import sweep
from scripts import ROOT

from distill.network.variants import VARIANTS
from distill.pipeline.runs.cells import Cell
from distill.shell import paths
from distill.shell.errors import UserError

needs_snakemake = pytest.mark.skipif(importlib.util.find_spec("snakemake") is None, reason="Snakemake not installed")

# std is for argon, and networks of energies are in a table of their own
OF_THE_TABLES = [v for v in VARIANTS if v != "std" and VARIANTS[v].network == "messages"]


def test_the_tables_of_the_paper_are_complete():
    chosen = cells.select().values()
    for recipe, seeds in (("newton", cells.SEEDS), ("paper", cells.SEEDS[:1])):
        for variant in OF_THE_TABLES:
            for system in ("charge", "r1", "r2", "spring"):  # tables 1 and 5
                for dim in (2, 3):
                    found = {
                        c.seed
                        for c in chosen
                        if (c.system, c.dim, c.variant, c.recipe, c.n, c.tag, c.law)
                        == (system, dim, variant, recipe, 4, "", True)
                    }
                    assert found == set(seeds)
            for system in ("damped", "discontinuous") if variant != "pruning" else ():  # the rest of table 3
                assert {c.dim for c in chosen if (c.system, c.variant, c.recipe) == (system, variant, recipe)} == {2, 3}
    assert {c.variant for c in chosen} == set(OF_THE_TABLES) and {c.recipe for c in chosen} == {"newton", "paper"}


def test_every_cell_has_a_name_of_its_own_and_words_that_its_scripts_take():
    import simulate
    import train

    chosen = cells.select()
    assert len({c.run for c in chosen.values()}) == len(chosen) > 200
    for cell in chosen.values():
        assert simulate.parser().parse_args(cell.words("simulate")[1:]).seed == cell.seed
        args = train.parse(cell.words("train")[1:])
        assert args.dataset == cell.dataset and args.variant == [cell.variant] and args.tag == cell.tag


def test_seeds_of_the_tables_are_not_those_of_development():
    assert not set(cells.SEEDS) & {*range(10), 100, 101, 102}


def test_the_full_budget_is_that_of_the_paper():
    chosen = cells.select(budget="full")
    assert chosen and all(c.recipe == "paper" for c in chosen.values())
    for cell in chosen.values():
        words = list(cell.train)
        assert int(words[words.index("--epochs") + 1]) * 400_000 == 64_000_000
        assert words.count("--epochs") == words.count("--precision") == 1
    assert not set(chosen) & set(cells.select())
    pruned = next(c for c in chosen.values() if c.tag == "linear-0.75-full")
    assert "0.75" in pruned.train and "linear" in pruned.train


@pytest.mark.parametrize(
    "sections, budget, said", [(["papr"], "laptop", "did you mean 'paper'"), (None, "ful", "did you mean 'full'")]
)
def test_unknown_names_are_refused(sections, budget, said):
    with pytest.raises(UserError, match=said):
        cells.select(sections, budget)


def test_two_sweeps_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    lock = sweep.take_lock()
    with pytest.raises(UserError, match="another sweep is running"):
        sweep.take_lock()
    lock.close()
    sweep.take_lock().close()


def test_missing_cells_are_named_with_the_last_line_of_their_last_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    cell = Cell("r2", 2, "l1", "newton", 201)
    for stage, text in (("train", "fine"), ("fit", "working\nerror: no messages")):
        log = tmp_path / "logs" / stage / f"{cell.run}.log"
        log.parent.mkdir(parents=True)
        log.write_text(text)
    other = Cell("r1", 2, "l1", "newton", 201)
    done = Cell("spring", 2, "l1", "newton", 201)
    (tmp_path / f"{done.run}.json").write_text("{}")
    assert sweep.report({c.run: c for c in (cell, other, done)}, tmp_path) == 2
    told = capsys.readouterr()
    assert f"{cell.run}  error: no messages" in told.err and f"{other.run}  was not started" in told.err
    assert "1 of 3 cells" in told.out and done.run not in told.err


@needs_snakemake
@pytest.mark.slow
@pytest.mark.parametrize("profile, budget", [("local", "laptop"), ("slurm", "laptop"), ("gpu", "full")])
def test_every_profile_plans_every_cell(tmp_path, monkeypatch, profile, budget):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setenv(f"DISTILL_{name}", str(tmp_path / name.lower()))
    words = [sys.executable, "experiments/sweep.py", "--profile", profile, "--budget", budget, "--dry-run"]
    words += ["--results", str(tmp_path / "cells")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    chosen = cells.select(budget=budget)
    counts = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert int(counts["train"]) == int(counts["evaluate"]) == len(chosen)
    assert int(counts["simulate"]) == len({c.dataset for c in chosen.values()})
    assert int(counts["law"]) == sum(c.law for c in chosen.values())
    assert not (tmp_path / "cells").exists()
