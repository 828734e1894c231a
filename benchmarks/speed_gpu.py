"""Graphs a second on a GPU with the paper's network: step by step, captured in a CUDA graph, and stacked.

Limits beside it: the measured peak of a large matrix product (float32 as PyTorch does it, bf16) and of copying memory.
The share of the second is an estimate: what a step reads and writes is not measured, ``TRAFFIC`` stands for it.
``--quick`` goes through the same code on a CPU, without capture; without a GPU nothing else is measured.
"""

import statistics
import time

from speed_timing import bar
from speed_training import flops, trainer

from distill.report.markdown import markdown

BATCHES = (64, 1024, 8192)
STACKS = (1, 5, 20)  # networks at once; every network has its own batch
BAR = 2e6
PAPER_BUDGET = 64_000_000  # graphs: 200 epochs of 5,000 batches of 64
TRAFFIC = 2.0e5  # bytes of activations a graph in bf16, unfused: an estimate, twice that in float32


def measure(args) -> dict:
    import torch

    if not torch.cuda.is_available() and not args.quick:
        bars = [bar("graphs/s on a GPU", None, f">= {BAR:.0e} on an H100", None)]
        return {"rows": [], "table": "No GPU was at hand: nothing measured.", "bars": bars}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, to test the code"
    peaks = {p: peak(torch, p, device, args.quick) for p in ("float32", "bf16")}
    copied = bandwidth(torch, device, args.quick)
    rows = []
    for precision in ("float32", "bf16"):
        traffic = TRAFFIC if precision == "bf16" else 2 * TRAFFIC
        for batch in (16,) if args.quick else BATCHES:
            for stack in (1, 2) if args.quick else STACKS:
                if batch * stack > 200_000:
                    continue
                for capture in (False, True) if device == "cuda" else (False,):
                    rate = graphs_per_second(torch, device, precision, batch, stack, capture, args)
                    row = {"precision": precision, "batch": batch, "stack": stack, "captured": capture, "per_s": rate}
                    row["share_of_matrix_peak"] = rate * flops(4) / peaks[precision]
                    rows.append(row | {"share_of_bandwidth": rate * traffic / copied})
                    print(rows[-1], flush=True)
    best = max(rows, key=lambda r: r["per_s"])
    content = {"device": name, "rows": rows, "matrix_peaks": peaks, "copied_bytes_per_s": copied, "table": table(rows)}
    if device == "cuda":
        content["paper_budget_s"] = paper_budget(torch, device, best)
    met = best["per_s"] >= BAR if device == "cuda" else None
    return content | {"bars": [bar(f"graphs/s on {name}", f"{best['per_s']:.3g}", f">= {BAR:.0e} on an H100", met)]}


def members(device: str, precision: str, batch: int, stack: int, quick: bool) -> list:
    graphs = 200 if quick else max(50_000, 2 * batch)
    first = trainer(4, graphs, batch, precision, device=device)
    rest = [trainer(4, graphs, batch, precision, seed=k, like=first, device=device) for k in range(1, stack)]
    return [first, *rest]


def graphs_per_second(torch, device, precision, batch, stack, capture, args) -> float:
    """Median of ``args.rounds`` timings, the device waited for before and after each."""
    from distill.network.learning.steps import Stepper

    group = members(device, precision, batch, stack, args.quick)
    stepper = Stepper(group, capture)
    first, rates = group[0], []

    def steps(count):
        for _ in range(count):
            if first.step == first.total:  # large batches on a fast device: the schedule starts again
                first.step = 0
                stepper.at.zero_()
            stepper.step(first.step)
            first.step += 1
        wait(torch, device)

    steps(5)  # warm-up and capture
    start = time.perf_counter()
    steps(5)
    count = 2 if args.quick else max(5, int(2.0 / ((time.perf_counter() - start) / 5)))
    for _ in range(args.rounds):
        start = time.perf_counter()
        steps(count)
        rates.append(count * batch * stack / (time.perf_counter() - start))
    return statistics.median(rates)


def paper_budget(torch, device, best: dict) -> float:
    """Seconds of a whole training run over the paper's 64 million graphs, in the fastest way of one network."""
    from distill.network.learning.steps import Stepper

    group = members(device, best["precision"], best["batch"], 1, False)
    stepper, first = Stepper(group, True), group[0]
    start = time.perf_counter()
    for k in range(PAPER_BUDGET // best["batch"]):
        if k % first.total == 0:  # the schedule of the benchmark's trainer starts again
            stepper.at.zero_()
        stepper.step(k % first.total)
    wait(torch, device)
    return time.perf_counter() - start


def wait(torch, device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(torch, precision: str, device: str, quick: bool) -> float:
    """Operations a second of a large square matrix product, the best of 20."""
    size = 256 if quick else 8192
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    return 2 * size**3 / fastest(torch, device, lambda: a @ b)


def bandwidth(torch, device: str, quick: bool) -> float:
    """Bytes a second read and written by copying a large tensor, the best of 20."""
    a = torch.zeros(10**6 if quick else 10**9, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() / fastest(torch, device, lambda: b.copy_(a))


def fastest(torch, device: str, function) -> float:
    times = []
    for _ in range(21):  # the first warms up
        wait(torch, device)
        start = time.perf_counter()
        function()
        wait(torch, device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def table(rows: list[dict]) -> str:
    lines = [
        [
            *(str(r[k]) for k in ("precision", "batch", "stack")),
            "yes" if r["captured"] else "no",
            f"{r['per_s']:.3g}",
            f"{r['share_of_matrix_peak']:.2f}",
            f"{r['share_of_bandwidth']:.2f}",
        ]
        for r in rows
    ]
    head = "precision|batch|networks at once|captured|graphs/s|share of the matrix peak|of the bandwidth, estimated"
    return markdown(head.split("|"), lines)
