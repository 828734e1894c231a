"""What stands beside the networks: each part of the pages says what its result file holds, and nothing without it."""

import energy_parts
import evidence_parts as evidence
import page_parts
import pytest
import recovery_parts

from distill.files.storage import save_json
from distill.shell import paths

ABOUT = {"arguments": {"seeds": [1, 2]}, "hardware": "an abacus", "date": "today"}
ABOUT |= {"git": {"commit": "0123456789", "dirty": False}}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path / "results"


def test_nothing_is_said_before_it_is_measured(results):
    for name in ("splines", "nonlinear", "masses", "residual-test"):
        assert page_parts.PARTS[name]() == ""
    assert evidence.sentences([{"system": "r2", "dim": 2, "seed": 1, "r2_all": 0.9}]) == ""


def of_splines(seed: int, r2: float, noise="none") -> dict:
    numbers = {"r2_all_min": r2, "r2_trim90_min": 1.0, "median_relative_error_max": 2e-4, "cpu_seconds": 4.5}
    return {"system": "r2", "dim": 2, "seed": seed, "noise": noise} | numbers


def test_splines_and_networks_are_compared_on_the_same_data_sets(results):
    summary = {"fits": 3, "reach_bar": 2, "bar": 0.999, "worst_r2_all": 0.99949, "cpu_seconds_max": 4.5}
    rows = [of_splines(1, 0.99999), of_splines(2, 0.99949), of_splines(3, 1.0), of_splines(1, 0.5, "added")]
    save_json(results / "splines.json", {"rows": rows, "summary": {"none": summary}, "provenance": ABOUT})
    networks = [{"system": "r2", "dim": 2, "seed": k, "r2_all": v} for k, v in ((1, 0.999), (1, 0.9), (2, 0.9997))]
    said = evidence.sentences(networks)
    assert "in 1 of the 2 data sets" in said and "worst draw of edges 0.9994" in said and "some of `r2`" in said
    text = page_parts.PARTS["splines"]()
    assert "| r2, 2-D, no noise | 3 | 0.9994 | 1 | 0.0002 | 4.5 |" in text and "in 2 of 3 fits" in text
    assert "| r2, 2-D, noise added | 1 | 0.500 |" in text and "Seeds 1, 2; an abacus; today; commit `0123456`;" in text


@pytest.mark.parametrize(
    "value, shown", [(1.0, "1"), (0.999958, "0.99995"), (0.9994999, "0.9994"), (0.105, "0.105"), (-2658.0, "-2.66e+03")]
)
def test_an_r2_is_rounded_down(value, shown):
    assert evidence.below_one(value) == shown


def test_responses_are_counted_beside_their_rivals(results):
    def row(system, seed, recovered):
        rivals = {"splines": {"pair": "r", "error": 0.2, "recovered": False}}
        found = {"recovered": recovered, "from_messages_recovered": False, "error_law": 1e-3, "error_network": 0.01}
        return {"system": system, "variant": "l1", "seed": seed, "rivals": rivals} | found

    failed = {"system": "mond", "variant": "l1", "seed": 2, "error": "train.py: no disk"}
    rows = [row("saturating", 1, True), row("saturating", 2, True), row("mond", 1, False), failed]
    save_json(results / "nonlinear.json", {"sections": {"2-D": ABOUT | {"rows": rows, "recovered_is": "both right"}}})
    text = page_parts.PARTS["nonlinear"]()
    assert "| saturating, 2-D | 2 | 0/2 [0, 66] | 2/2 [34, 100] | 0/2 [0, 66] | 0.001 · 0.01 · 0.2 |" in text
    assert "| mond, 2-D | 2 | 0/2 [0, 66] | 0/2 [0, 66] | 0/1 [0, 79] |" in text and "both right" in text
    assert evidence.sentences([]).endswith("through the network 2/4, splines 0/3.")


def test_columns_are_those_that_were_measured():
    old = {"system": "r2", "dim": 2, "seed": 1, "recipe": "newton", "recovered": True, "from_messages_recovered": True}
    old |= {"r2_all": 0.99996, "control_recovered": False, "law_over_gnn_mae": {"interpolation": 0.0, "wide": 0.25}}
    new = old | {"untrained_recovered": True, "untrained_before_refit_recovered": False, "splines_r2_all": 1.0}
    columns = [recovery_parts.SIZE, recovery_parts.R2_SPLINES, *recovery_parts.verdicts(False), *recovery_parts.ERRORS]
    heads = [[c.head for c in recovery_parts.table([("r2", rows)], columns)[1]] for rows in ([old], [old, new])]
    assert set(heads[1]) - set(heads[0]) == {"R² of splines", "untrained network", "untrained, after the refit"}
    assert recovery_parts.table([("r2", [old])], columns)[0].endswith("| r2 | 1 (1) | 1/1 | 1/1 | 0/1 | 0 | 0.2 |")
    assert not recovery_parts.with_rivals([old]) and recovery_parts.with_rivals([old | {"noise_is": None}])


def test_what_is_of_an_older_measure_says_so(monkeypatch):
    """Its label goes when the rivals have been measured; lines without them leave README.md then."""
    stored = page_parts.value("recovery_pipeline", "sections/newton/rows")
    rows = [{k: v for k, v in r.items() if k != "noise_is"} for r in stored]
    new = [r | {"noise_is": None, "untrained_before_refit_recovered": False} for r in rows]
    lines = [("new", new), ("before", rows)]
    monkeypatch.setattr(page_parts, "lines_of_recovery", lambda: lines)
    assert "| new |" in page_parts.recovery() and "before" not in page_parts.recovery().split("Columns")[0]
    monkeypatch.setattr(page_parts, "lines_of_recovery", lambda: lines[1:])
    assert page_parts.recovery().startswith("**Measured before the comparisons were made strong** (seeds ")


def test_constants_of_argon():
    rows = [{"from_messages_sigma_off": -0.001, "from_messages_epsilon_off": 0.004, "sigma_off": 1e-9}, {}]
    said = recovery_parts.constants_of_argon(rows)
    assert "before the refit: the form in 1 of 2 networks, sigma 0.1 % in the median, 0.1 % at most" in said
    assert "epsilon 0.4 %" in said and "after it: the form in 1 of 2 networks, sigma 1e-07 %" in said
    assert recovery_parts.constants_of_argon([{}]) == ""


def test_wrong_laws_called_recovered_are_told(results):
    counts = {"wrong": 200, "wrong_called_recovered": 0}, {"wrong": 128, "wrong_called_recovered": 2}
    one = dict(zip(("given", "refitted"), counts, strict=True))
    assert "Of 328 wrong laws with gross faults 2 were" in evidence.refused(one)
    for stage in one.values():
        stage |= {"right": 50, "right_refused": 1}
    said = evidence.refused(one)
    assert said.endswith("2 were called recovered; of 100 right ones, respelt or refitted, 2 were refused.")


def of_energies() -> dict:
    """A row of a network of energies, asked for no epochs."""
    row = {"run": "x", "system": "r2", "dim": 2, "recipe": "newton", "seed": 3, "epochs": None, "rollouts": 8}
    row |= {"cpu_seconds": 159.0, "polish_cpu_seconds": 41.0, "graphs_a_second": 16_000.0, "published": 1.284}
    row |= {"hardware": "a machine", "date": "a day", "git": {"commit": "abcdefgh", "dirty": False}}
    row |= {"trained_epochs": 6, "silent_start": True}
    row |= {"variant": "hamiltonian", "force_r2_trim90": 0.99995, "force_r2_all": 0.9991}
    row |= {"potential_recovered": True, "potential_form": True, "kinetic_recovered": False}
    row |= {"searched_recovered": False, "searched_form": True, "drift": 3.3e-4, "drift_gnn": 2.2e-4}
    row |= {"drift_law": 5e-6, "own_gnn": 3e-9, "own_law": 6e-14}
    row |= {"mae_component": 0.26, "mae_particle": 0.52, "mae_graph": 2.1}
    row |= {"potential": "-m_i*m_j/(r+0.01)", "searched": "-0.9*m_i*m_j/(r+0.01)", "kinetic": "p**2/(2*m)"}
    return row


def of_l1(**what) -> dict:
    row = {k: v for k, v in of_energies().items() if not k.startswith(("drift", "own", "potential", "searched"))}
    return row | {"variant": "l1", "trained_epochs": 4, "drift": 0.0066, "graphs_a_second": 40_000.0} | what


def told_of_energies(*rows) -> str:
    return energy_parts.energies({"sections": {"hamiltonian": {"rows": list(rows)}}})


def test_energies_are_told_beside_l1_and_the_published_errors_by_length_of_training():
    own = of_energies()
    short = own | {"epochs": 4, "trained_epochs": 4}
    rows = [short, own, own | {"seed": 4}, of_l1(), {"variant": "hamiltonian", "error": "it failed", "seed": 5}]
    text = told_of_energies(*rows)
    assert "| r2, 2-D, 4 epochs | 1 | 0.99995 | 0.9991 | 1/1 | 1/1 | 0/1 | 1/1 | 0/1 |" in text
    assert "| r2, 2-D, 6 epochs | 2 | 0.99995 | 0.9991 | 2/2 | 2/2 | 0/2 | 2/2 | 0/2 |" in text
    assert "| r2, 2-D, 6 epochs | 4 | 0.00033 | 0.00022 | 0.0066 (1 of 2) | 5e-06 | 0.4 | 118, 41 |" in text
    assert "| r2, 2-D, 4 epochs | – | 0.00033 | 0.00022 | – | 5e-06 | – | 118, 41 |" in text
    assert "**1 networks on 1 data sets** of 1 systems" in text and "as searched 0/1, its form 1/1" in text
    assert "By DOP853 their rollouts drift 0.05 times" in text and "symplectic method it is 0.0333 times" in text
    assert "| r2, 2-D, 6 epochs | `-m_i*m_j/(r+0.01)` | `-0.9*m_i*m_j/(r+0.01)` | `p**2/(2*m)` |" in text
    assert "| r2, 2-D, 6 epochs | 1.284 | 0.26 | 0.52 | 2.1 |" in text
    assert "of 2 rows: over components 2; over particles 2; over graphs 0" in text
    assert "3e-09" not in text and "6e-14" not in text, "energies that steps are chosen by are no evidence"


def test_networks_of_two_starts_stay_apart():
    old = {k: v for k, v in of_energies().items() if k != "silent_start"} | {"seed": 4, "searched_form": False}
    text = told_of_energies(of_energies(), old)
    assert "| r2, 2-D, 6 epochs | 1 | 0.99995 | 0.9991 | 1/1 | 1/1 | 0/1 | 1/1 | 0/1 |" in text
    assert "| r2, 2-D, 6 epochs, usual start | 1 | 0.99995 | 0.9991 | 1/1 | 1/1 | 0/1 | 0/1 | 0/1 |" in text


@pytest.mark.parametrize("turn", [1, -1])
def test_l1_networks_of_two_budgets_stay_apart(turn):
    """Each network of energies stands beside that which was asked for as many epochs, in whatever order rows come."""
    own = of_energies()
    rows = [own, own | {"epochs": 3, "trained_epochs": 3}]
    rows += [of_l1(), of_l1(epochs=3, trained_epochs=3, drift=0.066, graphs_a_second=32_000.0)]
    text = told_of_energies(*rows[::turn])
    assert "| r2, 2-D, 6 epochs | 4 | 0.00033 | 0.00022 | 0.0066 | 5e-06 | 0.4 | 118, 41 |" in text
    assert "| r2, 2-D, 3 epochs | 3 | 0.00033 | 0.00022 | 0.066 | 5e-06 | 0.5 | 118, 41 |" in text
    assert "**2 networks on 1 data sets**" in text


WITHOUT = {"splines_recovered": True, "control_recovered": False}  # a network


def test_systems_without_a_formula_of_their_energy_and_fluids_have_lines():
    own = of_energies()
    jumps = {k: v for k, v in own.items() if not k.startswith(("potential", "searched", "drift_law"))}
    jumps |= {"system": "discontinuous", "recipe": "paper"}
    fluid = own | {"system": "kob_andersen", "dim": 3, "published": None, "recovered": True, "trained_epochs": 1}
    fluid |= {"searched": "species__A_i*species__A_j*(2.0/r^12 - 1.0/r^6) + species__B_i*species__B_j/r^2"}
    text = told_of_energies(jumps, fluid | {"read_sigma_off": 0.001, "read_epsilon_off": None} | WITHOUT)
    assert "`V_AA = 2.0 / r^12 - 1.0 / r^6`<br>`V_AB = V_BA = 0`<br>`V_BB = 1 / r^2`" in text
    assert "| discontinuous, 2-D, paper, 6 epochs | 1 | 0.99995 | 0.9991 | – | – | – | – | 0/1 |" in text
    assert "| discontinuous, 2-D, paper, 6 epochs | – | 0.00033 | 0.00022 | – | – | – | 118, 41 |" in text
    assert "| kob andersen, 3 | 0.99995 | 0.9991 | – | yes | yes | no | 0.1 % | – | – | – | 118, 41 |" in text
    assert "that l1 learnt too" not in text and "| kob andersen, 3-D, 1 epochs | `-m_i" in text
