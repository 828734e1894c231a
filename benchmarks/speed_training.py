"""Graphs a second in training: the original way and ours, side by side, and the machine's matrix peak.

The paper's network (300 wide, 100 messages) on states drawn at random; ``standard`` variant, paper recipe. Floating
point operations are those of the matrix products that the network needs, forward and backward (``flops``), so the
share of the peak says how much of the machine's best is reached, whoever does superfluous ones.
"""

import functools
from pathlib import Path

import numpy as np
from speed_timing import at_least, at_most, bar, matrix_peak, side_by_side

from distill.report.markdown import markdown

DIM, HIDDEN, MESSAGES = 2, 300, 100
BATCHES = {4: (64, 256, 512, 1024), 8: (16, 64), 32: (8,), 100: (1,)}  # of ours; the original's is the first (32: 1)
ORIGINAL_BATCH = {4: 64, 8: 16, 32: 1, 100: 1}  # int(64 (4/n)^2), at least 1
SECONDS = 1.5  # of one timing, about


def flops(n: int) -> float:
    """Operations of one graph's training step: matrix products of all layers, forward once and backward twice.

    The backward pass of a first layer needs no gradient of its inputs, and the first layer of the edge model is
    counted as ours computes it, once a particle and end.
    """
    features = 2 * DIM + 2
    edge = 2 * HIDDEN * HIDDEN + HIDDEN * MESSAGES
    first_edge, first_node = 2 * features * HIDDEN, (features + MESSAGES) * HIDDEN
    node = 2 * HIDDEN * HIDDEN + HIDDEN * DIM
    forward = n * (n - 1) * edge + n * (first_edge + first_node + node)
    backward = 2 * forward - n * first_edge - n * features * HIDDEN
    return 2.0 * (forward + backward)


def states(graphs: int, n: int):
    """Features [graph, particle, 2 dim + 2] and accelerations [graph, particle, dim], float32, at random."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(graphs, n, 2 * DIM + 2)).astype(np.float32)
    x[..., -1] = np.exp(x[..., -1])
    return x, rng.normal(size=(graphs, n, DIM)).astype(np.float32)


def trainer(n, graphs, batch, precision, seed=0, like=None, device="cpu"):
    """Our ``Trainer`` on random states of ``graphs`` graphs of ``n`` particles."""
    from distill.files.dataset import Dataset
    from distill.network.learning.training import Trainer
    from distill.network.recipes import defaults

    x, acc = states(graphs, n)
    frames = {"pos": x[:, None, :, :DIM], "vel": x[:, None, :, DIM : 2 * DIM], "acc": acc[:, None]}
    fixed = {"charge": x[..., -2], "mass": x[..., -1], "split": np.zeros(graphs, dtype=int)}
    fixed["split"][: max(1, graphs // 10)] = 1
    dataset = Dataset("random", Path("random"), {k: v.astype(float) for k, v in (frames | fixed).items()})
    options = defaults("paper", "standard", DIM) | {"batch_size": batch, "epochs": 1000}
    return Trainer(dataset, "standard", options, seed, device, precision, Path("unused"), {}, False, like)


def ours(n: int, graphs: int, batch: int, precision: str):
    """A function that trains the given number of steps."""
    from distill.network.learning.steps import Stepper

    member = trainer(n, graphs, batch, precision)
    stepper = Stepper([member])

    def steps(count: int) -> None:
        for _ in range(count):
            stepper.step(member.step)
            member.step += 1

    return steps


def measure(args) -> dict:
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    sizes = (4,) if args.kind == "training" else (8, 32, 100)
    rows = [row for n in sizes for row in rows_of(n, args)]
    content = {"rows": rows, "table": table(rows, args.threads), "flops": {n: flops(n) for n in sizes}}
    if args.kind == "sizes":
        return content | {"bars": size_bars(rows)}
    r2 = same_r2(args)
    return content | {"same_r2": r2, "bars": training_bars(rows, r2, args.threads)}


def rows_of(n: int, args) -> list[dict]:
    """One row a way of training graphs of n particles: graphs a second, ratio to the baseline, share of the peak."""
    import torch
    from speed_training_baseline import OriginalTraining

    graphs = max(64, min(20_000, 400_000 // (n * (n - 1)))) // (10 if args.quick else 1)
    batches = [b for b in BATCHES[n] if b <= graphs // 2] or [1]
    per_call = max(1, int(SECONDS * 0.5 * matrix_peak("float32", args.threads) / flops(n)))  # graphs
    per_call = min(per_call, 64) if args.quick else per_call
    original = OriginalTraining(*states(graphs, n), DIM, ORIGINAL_BATCH[n])
    count = max(1, per_call // ORIGINAL_BATCH[n])
    work = {"baseline": count * ORIGINAL_BATCH[n]}
    candidates, about = {}, {"baseline": ("float32", ORIGINAL_BATCH[n])}
    for precision in ("float32", "bf16"):
        for batch in batches:
            name, steps = f"{precision}, batch {batch}", max(1, per_call // batch)
            candidates[name] = functools.partial(ours(n, graphs, batch, precision), steps)
            work[name], about[name] = steps * batch, (precision, batch)

    def limit(name):
        return matrix_peak(about[name][0], args.threads) / flops(n)

    timed = side_by_side(lambda: original.steps(count), candidates, work, args.rounds, args.threads, limit=limit)
    memory = {name: memory_of(n, *about[name][::-1]) for name in candidates}
    memory["baseline"] = memory_of(n, ORIGINAL_BATCH[n], "original")
    mm, rows = matrix_peak("float32 mm", args.threads), []
    for name, row in timed.items():
        precision, batch = about[name]
        own = {"n": n, "way": name, "precision": precision, "batch": batch, "torch": torch.__version__}
        own |= {"share_of_peak": row.pop("of_limit"), "peak_gflops": row.pop("limit") * flops(n) / 1e9}
        rows.append(own | {"mm_gflops": mm / 1e9, "step_mb": memory[name]} | row)
    return rows


def memory_of(n: int, batch: int, precision: str) -> float:
    """Megabytes that one training step holds for the backward pass: what autograd saves, weights left out."""
    import torch
    from speed_training_baseline import OriginalTraining

    from distill.network.learning.steps import Stepper

    if precision == "original":
        way = OriginalTraining(*states(2 * batch, n), DIM, batch)
        model, step = way.network, functools.partial(way.steps, 1)
    else:
        member = trainer(n, 4 * batch, batch, precision)
        model, step = member.model, functools.partial(Stepper([member]).step, 0)
    weights, seen = {p.data_ptr() for p in model.parameters()}, {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values()) / 1e6


def same_r2(args) -> dict:
    """R^2 of messages against forces, float32 against bf16: newton recipe on simulated gravity, trained to the end."""
    from speed_time_to_r2 import dataset_of, train_to_the_end

    dataset = dataset_of("r2", seed=221, quick=args.quick)
    return {p: train_to_the_end(dataset, seed=221, precision=p, quick=args.quick) for p in ("float32", "bf16")}


def table(rows: list[dict], threads: int) -> str:
    lines = []
    for r in rows:
        name = f"original way, batch {r['batch']}" if r["way"] == "baseline" else f"ours, {r['way']}"
        low, high = r["ratio_range"] or (1, 1)
        ratio = "1" if r["ratio"] is None else f"{r['ratio']:.2f} ({low:.2f} to {high:.2f})"
        numbers = f"{r['per_s']:.4g}", ratio, f"{r['share_of_peak']:.2f}", f"{r['step_mb']:.1f}"
        lines.append([str(r["n"]), name, *numbers])
    head = f"n|{told(threads)}|graphs/s|against the original|share of the matrix peak|held by a step, MB"
    return markdown(head.split("|"), lines)


def told(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def best(rows: list[dict], precision: str) -> dict:
    """Our fastest row of a precision."""
    return max((r for r in rows if r["precision"] == precision and r["way"] != "baseline"), key=lambda r: r["ratio"])


def training_bars(rows, r2, threads) -> list[dict]:
    single, half = best(rows, "float32"), best(rows, "bf16")
    what = f"the paper's network, {told(threads)}"
    gap = abs(r2["float32"]["r2_all"] - r2["bf16"]["r2_all"])
    return [
        at_least(f"{what}, float32 against the original", single["ratio"], 1.5),
        at_least(f"{what}, float32, share of the matrix peak", single["share_of_peak"], 0.6),
        at_least(f"{what}, bf16 against the original", half["ratio"], 3),
        at_most("R2 of a converged run, bf16 against float32", gap, 0.001, "{:.5f}"),
    ]


def size_bars(rows) -> list[dict]:
    ours = [r for r in rows if r["way"] != "baseline"]
    sizes = sorted({r["n"] for r in rows})
    bars, memory = [], {}
    for n in sizes:
        slowest = min((r for r in ours if r["n"] == n), key=lambda r: r["ratio"])
        bars.append(at_least(f"n = {n}, our slowest way ({slowest['way']}) against the original", slowest["ratio"], 1))
        memory[n] = min(r["step_mb"] / r["batch"] for r in ours if (r["n"], r["precision"]) == (n, "float32"))
    low, high = sizes[0], sizes[-1]
    growth = memory[high] / memory[low] / (high * (high - 1) / (low * (low - 1)))
    what = f"memory of a graph from n = {low} to {high}, over the growth of the edges"
    return [*bars, bar(what, round(growth, 2), "<= 1", growth <= 1)]
