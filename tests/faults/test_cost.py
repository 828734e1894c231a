"""The count of what guards cost: wherever a function was imported to, and once where guards call each other."""

import time

import cost
import guards
import pytest


def spent(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def inner(seconds=0.02, *, more=0.0):
    spent(seconds + more)


def outer():
    spent(0.02)
    inner(more=0.01)


def test_what_guards_spend_is_counted_once():
    imported = inner  # as by "from ... import inner"
    seconds, calls = guards.watch((inner, outer))
    imported(0.03, more=0.01)
    assert seconds["cpu"] == pytest.approx(0.04, abs=0.01) and calls == {"inner": 1}
    outer()
    assert seconds["cpu"] == pytest.approx(0.09, abs=0.02) and calls == {"inner": 2, "outer": 1}
    with pytest.raises(TypeError):
        imported(unknown=1)


def test_a_share_is_of_what_is_left_without_the_guards():
    one = {"guards": {"cpu": 1.0, "wall": 2.0}, "whole": {"cpu": 11.0, "wall": 42.0}}
    (row,) = cost.rows({"train.py": one})
    assert row["cpu"] == {"guards": 1.0, "rest": 10.0, "more": 0.1} and row["wall"]["more"] == 0.05
