"""The benchmark of scale: costs are kept stage by stage, and what was cut off is measured again from its beginning."""

import json
import os
from pathlib import Path

import pytest
import scale

from distill.pipeline.runs.cells import Cell, Outcome
from distill.shell.errors import UserError

SIZE = scale.Size("r2", 4, 60, 20, 1.0)
MADE = {"simulate.py": 1000, "train.py": 10, "extract_messages.py": 500, "fit_linear.py": 1, "symbolic_reg.py": 2}


class Stages:
    """In place of child processes: each writes a file where the environment says, ``broken`` one fails."""

    def __init__(self, broken=None, network=0.3):
        self.broken, self.called, self.stopped, self.network = broken, [], False, network

    def script(self, name: str, *flags) -> Outcome:
        self.called.append((name, flags))
        if name == self.broken:
            return Outcome("no room", "", 1.0, 0.5, 100.0)
        run, home = SIZE.cell().run, Path(os.environ["DISTILL_OUTPUTS"])
        weights = Path(os.environ["DISTILL_MODEL_WEIGHTS"])
        skill = {"network": self.network, "zero": 1.0, "mean": 1.1}
        files = {
            "train.py": {
                weights / run / "config.json": {
                    **{"n": 4, "edges_a_frame": None, "options": {}, "graphs_seen": 512, "train_graphs": 960},
                    **{"steps": 2, "cpu_seconds": 2.0, "skill": skill},
                }
            },
            "extract_messages.py": {
                home / run / f"messages_{k}.json": {"graphs": 10, "edges": 120} for k in ("train", "test")
            },
            "fit_linear.py": {home / run / "linear_fit.json": {"read_out": {"r2_all": 0.875}}},
        }
        for path, content in files.get(name, {}).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        large = home / f"{name}.bin"
        large.parent.mkdir(parents=True, exist_ok=True)
        large.write_bytes(b"x" * MADE[name])
        return Outcome(None, "", 3.0, 2.0, 300.0)

    def stop(self):
        self.stopped = True


def test_a_cell_has_the_costs_of_every_stage_and_what_they_said(tmp_path):
    stages = Stages()
    row = scale.measured(SIZE, tmp_path / "cell", stages, quick=True)
    assert [name for name, _ in stages.called] == list(MADE) == list(row["stages"])
    assert all("--quick" in flags and "--overwrite" in flags for _, flags in stages.called)
    first = row["stages"]["simulate.py"]
    assert set(first.pop("git")) == {"commit", "dirty"}
    assert first == {"cpu_s": 2.0, "seconds": 3.0, "peak_mb": 300.0, "done_before": False, "bytes": 1000}
    assert row["training"]["edges_a_cpu_s"] == 512 * 12 / 2.0  # 4 x 3 edges a frame
    assert row["messages"]["test"] == {"graphs": 10, "edges": 120}


@pytest.mark.parametrize("network, r2", [(0.1, 0.875), (0.11, None)])
def test_r2_is_told_of_a_network_that_has_learnt_alone(tmp_path, network, r2):
    assert scale.measured(SIZE, tmp_path / "cell", Stages(network=network), False)["read_out_r2_all"] == r2


def test_stages_that_are_done_are_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "same_code", lambda git: set(git) == {"commit", "dirty"})
    with pytest.raises(UserError, match="fit_linear.py: no room"):
        scale.measured(SIZE, tmp_path / "cell", broken := Stages("fit_linear.py"), False)
    assert broken.stopped and len(broken.called) == 4
    row = scale.measured(SIZE, tmp_path / "cell", again := Stages(), False)
    assert [name for name, _ in again.called] == ["fit_linear.py", "symbolic_reg.py"]
    assert row["stages"]["train.py"]["bytes"] > 10  # that of the first call
    assert "DISTILL_OUTPUTS" not in os.environ or not os.environ["DISTILL_OUTPUTS"].startswith(str(tmp_path))


def test_stages_of_other_code_are_measured_again(tmp_path, monkeypatch):
    """Each says which code it is of, and none stands beside those of another."""
    now = {"commit": "a" * 40, "dirty": False}
    monkeypatch.setattr(scale, "provenance", lambda *of: {"git": dict(now)})
    monkeypatch.setattr(scale, "same_code", lambda git: git == now)
    with pytest.raises(UserError):
        scale.measured(SIZE, tmp_path / "cell", Stages("train.py"), False)
    now["commit"] = "b" * 40
    row = scale.measured(SIZE, tmp_path / "cell", again := Stages(), False)
    assert [name for name, _ in again.called] == list(MADE)
    assert {one["git"]["commit"] for one in row["stages"].values()} == {"b" * 40}
    assert row["stages"]["simulate.py"]["bytes"] == 1000  # and not the little that came beside what was there


def test_every_size_has_flags_that_the_scripts_take():
    import simulate
    import train

    for size in (*scale.CELLS.values(), *scale.QUICK.values()):
        cell = size.cell()
        assert isinstance(cell, Cell)
        args = simulate.parser().parse_args(cell.words("simulate")[1:])
        assert (args.n, args.n_trajectories, args.n_frames) == (size.n, size.trajectories, size.frames)
        assert train.parse(cell.words("train")[1:]).epochs == size.epochs


def test_a_failed_cell_is_kept_until_it_is_measured_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale.paths, "OUTPUTS", tmp_path)
    monkeypatch.setattr(scale, "QUICK", {"r2_10000": SIZE})
    words = ["--quick", "--cells", "r2_10000"]
    monkeypatch.setattr(scale, "Children", lambda: Stages("train.py"))
    assert scale.main(words) == 1 and "train.py: no room" in capsys.readouterr().err
    monkeypatch.setattr(scale, "Children", Stages)
    assert scale.main(words) == 1 and scale.main([*words, "--overwrite"]) == 0
    assert not (tmp_path / "scale" / "r2_10000_quick").exists()  # its data are gone, its row is there
    assert json.loads((tmp_path / "scale" / "r2_10000_quick.json").read_text())["stages"]
