"""A stage that is stopped at its steps on the disk can be called again, with equal results, and nothing is lost."""

import kills
import pytest


def tried(place, stages, points, moments, seed=955):
    table = kills.Table(place, stages, list(kills.HOW), points, moments, seed, print)
    table.fill()
    return table.rows


def test_a_sample_of_stops(tmp_path):
    """Of the fastest stages; steps that leave the same on the disk are repeated once."""
    few = dict.fromkeys(kills.HOW, 2) | {"KILL": 3, "full": 4}
    rows = tried(tmp_path, ["import"], few, dict.fromkeys(kills.HOW, 0))
    assert not kills.wrong(rows), kills.wrong(rows)
    assert {row["how"] for row in rows} == set(kills.HOW) and len(rows) == 15
    ended = [row for row in rows if row["how"] in kills.SIGNALS]
    assert all(row["code"] == 130 and row["said"].strip().startswith("interrupted") for row in ended)
    full = [row["code"] for row in rows if row["how"] == "full"]  # whether the last step needs the disk is Python's
    assert set(full[:-1]) == {1} and full[-1] in (0, 1)


@pytest.mark.slow
def test_every_stage_is_stopped(tmp_path):
    points, moments = dict.fromkeys(kills.HOW, 3) | {"KILL": 14, "full": 10}, dict.fromkeys(kills.HOW, 2)
    rows = tried(tmp_path, list(kills.STAGES), points, moments | {"KILL": 6, "full": 0})
    assert not kills.wrong(rows), kills.wrong(rows)


def test_what_is_wrong_is_seen(tmp_path):
    """The checks themselves: another number, a file too many, a digest of something else, two lines, a child left."""
    before, after = {"a.json": {"x": 1}}, {"a.json": {"x": 1}, "b": b""}
    assert kills.difference(before, before) == "" and kills.difference(after, before).startswith("b")
    assert kills.difference({"a.json": {"x": 2}}, before) == "a.json: x: 2, not 1"
    for name, text, good in (("one", '{"content_sha256": "0", "x": 1}', False), ("two", '{"x": 1}', True)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.json").write_text(text)
        assert (kills.unmatched(tmp_path / name) == []) == good
    assert kills.said(1, "error: this\n") == "" == kills.said(130, "warning: that\n\ninterrupted\n")
    assert "ONE LINE" in kills.said(1, "error: this\nand that\n") and "EXIT" in kills.said(7, "")
    assert "TRACEBACK" in kills.said(1, "Traceback (most\nValueError") and "CHILDREN" in kills.said(130, "x", [1])
