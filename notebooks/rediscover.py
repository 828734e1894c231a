# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gravity, rediscovered in the messages of a graph network
#
# A graph network is trained to predict the accelerations of particles. For every pair it computes a *message*,
# and what a particle does depends on the sum of the messages that it receives. Where forces add up, these
# messages have to be the forces, up to a linear map. So one can read them, search for their formula and ask how
# far it can be trusted. That is the idea of Cranmer et al. 2020
# ([arXiv:2006.11287](https://arxiv.org/abs/2006.11287)).
#
# The sizes here are small, so that all of it runs in a few minutes on two cores: a tenth of the data and a third
# of the training of `make demo`. Nothing needs a GPU, Julia or a network connection. `make notebook` in the
# folder of the repository installs what it takes and runs it; in a notebook of your own `pip install -e .` comes
# first.

# %%
import csv
import os

import matplotlib.pyplot as plt
import numpy as np

import distill

# %% [markdown]
# ## Data
#
# Four particles in two dimensions attract each other by $m_i m_j/(r + 0.01)^2$. What the network will see are
# positions, velocities and masses, and the accelerations that it is to predict. The force of a *pair* is in none
# of these.

# %%
data = distill.simulate("r2", n=4, dim=2, n_trajectories=500, seed=0, tag="notebook")
data

# %%
data.plot()

# %% [markdown]
# ## A network
#
# The variant `l1` sends 100 numbers along every edge and pays for each that is not zero. The recipe `newton`
# knows a few things about nature beforehand, and they are listed below: they make the messages clean, and they
# are assumptions. The recipe `paper` makes none of them, and takes far longer.

# %%
(run,) = distill.train(data, variant="l1", recipe="newton", epochs=15, seed=0)
run

# %% [markdown]
# ## How the messages become the force
#
# The messages on trajectories that the network has not seen, as arrays: a row for every ordered pair of every
# frame.

# %%
train, test = distill.extract_messages(run, max_graphs=2000)
{name: test.arrays[name].shape for name in ("message", "dx", "r", "mass_i", "mass_j", "force")}

# %% [markdown]
# Of the 100 components the penalty has left two, as many as a force has in two dimensions.

# %%
test.plot()

# %% [markdown]
# This network computes $m_i \mathbf a_i$ as a linear function of $\sum_j \mathbf e_{ij}$. If that is right for
# every arrangement of the particles, each message $\mathbf e_{ij}$ is a linear function of the force $\mathbf
# F_{ij}$ alone: in two dimensions a matrix of 2 x 2 numbers. Here it is, fitted to the true forces, which the
# simulation can tell.

# %%
messages, force = test.message[:, test.top_components], test.arrays["force"]
matrix, *_ = np.linalg.lstsq(force, messages, rcond=None)
left = ((messages - force @ matrix) ** 2).sum(0) / ((messages - messages.mean(0)) ** 2).sum(0)
print("matrix", matrix.round(4).tolist(), " R² of each component", (1 - left).round(4).tolist())

# %% [markdown]
# `fit_linear` does the same with care. Gravity has rare close encounters with enormous forces, which decide R²
# over all edges: that is why a second number leaves out the worst 10 %. The two panels on the right are forces
# that were found *without* the true ones: the read-out of the messages, by the net forces that the network
# predicts, and splines that were fitted to the accelerations without any network.

# %%
fit = distill.fit_linear(run)
fit.plot()

# %% [markdown]
# The read-out as a function of the distance. Divided by both masses, all pairs should lie on one curve. The
# network is worst where the force is weak, or where few pairs ever came as close.

# %%
edges, read = test.arrays, test.read_force()
radial = (read * edges["dx"]).sum(1) / edges["r"] / (edges["mass_i"] * edges["mass_j"])
figure, axis = plt.subplots(figsize=(5, 3.4), layout="constrained")
some = slice(None, None, 8)
axis.loglog(edges["r"][some], -radial[some], ".", ms=2, color="0.4", label="read from the messages")
r = np.geomspace(0.01, 6, 100)
axis.loglog(r, 1 / (r + 0.01) ** 2, lw=1, color="C3", label="$1/(r + 0.01)^2$")
axis.set(xlabel="distance r", ylabel="attraction over both masses")
axis.legend()
plt.show()

# %% [markdown]
# ## The formula
#
# Symbolic regression searches for a formula of these forces; its constants are then fitted once more, to the
# accelerations. What matters is not only whether the law comes out, but what the network had to do with it. So
# the same search and the same refit are done for three rivals: for the accelerations alone (*control*), for an
# *untrained* network, and for *splines* without a network.

# %%
law = distill.search_law(run, targets=("radial",), rivals=("control", "untrained", "splines"))
law

# %% [markdown]
# Read that table honestly:
#
# - *From the messages alone* is what the trained network knew: the form of the law, and its constants about as
#   well as it predicts accelerations. An untrained network does not have it. The refit then makes the constants
#   exact.
# - The rivals *accelerations* (the control) and *splines* find the law without any network. Where forces add up
#   and masses are known, as here, no network is needed, and splines are the better instrument. Reading a network
#   is worth its price where a particle does not answer its net force by $a = F/m$, or as a check of what such
#   networks learn.
#
# A warning above the table is no failure: it says how much a plain linear mixture of the messages loses of what
# the network predicts, and that the forces are read through its node model instead.
#
# The law is an object to compute with: forces, accelerations, LaTeX, SymPy, and modules for other programs.

# %%
print("force at r = 2 on a mass of 3 by a mass of 1:", law.force(2.0, m_i=3.0, m_j=1.0))
print("LaTeX:", law.latex)
print("derivative:", law.sympy.diff("r"))
print("written:", *(path.name for path in law.export("openmm")))

# %% [markdown]
# The front of the search: every point is the best formula of its complexity. The loss falls by orders of
# magnitude where the right one is reached, and hardly any more after it.

# %%
law.plot()

# %% [markdown]
# ## Without a network
#
# `look` fits splines to the accelerations and tells what they say, in seconds: how the force depends on the
# distance and on the masses, what acts beside it, and whether the assumptions hold that recipes and laws make.

# %%
look = distill.look(data)
look

# %% [markdown]
# ## Beyond the data
#
# Law and network on new data like those of the training, and on five kinds of data unlike them; below,
# trajectories integrated under both. Position errors of rollouts are to be read with care: after a close
# encounter any two solutions part exponentially. The dashed curve shows it, which is the truth itself at a looser
# tolerance.

# %%
comparison = distill.compare(run)
comparison.plot()

# %%
print(*comparison.summary, sep="\n")

# %% [markdown]
# ## How to read the report
#
# All of this stands on one page, `report.html`, which needs no connection and can be sent to others.

# %%
print(os.path.relpath(comparison.report))

# %% [markdown]
# 1. **The verdict on top** compares two *laws*, not two curves: the same, the same form with constants off by so
#    much, or another. *Recovered* also asks that its accelerations are right in the range of the data, closer and
#    beyond, to a tenth of the error of the network. Where the truth is not known the verdict is by the data
#    alone: *trusted*, or not, and why.
# 2. **What the network had to do with it** is the table of the rivals. Only the columns *before the refit*
#    measure the network; the columns *after it* measure the refit.
# 3. **How sure the choice is**: the runner-up and why it lost, how often the same formula is chosen on other
#    draws, and whether anything predicts what the law leaves.
# 4. **Messages and forces**: R² over all edges and over the best 90 %. A large gap between the two means rare
#    events, here close encounters. Beside it stands what the network knew beforehand.
# 5. **Beyond the training data**: that is where a formula has to be better than its network.
# 6. **How this was made**: every argument, seed, digest and version, enough to make it again.
#
# ## Your own tracks
#
# A table of positions is enough: no masses, velocities or accelerations. To have one, here are four particles
# that repel each other by $1/r$ in a viscous medium, filmed 60 times, with noise of one per cent of a step. None
# of the project's code makes them.

# %%
rng = np.random.default_rng(1)


def acceleration(x, v):
    apart = x[:, None] - x[None]
    return (apart / ((apart**2).sum(-1) + np.eye(4))[..., None]).sum(1) - 0.3 * v


with open("rediscover_tracks.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["film", "t", "particle", "x", "y"])
    for film in range(60):
        x, v, h = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), 0.001
        for frame in range(60):
            seen = x + 0.001 * rng.normal(size=x.shape)
            table.writerows((film, round(0.05 * frame, 2), i, *seen[i].round(5)) for i in range(4))
            for _ in range(50):  # midpoint rule
                middle = x + h / 2 * v, v + h / 2 * acceleration(x, v)
                x, v = x + h * middle[1], v + h * acceleration(*middle)

# %%
mine = distill.import_tracks("rediscover_tracks.csv")
print(mine)

# %% [markdown]
# Nobody measured accelerations, so laws are fitted to *windows* of frames. The first look already sees the drag,
# and that it breaks an assumption of the recipe `newton`.

# %%
first = distill.look(mine)
print(*first.lines, sep="\n")

# %%
first.plot()

# %% [markdown]
# The law, searched in the splines. Its truth is not known to the program, so the verdict is by the data alone.

# %%
found = distill.search_law(dataset=mine, rivals=())
found

# %% [markdown]
# The constant of the force is 1 and the drag 0.3. From positions alone they are known as well as this:

# %%
constant, node = found.constants[0], found.record.node
print(f"force {constant.value:.4f} ± {constant.standard_error:.1g}", end=", ")
print(f"drag {node.terms['drag']:.4f} ± {node.standard_errors['drag']:.1g}")

# %% [markdown]
# ## From here
#
# - In another session: `distill.load_law("r2_n4_d2_s0_notebook__l1-newton__s0")`, and likewise `load_run`,
#   `load_messages`, `load_dataset`, `load_fit`, `load_comparison`.
# - `docs/api.md` has the calls, `docs/own_data.md` what tables may look like, `docs/method.md` how a verdict is
#   reached, and `docs/results.md` what was measured, what was not found among it.
# - `make demo` does the first half of this notebook at full size.
