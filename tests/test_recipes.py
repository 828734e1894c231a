"""Schedules: the one-cycle learning rate is torch's, pruning goes from all components to D, steps are enough."""

import pytest
import torch

from distill.network.recipes import RECIPES, components_kept, defaults, enough_epochs, lr_factor, paper_batch_size


def test_onecycle_is_torchs():
    total, peak = 200, 1e-3
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=peak)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=total + 1, final_div_factor=1e5)
    for step in range(total):
        # torch puts the peak on step 0.3 total - 1; ours on 0.3 total: compare shifted by less than a step
        ours = [peak * lr_factor("onecycle", p / total) for p in (step, min(step + 1, total))]
        assert min(ours) * 0.98 - 1e-9 <= scheduler.get_last_lr()[0] <= max(ours) * 1.02 + 1e-9
        optimizer.step()
        scheduler.step()
    assert lr_factor("onecycle", 0.3) == pytest.approx(1.0)
    assert lr_factor("onecycle", 1.0) == pytest.approx(1 / 25 / 1e5)


def test_cosine_warms_up_and_falls():
    assert lr_factor("cosine", 0.0) == pytest.approx(0.04)
    assert lr_factor("cosine", 0.1) == pytest.approx(1.0)
    assert lr_factor("cosine", 1.0) == pytest.approx(1e-4)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exponential"])
def test_pruning_starts_full_ends_at_dim_and_never_rises(schedule):
    kept = [components_kept(k / 100, 0.1, 0.65, 100, 2, schedule) for k in range(101)]
    assert kept[0] == kept[9] == 100 and kept[65] == kept[100] == 2
    assert all(a >= b for a, b in zip(kept, kept[1:], strict=False))
    middle = components_kept(0.375, 0.1, 0.65, 100, 2, schedule)
    assert {"linear": middle == 51, "cosine": middle == 51, "exponential": middle < 20}[schedule]


def test_paper_batch_size_keeps_edges_constant_and_never_vanishes():
    assert [paper_batch_size(n) for n in (4, 8, 32, 33, 100)] == [64, 16, 1, 1, 1]


@pytest.mark.parametrize(("recipe", "least"), [("newton", 3000), ("paper", 8000)])
@pytest.mark.parametrize("graphs", [40, 4000, 31_999])
def test_few_graphs_get_as_many_steps_as_train_a_network(recipe, least, graphs):
    options = defaults(recipe, "l1", 2)
    batch = options["batch_size"]
    epochs = enough_epochs(recipe, options["epochs"], batch, graphs)
    steps = epochs * (graphs // min(batch, graphs))
    assert steps >= least and epochs == int(epochs)
    assert epochs == options["epochs"] or steps - graphs // min(batch, graphs) < least  # and no more


@pytest.mark.parametrize(("recipe", "batch", "graphs"), [("newton", 256, 400_000), ("paper", 64, 400_000)])
def test_published_runs_keep_their_epochs(recipe, batch, graphs):
    epochs = RECIPES[recipe].options["epochs"]
    assert enough_epochs(recipe, epochs, batch, graphs) == epochs
    assert enough_epochs(recipe, 1, 1, 8000) == 1  # argon's 8,000 frames, one at a time
