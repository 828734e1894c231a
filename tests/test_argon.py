"""The page on argon: what the committed cells hold, and that what is planned can be run."""

import argon_tables
import cells as plan
import page_parts
import pytest
import sweep
import table_cells

from distill.network.variants import VARIANTS
from distill.search.registry import DEFAULT_TARGETS
from distill.shell.errors import UserError


@pytest.fixture(scope="module")
def committed():
    return table_cells.load(page_parts.ARGON)


def test_every_cell_was_planned_and_holds_the_rows_of_gamd_sr(committed):
    planned = plan.select(["argon"])
    for cell in committed.contents:
        assert cell["run"] in planned and cell["system"] == "lj" and not cell["quick"]
        assert cell["potential"]["r2_all"] < 0.5 < cell["fit"]["force"]["r2_all"]  # messages are forces
        row = argon_tables.row_of(cell)
        if cell["law"] is not None:
            assert len(row) == 9 and None not in row.values() and len(row["message_sr_one_law"]) == 3
            assert set(row["extrapolation"]) >= {"hotter_200K", "hotter_300K", "dilute", "dense", "more_particles"}


def test_all_variants_of_both_recipes_are_planned_in_words_that_the_scripts_take():
    import simulate
    import symbolic_reg
    import test_generalization
    import train

    planned = plan.select(["argon"])
    heads = [v for v in VARIANTS if VARIANTS[v].network == "messages"]
    assert {(c.variant, c.recipe) for c in planned.values()} == {(v, r) for v in heads for r in ("newton", "paper")}
    assert not set(planned) & set(plan.select())  # in no table of the paper
    for cell in planned.values():
        args = simulate.parser().parse_args(cell.words("simulate")[1:])
        assert (args.system, args.n, args.dim, args.seed) == ("lj", 258, 3, cell.seed)
        assert train.parse(cell.words("train")[1:]).dataset == cell.dataset
        assert "components" in (symbolic_reg.parse(cell.words("law")[1:]).targets or DEFAULT_TARGETS)
        assert test_generalization.parse(cell.words("compare")[1:]).rollouts in (0, None)


def test_a_section_with_a_page_of_its_own_goes_alone():
    assert sweep.folder_of(["argon"]) == page_parts.ARGON
    assert sweep.folder_of(["newton", "paper"]) == page_parts.CELLS
    with pytest.raises(UserError, match="page of its own"):
        sweep.folder_of(["newton", "argon"])


@pytest.mark.parametrize("value, text", [(None, "–"), (5e-10, "0 (exact)"), (0.25, "1/4"), (3.0, "3")])
def test_ratios_are_told_as_the_share_of_the_networks_error(value, text):
    assert argon_tables.ratio(value) == text


def test_sigma_and_epsilon_are_told_with_how_far_they_are_off():
    found = {"sigma": {"value": 3.4017, "true": 3.4}, "epsilon": {"value": 1.0, "true": 1.0}}
    assert argon_tables.sigma_epsilon(found) == "3.4017 Å (+0.05 %), 1 kJ/mol (exact)"
    assert argon_tables.sigma_epsilon(None) == "–"
