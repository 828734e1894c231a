"""What a process keeps of memory: oneDNN's kernels for sizes that never come again do not pile up."""

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


def grown(**setting) -> tuple[float, str]:
    """MB by which a process grows over 350 steps of sizes that are all new, and what they come to."""
    words = [sys.executable, "-c", STEPS]
    env = {name: value for name, value in environment(None).items() if name not in CAPACITIES} | setting
    out = subprocess.run(words, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True)
    found, total = out.stdout.split()
    return float(found), total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(not onednn.available(), reason="no kernels are compiled here")
def test_steps_of_ever_new_sizes_do_not_grow_and_say_the_same():
    few, total = grown()
    many, same = grown(**dict.fromkeys(CAPACITIES, "1024"))
    assert many > 100  # as oneDNN has it
    assert few < many / 3
    assert total == same


@pytest.mark.parametrize("name", CAPACITIES)
def test_who_has_set_a_number_decides(monkeypatch, name):
    for one in CAPACITIES:
        monkeypatch.setenv(one, "7")  # so that it is put back
    for other in set(CAPACITIES) - {name}:
        monkeypatch.delenv(other)
    keep_few_kernels()
    assert [os.environ[one] for one in CAPACITIES] == ["7" if one == name else str(KERNELS) for one in CAPACITIES]
