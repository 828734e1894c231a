"""The speed benchmark's own numbers: counted operations, ratios to neighbouring baselines, reaching a target."""

import pytest
import speed_timing
import speed_training
import torch
from speed_time_to_r2 import reached
from speed_training_baseline import OriginalTraining
from torch.utils.flop_counter import FlopCounterMode

from distill.network.edges import all_pairs


@pytest.mark.parametrize("n", [3, 4, 8])
def test_operations_of_a_step_are_those_that_torch_counts(n):
    batch = 5
    member = speed_training.trainer(n, 40, batch, "float32")
    member.model.double()  # float64 goes through torch's own products, which its counter knows
    x, wanted = member.x[:batch].double(), {"acc": member.labels.acc[:batch].double()}
    with FlopCounterMode(display=False) as counter:
        pred = member.model(x.flatten(0, 1), all_pairs(n, batch))[0]
        member.loss(member.labels.combine(pred, wanted)).backward()
    assert counter.get_total_flops() / batch == pytest.approx(speed_training.flops(n), rel=0.01)


def test_ratio_is_to_the_neighbouring_baselines(monkeypatch):
    now = [0.0]
    monkeypatch.setitem(speed_timing.CLOCKS, 1, ("CPU", lambda: now[0]))
    seconds = iter([1.0, 4.0])  # the machine slows down between the rounds

    def takes(share):
        def call():
            now[0] += share * pace[0]

        return call

    pace = [1.0]

    def candidate():
        pace[0] = next(seconds)
        now[0] += 0.5 * pace[0]

    rows = speed_timing.side_by_side(takes(1.0), {"ours": candidate}, {"baseline": 10, "ours": 20}, 2, warm_up=False)
    # round 1: 20 units in 0.5 s against 10 a second on both sides; round 2: 20 in 2 s between 10 and 2.5 a second
    assert rows["ours"]["ratio_range"] == pytest.approx([10 / 6.25, 40 / 10])
    assert rows["ours"]["ratio"] == pytest.approx((10 / 6.25 + 4) / 2)
    assert rows["baseline"]["ratio"] is None


def test_share_of_the_limit_is_taken_timing_by_timing(monkeypatch):
    now, pace = [0.0], iter([1.0, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0])
    monkeypatch.setitem(speed_timing.CLOCKS, 1, ("CPU", lambda: now[0]))
    last = [1.0]

    def call():
        last[0] = next(pace)
        now[0] += last[0]

    rows = speed_timing.side_by_side(
        call, {"ours": call}, {"baseline": 10, "ours": 20}, 2, warm_up=False, limit=lambda name: 80 / last[0]
    )
    assert rows["ours"]["of_limit"] == pytest.approx(20 / 80)  # at whatever pace the machine was
    assert rows["ours"]["limit"] == pytest.approx((80 / 1 + 80 / 4) / 2)
    assert rows["baseline"]["of_limit"] == pytest.approx(10 / 80)


def test_target_counts_as_reached_only_if_it_holds_to_the_end():
    rows = [{"cpu_s": t, "r2_all": r} for t, r in ((1, 0.5), (2, 0.995), (3, 0.98), (4, 0.991), (5, 0.999))]
    assert reached(rows) == 4
    assert reached(rows[:3]) is None and reached(rows[:2]) == 2


def test_the_original_way_learns():
    torch.manual_seed(0)
    x, _ = speed_training.states(600, 4)
    way = OriginalTraining(x, x[..., 2:4] * 2, 2, 30, hidden=32, message_dim=8, total=400)
    first, last = way.steps(20), [way.steps(100) for _ in range(3)][-1]
    assert last < 0.5 * first


def test_peak_is_a_rate_of_this_machine():
    small, large = (speed_timing.matrix_peak("float32", size=s, repeats=2) for s in (64, 512))
    assert 1e8 < large < 1e14 and small > 0


def test_gpu_section_goes_through_its_code_without_a_gpu(capsys, monkeypatch, tmp_path):
    import speed

    monkeypatch.setattr(speed, "set_threads", lambda n: None)  # not of this process
    monkeypatch.setattr(speed, "RESULTS", tmp_path / "speed.json")
    assert speed.main(["gpu", "--quick", "--rounds", "1"]) == 0
    assert not speed.RESULTS.exists()  # quick numbers are not kept
    out = capsys.readouterr().out
    assert "| bf16 | 16 | 2 | no |" in out
    if not torch.cuda.is_available():
        assert "not measured" in out


def test_figure_of_partial_results():
    from speed_figure import figure, speed_ups

    row = {"n": 4, "precision": "float32", "way": "x", "ratio": 2.0, "ratio_range": [1.8, 2.2]}
    sections = {"training": {"rows": [row, row | {"ratio": None}]}}
    assert speed_ups(sections) == [("training, n = 4, float32, 1 thread", 2.0, [1.8, 2.2], "ours")]
    assert len(figure(sections).axes) == 2
