"""What a process keeps of memory: oneDNN's kernels for sizes that never come again do not pile up, nor leave holes."""

import os
import subprocess
import sys

import pytest
from scripts import environment

from distill.network.layers import onednn
from distill.shell.memory import CAPACITIES, KERNELS, keep_few_kernels

STEPS = """
import sys
import torch
from distill.network.layers import onednn
from distill.shell.memory import keep_few_kernels

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

keep_few_kernels()
torch.manual_seed(0)
weight = torch.randn(64, 64, requires_grad=True)
bias, total = torch.randn(64, requires_grad=True), torch.zeros(64, 64)
sizes = (torch.randperm(450) + 50).tolist()  # none comes twice
for step, rows in enumerate(sizes):
    x = torch.randn(rows, 64, requires_grad=True)
    total += torch.autograd.grad(onednn.linear(x, weight, bias).square().sum(), (x, weight, bias))[1]
    if step == 99:
        before = resident()
print(resident() - before, total.double().sum().item().hex())
"""

# a network on as many edges as a fluid's frame has: tensors of megabytes around every kernel that is compiled
LARGE_STEPS = """
import torch
from distill.network.layers.messages import mlp
from distill.shell.memory import keep_few_kernels

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

keep_few_kernels()
torch.manual_seed(0)
network, total = mlp(64, [64, 64, 64], 200, "silu"), 0.0
for step, rows in enumerate((torch.randperm(1000) + 14000)[:60].tolist()):
    out = network(torch.randn(rows, 64))
    total += float(torch.autograd.grad(out.square().mean(), network[0].weight)[0].sum())
    del out
    if step == 1:
        before = resident()
print(resident() - before, total.hex())
"""
# networks of equal graphs, every step of which uses the same kernels again; oneDNN tells what it had to compile
SAME_STEPS = """
import torch
from distill.network.edges import all_pairs
from distill.shell.memory import keep_few_kernels
from models import GNN, ModelConfig

keep_few_kernels()
options = dict(hidden=64, exp_gate=True, geometric_inputs=True, translation_invariant=True)
networks = [GNN(ModelConfig(dim=2, message_dim=100, edge_model=kind, **options)) for kind in ("mlp", "pm")]
x, edges = torch.rand(4 * 40, 6), all_pairs(4, 40)
for network in networks:
    for step in range(4):
        print("step", step, flush=True)
        network(x, edges)[0].square().sum().backward()
"""


def printed(script: str, **setting) -> str:
    """By a process of its own, with the number of kernels of ``setting``, or else that of this repository."""
    env = {name: value for name, value in environment(None).items() if name not in CAPACITIES} | setting
    words = [sys.executable, "-c", script]
    return subprocess.run(words, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True).stdout


def grown(script: str = STEPS, **setting) -> tuple[float, str]:
    """MB by which a process grows over steps of sizes that are all new, and what they come to."""
    found, total = printed(script, **setting).split()
    return float(found), total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(not onednn.available(), reason="no kernels are compiled here")
def test_steps_of_ever_new_sizes_do_not_grow_and_say_the_same():
    few, total = grown()
    many, same = grown(**dict.fromkeys(CAPACITIES, "1024"))
    assert many > 100  # as oneDNN has it
    assert few < many / 3
    assert total == same


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(not onednn.available(), reason="no kernels are compiled here")
def test_kernels_among_large_tensors_leave_few_holes():
    few, total = grown(LARGE_STEPS)
    many, same = grown(LARGE_STEPS, **dict.fromkeys(CAPACITIES, "128"))
    assert few < 0.75 * many
    assert total == same


@pytest.mark.skipif(not onednn.available(), reason="no kernels are compiled here")
def test_steps_of_equal_graphs_compile_nothing_again():
    steps = printed(SAME_STEPS, ONEDNN_VERBOSE="2").split("step ")[1:]
    compiled = [one.count("create:cache_miss") for one in steps]
    assert len(steps) == 8
    assert compiled[0] > 0 and compiled[4] > 0
    assert compiled[2:4] == compiled[6:] == [0, 0]
    few = printed(SAME_STEPS, ONEDNN_VERBOSE="2", **dict.fromkeys(CAPACITIES, "4")).split("step ")[1:]
    assert few[3].count("create:cache_miss") > 0  # that this can be seen


@pytest.mark.parametrize("name", CAPACITIES)
def test_who_has_set_a_number_decides(monkeypatch, name):
    for one in CAPACITIES:
        monkeypatch.setenv(one, "7")  # so that it is put back
    for other in set(CAPACITIES) - {name}:
        monkeypatch.delenv(other)
    keep_few_kernels()
    assert [os.environ[one] for one in CAPACITIES] == ["7" if one == name else str(KERNELS) for one in CAPACITIES]
