"""The tables: what is written of the cells."""

import json
import re
import sys

import cells as plan
import page_parts
import pytest
import table_cells
import table_parts
from published import TABLES
from scripts import ROOT, environment, refused

COMMITTED = page_parts.CELLS


@pytest.fixture(scope="module")
def committed():
    return table_cells.load(COMMITTED)


def test_committed_cells_name_no_folder_and_are_whole_runs(committed):
    planned = plan.select() | plan.select(budget="full")
    for cell in committed.contents:
        assert cell["run"] in planned and not cell["quick"]
        text = json.dumps(cell)
        assert not re.search(r"/(tmp|home|root|work|Users|var|opt|mnt)/|[A-Z]:\\", text), cell["run"]
        assert cell["training"]["commit"] and cell["date"] and cell["hardware"]
        assert cell["messages"]["graphs"]["all"] >= 10_000
        cell_planned = planned[cell["run"]]
        assert cell["law"] is not None or not cell_planned.law
        assert cell["seed"] == cell_planned.seed and cell["recipe"] == cell_planned.recipe


def test_the_page_takes_its_numbers_from_the_cells(committed):
    """A changed cell changes its entry and no other line."""
    contents = json.loads(json.dumps(committed.contents))
    victim = next(
        c
        for c in contents
        if (c["system"], c["dim"], c["n"], c["variant"], c["recipe"], c["tag"])
        == ("charge", 2, 4, "bottleneck", "paper", "")
    )
    victim["messages"]["r2"]["force"]["trimmed"]["r2"] = 0.123
    before = table_parts.table_1(committed).splitlines()
    after = table_parts.table_1(table_cells.Cells(contents)).splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 2 and all(b.startswith("| charge, 2-D") and "0.123" in b for _, b in changed)


def test_medians_are_over_seeds():
    def cell(seed, value, recovered):
        return {
            "run": f"x{seed}",
            "system": "r1",
            "dim": 2,
            "n": 4,
            "variant": "l1",
            "recipe": "newton",
            "tag": "",
            "seed": seed,
            "a": {"b": value, "c": [value, -value]},
            "law": {"recovered": recovered, "from_messages_recovered": False},
        }

    cells = table_cells.Cells([cell(3, 0.9, True), cell(1, 0.1, True), cell(2, 0.2, False)])
    where = ("r1", 2, "l1", "newton")
    assert cells.median(("a", "b"), *where) == 0.2
    assert cells.median(("a", "c"), *where) == [0.2, -0.2]
    assert cells.values(("a", "b"), *where) == [0.1, 0.2, 0.9]
    assert cells.median(("a", "b"), "r1", 3, "l1", "newton") is None
    assert table_cells.laws_with(cells, "newton", "recovered")["l1"] == (2, 3)
    assert table_cells.laws_with(cells, "newton", "from_messages_recovered")["l1"] == (0, 3)


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "–"),
        (1.0, "1.000"),
        (0.99996, "1.0000"),
        (0.99949, "0.999"),
        (-0.25, "-0.250"),
        ((0.5, 0.9996), "0.500, 0.9996"),
    ],
)
def test_r2_is_not_rounded_up_to_one_unseen(value, text):
    assert table_cells.r2(value) == text


def test_published_values_stand_in_the_table():
    empty = table_cells.Cells([])
    text = table_parts.against(empty, "paper_r2", "paper")
    for (system, dim, variant), value in TABLES["paper_r2"].values.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {system}, {dim}-D"))
        column = table_parts.VARIANTS.index(variant) + 2
        assert row.split("|")[column].strip() == f"{table_cells.r2(value)} · – · –"


@pytest.mark.parametrize(
    "content, said", [(None, "holds no cells"), ("{}", "not the cell of a run"), ("{", "not valid JSON")]
)
def test_bad_cells_get_one_line(tmp_path, content, said):
    import subprocess

    if content is not None:
        (tmp_path / "x.json").write_text(content)
    words = [sys.executable, str(ROOT / "experiments" / "pages.py"), "--cells", str(tmp_path)]
    done = subprocess.run(
        [*words, "--out", str(tmp_path / "tables.md")], capture_output=True, text=True, env=environment(tmp_path)
    )
    refused(done, said)
    assert not (tmp_path / "tables.md").exists()


def test_many_missing_cells_are_counted_and_few_are_named():
    planned = sorted(plan.select())
    assert "`" + planned[0] + "`" in table_parts.of_missing(planned[:3])
    assert f"({len(planned)})" in table_parts.of_missing(planned) and planned[0] not in table_parts.of_missing(planned)
    assert table_parts.of_missing([]).startswith("Every cell")
