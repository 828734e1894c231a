"""``speed.py extraction``: graphs a second and memory of ``extract_messages.py``, against the plain way of doing it.

The plain way: a ``torch_geometric`` object for every graph, a ``DataLoader`` of 64, the network with concatenated
features, all messages joined in memory and written at once. Both run here as child processes (``baseline`` and
``parts`` below), because on Linux a child's peak memory is at least its parent's.

Floating-point operations of the forward pass are those that the network needs, see ``forward_flops``. For the
paper's network the script also writes each edge's share of the acceleration, by the node model's Jacobian. That is
no part of the forward pass: its operations are NOT counted, and the fraction of the matrix peak is given without
the shares (the bar) and with them (the script as it runs).
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from speed_timing import at_most, bar, clock, matrix_peak, side_by_side

from distill.files import storage
from distill.files.arrays import stream_npz
from distill.files.fields import MESSAGE_FIELDS
from distill.files.of_run import dataset_of_run
from distill.files.storage import load_json, require_disk
from distill.pipeline.runs.cells import Cell, Children, working_in
from distill.report.markdown import markdown
from distill.shell.errors import UserError
from distill.shell.flags import Parser, positive_int
from distill.shell.stage import run_script
from distill.shell.threads import pick_device, set_threads

N, DIM, SEED, MOST_MB, FRACTION = 4, 2, 216, 2000, 0.5
FULL = {"trajectories": 10_000, "frames": 100, "baseline": 20_000, "part": 16_000}
QUICK = {"trajectories": 60, "frames": 20, "baseline": 200, "part": 100}
NETWORKS = {"paper": ("standard", 300), "newton": ("l1", 64)}  # recipe: variant, width
WITHOUT = "all but the shares, written"
FILE_BYTES = 7000  # of a graph in a messages file, n = 4 in 2-D with 100 components
BATCH = 64


def measure(args) -> dict:
    size = QUICK if args.quick else FULL
    graphs = size["trajectories"] * size["frames"]
    with workplace("extraction", (FILE_BYTES + 300) * graphs * 1.1) as children:
        data = ("--n-trajectories", size["trajectories"], "--n-frames", size["frames"])
        cells = {  # hardly trained: its weights do not change its speed
            recipe: Cell("charge", DIM, variant, recipe, 0, N, data=data, data_seed=SEED, train=("--hidden", width))
            for recipe, (variant, width) in NETWORKS.items()
        }
        done(children.script(*cells["paper"].words("simulate")))
        for cell in cells.values():
            done(children.script(*cell.words("train", "--quick")))
        rows, parts = {}, {}
        for recipe, run in ((k, cell.run) for k, cell in cells.items()):
            words = ("extract_messages.py", "--run", run, "--threads", args.threads)
            start_up = done(children.script(*words, "--split", "test", "--max-graphs", 1))
            whole = done(children.script(*words, "--split", "all", "--max-graphs", 0))
            path = Path(os.environ["DISTILL_OUTPUTS"]) / run / "messages_all.npz"
            about = load_json(path.with_suffix(".json"))
            if about["graphs"] != graphs:
                raise RuntimeError(f"{about['graphs']} graphs in {path}, expected {graphs}")
            own = {"run": run, "graphs": graphs, "edges": about["edges"], "bytes": path.stat().st_size}
            rows[recipe] = own | {"start_up": start_up.costs(), **whole.costs()}
            path.unlink()
            parts[recipe] = child(children, "parts", run, size["part"], args)
        plain = child(children, "baseline", cells["paper"].run, size["baseline"], args)
    return summary(rows, parts, plain, args)


def summary(rows: dict, parts: dict, plain: dict, args) -> dict:
    clock_name, cost = clock(args.threads)[0], "cpu_s" if args.threads == 1 else "seconds"
    lines = []
    for recipe, row in rows.items():
        part = parts[recipe]
        row["per_s"] = row["graphs"] / row[cost]
        row["fraction"] = fractions(row["per_s"], part)
        row["fraction_by_wall_clock"] = fractions(row["graphs"] / row["seconds"], part)
        lines.append(line(f"extract_messages.py, {recipe} recipe's network", row["graphs"], row, row))
        for name, entry in part["rows"].items():
            entry["fraction"] = fractions(entry["per_s"], part)
            lines.append(line(f"... {part['baseline_is'] if name == 'baseline' else name}", part["graphs"], entry))
    paper, part = rows["paper"], parts["paper"]
    plain["fraction"] = fractions(plain["per_s"], part)
    lines.append(line("plain way, paper recipe's network", plain["graphs"], plain, plain))
    ratio = paper["per_s"] / plain["per_s"]
    said = (
        f"Rates by the {clock_name} clock; a script's includes its start-up. Paper recipe's network:"
        f" {part['flops'] / 1e6:.2f} million operations a graph forward, {part['share_flops'] / 1e6:.2f} more for"
        f" the shares; float32 matrix peak {part['peaks']['best'] / 1e9:.0f} GFLOP/s, of torch.mm"
        f" {part['peaks']['mm'] / 1e9:.0f}; the script {ratio:.1f} times as fast as the plain way;"
        f" largest difference of a message {part['largest_difference']:.1e} standard deviations."
    )
    without, whole = part["rows"][WITHOUT]["fraction"]["best"], paper["fraction"]["best"]
    counted = whole * (1 + part["share_flops"] / part["flops"])
    measured = (
        f"{without:.2f} (the whole script with the shares {whole:.2f}, {counted:.2f} where their operations count,"
        f" {paper['fraction_by_wall_clock']['best']:.2f} by the wall clock)"
    )
    what = (
        "graphs a second x forward operations / float32 matrix peak, paper recipe's network, all but the shares,"
        f" written ({clock_name} clock)"
    )
    memory = f"peak memory of extract_messages.py on {paper['graphs']} graphs"
    head = "|graphs|seconds|CPU-s|peak MB|graphs a second|of the float32 peak|of torch.mm's"
    return {
        "table": f"{markdown(head.split('|'), lines)}\n\n{said}",
        "bars": [
            at_most(memory, paper["peak_mb"], MOST_MB, "{:.0f}", " MB"),
            bar(what, measured, f">= {FRACTION}", without >= FRACTION),
        ],
        "rows": [row | {"recipe": k} for k, row in rows.items()],
        "parts": parts,
        "baseline": plain | {"batch": BATCH},
        "ratio_to_baseline": ratio,
    }


def fractions(per_s: float, part: dict) -> dict:
    """Forward operations a second over each matrix peak."""
    return {k: per_s * part["flops"] / peak for k, peak in part["peaks"].items()}


def line(what: str, graphs: int, rate: dict, costs: dict | None = None) -> list[str]:
    cells = [f"{costs[k]:.0f}" if costs else "" for k in ("seconds", "cpu_s", "peak_mb")]
    fraction = (f"{rate['fraction'][k]:.2f}" for k in ("best", "mm"))
    return [what, str(graphs), *cells, f"{rate['per_s']:.0f}", *fraction]


# ---------------------------------------------------------------- a place to work in, shared with speed_pipeline


@contextlib.contextmanager
def workplace(name: str, room: float):
    """A temporary folder (below TMPDIR) for datasets, weights and outputs of child processes; yields ``Children``.

    ``UserError`` if it has less than ``room`` bytes free.
    """
    children = Children()
    with tempfile.TemporaryDirectory(prefix=f"speed_{name}_") as folder:
        require_disk(Path(folder) / "messages", int(room), "name a larger disk with TMPDIR=...")
        with working_in(Path(folder), children):
            yield children


def done(outcome):
    """The outcome of a child that has to succeed; ``UserError`` with its last line if it did not."""
    if outcome.error:
        raise UserError(f"a stage failed: {outcome.error}")
    return outcome


def child(children, command: str, run: str, graphs: int, args) -> dict:
    """What a command of this file, run as a child, found; with its costs."""
    words = [sys.executable, __file__, command, run, graphs, "--threads", args.threads, "--rounds", args.rounds]
    outcome = done(children.run(words))
    return outcome.costs() | json.loads(outcome.stdout.splitlines()[-1])


# ---------------------------------------------------------------- in the child processes


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("command", choices=("baseline", "parts"))
    parser.add_argument("run")
    parser.add_argument("graphs", type=positive_int)
    parser.add_argument("--threads", type=positive_int, default=1)
    parser.add_argument("--rounds", type=positive_int, default=5)
    args = parser.parse_args(argv)
    set_threads(args.threads)
    pick_device("cpu", args.threads)
    print(json.dumps(storage.plain({"baseline": baseline, "parts": parts_of_it}[args.command](args))))
    return 0


def load(args):
    """(network, dataset, trajectories, frames) of the first graphs of a run's dataset."""
    import numpy as np

    from distill.network.weights import load_run

    model, config = load_run(args.run)
    dataset = dataset_of_run(args.run, config)
    frames = dataset.pos.shape[1]
    pick = np.arange(min(args.graphs, len(dataset.pos) * frames))
    return model, dataset, pick // frames, pick % frames


def baseline(args) -> dict:
    """Rate of the plain way, everything after loading the run, file included."""
    import numpy as np

    model, dataset, trajectory, frame = load(args)
    _, now = clock(args.threads)
    start = now()
    messages = PlainNetwork(model).all_messages(dataset, trajectory, frame)
    np.save(Path(os.environ["DISTILL_OUTPUTS"]) / "plain.npy", messages)
    return {"graphs": len(frame), "per_s": len(frame) / (now() - start)}


class PlainNetwork:
    """The paper recipe's network as published: concatenated features, gathered, scattered; weights of ``model``."""

    def __init__(self, model):
        import torch
        from torch import nn

        def mlp(weights):
            layers = []
            for weight, bias in weights:
                layer = nn.Linear(*reversed(weight.shape))
                with torch.no_grad():
                    layer.weight.copy_(weight)
                    layer.bias.copy_(bias)
                layers += [layer, nn.ReLU()]
            return nn.Sequential(*layers[:-1])

        def weights(layers):
            return [(layer.weight, layer.bias) for layer in layers if isinstance(layer, nn.Linear)]

        first = torch.cat([model.edge_in.receiver, model.edge_in.sender], 1), model.edge_in.bias
        self.edge_model, self.node_model = mlp([first, *weights(model.edge_mlp)]), mlp(weights(model.node_mlp))

    def all_messages(self, dataset, trajectory, frame):
        """Messages [edge, component] of all frames, in memory; the accelerations are computed as well."""
        import torch
        from torch_geometric.data import Data
        from torch_geometric.loader import DataLoader
        from torch_geometric.utils import scatter

        from distill.network.data import node_features
        from distill.network.edges import all_pairs

        edge_index = all_pairs(dataset.n).index
        data = []
        for t, f in zip(trajectory, frame, strict=True):
            properties = {name: values[t] for name, values in dataset.properties.items()}
            x = node_features(dataset.pos[t, f], dataset.vel[t, f], properties)
            data.append(Data(x=torch.as_tensor(x).float(), edge_index=edge_index))
        messages, predicted = [], []
        with torch.no_grad():
            for batch in DataLoader(data, batch_size=BATCH):
                sender, receiver = batch.edge_index
                message = self.edge_model(torch.cat([batch.x[receiver], batch.x[sender]], 1))
                total = scatter(message, receiver, dim_size=len(batch.x), reduce="sum")
                predicted.append(self.node_model(torch.cat([batch.x, total], 1)))
                messages.append(message)
        assert torch.cat(predicted).isfinite().all()
        return torch.cat(messages).numpy()


def parts_of_it(args) -> dict:
    """Rates of the forward pass alone, of all but the shares, and of everything with the file, bracketed by the
    plain way (paper recipe's network) or by the forward pass without oneDNN (newton recipe's).
    """
    import numpy as np
    import torch

    from distill.messages.extraction import Extraction
    from distill.network.data import node_features

    model, dataset, trajectory, frame = load(args)
    extraction, without = (Extraction(model, dataset) for _ in range(2))
    without.with_shares = False
    graphs, at_once = len(frame), len(extraction.batches(trajectory, frame)[0])
    path = Path(os.environ["DISTILL_OUTPUTS"]) / "parts.npz"
    t, f = trajectory[:at_once], frame[:at_once]
    properties = {name: values[t] for name, values in dataset.properties.items()}
    x = node_features(dataset.pos[t, f], dataset.vel[t, f], properties)
    nodes, edges = torch.as_tensor(x).float().flatten(0, 1), extraction.source(t)

    def forward(network):
        with torch.no_grad():
            for _ in range(0, graphs, at_once):
                network(nodes, edges)

    def written(which):
        sizes = {"edge": which.edges(trajectory, frame)}
        stream_npz(path, which.parts(trajectory, frame), sizes, MESSAGE_FIELDS)

    def by_torch(network):
        with torch.backends.mkldnn.flags(enabled=False):
            forward(network)

    out, compare = {"baseline_is": "forward pass alone, without oneDNN"}, by_torch
    candidates = {"forward pass alone": lambda: forward(extraction.model), WITHOUT: lambda: written(without)}
    work = {"baseline": graphs} | dict.fromkeys(candidates, -(-graphs // at_once) * at_once)
    work[WITHOUT] = graphs
    if extraction.with_shares:
        candidates["all, written"], work["all, written"] = lambda: written(extraction), graphs
    if model.edge_in.position is None:
        plain = PlainNetwork(model)
        own_messages = np.concatenate([p["message"] for p in extraction.parts(trajectory, frame)])
        theirs = plain.all_messages(dataset, trajectory, frame)
        out["baseline_is"] = "plain way, without writing"
        out["largest_difference"] = float(np.abs(own_messages - theirs).max() / theirs.std())
        compare = lambda _: plain.all_messages(dataset, trajectory, frame)  # noqa: E731
    else:
        work["baseline"] = work["forward pass alone"]
    before = peaks(args.threads)
    rows = side_by_side(lambda: compare(model), candidates, work, args.rounds, args.threads)
    after = peaks(args.threads)
    kept = int(model.active.sum())
    path.unlink()
    out |= {"graphs": graphs, "graphs_at_once": at_once, "rows": rows, "components": kept}
    out |= {"flops": forward_flops(model.config, dataset.n, kept), "share_flops": 0.0}
    if extraction.with_shares:
        out["share_flops"] = share_flops(model.config, dataset.n)
    return out | {"peaks": {k: max(before[k], after[k]) for k in before}}


def peaks(threads: int) -> dict:
    """Float32 matrix peak by the fastest library here and by ``torch.mm`` alone."""
    return {"best": matrix_peak("float32", threads), "mm": matrix_peak("float32 mm", threads)}


def forward_flops(config, n: int, kept: int) -> float:
    """Floating-point operations of one forward pass of a graph of ``n`` particles, all pairs; products of matrices
    alone, a multiplication and an addition counting as two.

    The edge model's first layer is a sum of a part of the receiver and one of the sender, so it costs 2 n products
    with the features of a node instead of n (n - 1) with those of two; geometric inputs and all further layers act
    on every edge, its last for the ``kept`` active components; the node model acts on the n particles.
    """
    edges, width, dim = n * (n - 1), config.hidden, config.dim
    own = dim + 2 + (0 if config.translation_invariant else dim)
    per_node = 2 * own * width + (dim * width if config.translation_invariant else 0)
    outputs = kept * (2 if config.gaussian else 1) + config.exp_gate
    per_edge = (config.depth - 1) * width**2 + width * outputs
    per_edge += (dim + 1) * width if config.geometric_inputs else 0
    if config.linear_node:
        per_node += own * width + (config.depth - 1) * width**2 + width * dim * (kept + 1) + dim * kept
    else:
        per_node += (own + config.message_dim) * width + (config.depth - 1) * width**2 + width * dim
    return 2.0 * (edges * per_edge + n * per_node)


def share_flops(config, n: int) -> float:
    """Operations of the shares of one graph. A linear node model's Jacobian is what it says: a product with every
    message. Of another a row for each of the ``dim`` accelerations goes back through the hidden layers to the messages;
    the node model's activations are there.
    """
    if config.linear_node:
        return 2.0 * n * (n - 1) * config.dim * config.message_dim
    back = (config.depth - 1) * config.hidden**2 + config.hidden * config.message_dim
    return 2.0 * n * config.dim * back


if __name__ == "__main__":
    run_script(main)
