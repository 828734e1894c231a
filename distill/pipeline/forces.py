"""Where the pair force comes from that ``symbolic_reg`` searches: a run's messages, splines, or a dataset alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.fields import SPLITS
from distill.files.kinds import DatasetRecord, MessagesRecord, RunConfig, SystemRecord
from distill.files.messages import load_made_elsewhere, load_messages
from distill.files.names import messages_path, name_of_messages, run_dir, run_name_of, splines_name
from distill.files.of_run import dataset_of_run
from distill.files.properties import of_edges
from distill.files.scales import scales_of, scales_of_messages, scales_of_model
from distill.formulas.units import ONE, Units
from distill.law.sources import Source
from distill.messages import energies, read_out, roles
from distill.messages.net_forces import Nodes, missed_between, node_values, nodes_of
from distill.pipeline.rivals import MAKERS, NO_NETWORK, Material, fitted, of_all_levels, of_splines, of_terms
from distill.search.registry import MESSAGES, SPLINES
from distill.shell.errors import UserError
from distill.shell.paths import relative
from distill.shell.stage import warn
from distill.splines.blocks import Seen, with_motion
from distill.splines.known import known_of
from distill.splines.observations import GRAPHS, observations
from distill.splines.of_messages import fit_terms_of_messages, has_additive_node
from distill.splines.pair_spline import Further, PairSpline
from distill.survey.fit import all_that_acts, unseen
from distill.survey.window_length import with_window
from distill.windows.of_dataset import positions_alone

OF_DATASET = ("radial",)  # targets, where none are asked for
NEED_NO_NETWORK = ("radial", "node")
OF_MESSAGES = ("radial", "components")
NEED_POSITIONS = ("node",)  # which messages alone do not have
QUICK_GRAPHS, TEST_GRAPHS = 400, 10_000
MORE = "a law needs enough frames in which particles move, at distances that differ; docs/formats.md lists the arrays"


@dataclass
class Forces:
    """Pairs of frames as in a messages file, and the estimate of their force that is searched.

    ``read``: the read-out of the messages, or the splines. Of a dataset alone ``messages`` holds no messages, its
    ``acc_pred_i`` are the accelerations by the splines, and ``config`` and ``meta`` are None; of messages made
    elsewhere ``config`` is. ``network``: whether ``acc_pred_i`` are a network's.
    ``units``: those to search and fit in: the network's, or those of the data.
    """

    run: str
    inputs: dict[str, Path]
    dataset: Dataset
    messages: dict
    nodes: Nodes
    read: read_out.ReadOut | PairSpline
    main: Source
    config: RunConfig | None = None
    meta: MessagesRecord | None = None
    network: bool = True
    units: Units = ONE

    def __post_init__(self):
        self.messages = with_missed(self.messages, self.nodes, self.main.force)

    def less(self, terms: Sequence[Further]) -> dict:
        """``messages`` without the accelerations that ``terms`` make: the radial force and constants make the rest."""
        seen = Seen(self.messages["r"].astype(float), of_edges(self.messages), self.messages["motion"])
        of = self.nodes.of_edge
        made = sum(one.force_on(seen, of, len(self.nodes.first)) for one in terms)[of]
        made /= self.messages["mass_i"].astype(float)[:, None]
        return self.messages | {name: self.messages[name] - made for name in ("acc_i", "acc_pred_i")}

    def rival(self, name: str, seed: int) -> Source:
        """Another way to a law from the same data."""
        of = Material(self.config, self.dataset, self.messages, self.meta, self.nodes, self.read, seed)
        return MAKERS[name](of)

    def test(self, seed: int) -> dict | None:
        """Pairs of the test split with what is predicted of them, for the verdict; None where none were extracted."""
        if isinstance(self.dataset, NoDataset):
            return None
        if self.config is None:
            split = self.dataset.arrays["split"] == SPLITS.index("test")
            return _with_predictions(self.dataset, "test", TEST_GRAPHS, seed, self.read) if split.any() else None
        path = self.inputs.get("messages_test")
        if not path:
            return None
        test, _ = load_messages(path, self.run)
        test = with_motion(test, self.dataset) if "motion" in self.messages else test
        nodes = nodes_of(test)
        splines = isinstance(self.read, PairSpline)
        return with_missed(test, nodes, self.read.force(test) if splines else self.read.force(test, nodes))

    def tell(self, response: bool = False) -> None:
        """Warn where a linear read-out loses what the network knows, and of the third law where it was doubted.

        ``response``: one is looked for behind the messages, so that a linear read-out is not all there is.
        """
        read = self.read
        if isinstance(read, PairSpline):
            return
        if read.loses:
            by_jacobian = read.gauge == read_out.JACOBIAN
            taken = "forces are read with the node model's Jacobian" if by_jacobian else "it is still the best read-out"
            taken += "; a response to the net force is looked for beside it" if response else ""
            own = "" if read.network is None else f", which are off by {100 * read.network:.2g} % themselves"
            lost = f"{100 * read.lost:.2g} % of the network's net forces{own}"
            warn(f"a linear mixture of the messages misses {lost}; {taken}")
        if read_out.THIRD_LAW in self.meta.doubted and read.gauge in read.third_law:
            broken = read.third_law[read.gauge]
            warn(f"the third law is not imposed: |F_ij + F_ji| is {broken:.2g} of |F_ij| + |F_ji| (median)")


class OfRun:
    """A trained run: ``force`` reads its messages, or fits splines to the accelerations of the same frames.

    ``windows``, of this and the other two ways: whether accelerations are means over windows of frames.
    """

    def __init__(self, run: str, force_from: str):
        self.run, self.splines = run_name_of(run), force_from == SPLINES
        path, config = messages_path(self.run, "train"), run_dir(self.run) / "config.json"
        self.config = records.load(RunConfig, config)
        self.messages, self.meta = load_messages(path, self.run)
        self.properties = self.meta.properties
        self.inputs = {"messages": path, "config": config}
        if (test := messages_path(self.run, "test")).is_file():
            self.inputs["messages_test"] = test  # laws are judged on it where it is there
        self.periodic, self.windows = bool(self.config.model.get("periodic")), "weight" in self.messages
        self.energies = energies.are_energies(self.meta)
        if len(np.unique(self.messages["trajectory"])) < 2:
            raise _of_one_trajectory(path, f"python extract_messages.py --run {run} --split all, or train on more")

    def forces(self, seed: int, quick: bool) -> Forces:
        dataset, messages = dataset_of_run(self.run, self.config), self.messages
        nodes, additive = nodes_of(messages), has_additive_node(self.config)
        messages = with_motion(messages, dataset) if additive else messages
        if self.splines:
            read = fitted(messages, seed, self.meta.doubted)
            main = of_splines(read, messages)
        elif additive:
            read = fit_terms_of_messages(roles.part("read_out", messages, seed), seed)
            main = of_terms(MESSAGES, read, messages)
        else:
            read = energies.read(messages, nodes, self.meta, seed)
            main = of_messages(read, messages, nodes, self.meta)
        units = Units.of_scales(scales_of_model(self.config.model))
        return Forces(self.run, self.inputs, dataset, messages, nodes, read, main, self.config, self.meta, units=units)


class OfDataset:
    """A dataset without a network: splines, fitted to the accelerations of its training split."""

    config, energies = None, False

    def __init__(self, name: str):
        self.dataset = load_dataset(name)
        self.run, self.periodic = splines_name(self.dataset.name), self.dataset.periodic
        self.windows = positions_alone(self.dataset)
        self.properties = list(self.dataset.properties)
        self.inputs = {"dataset": self.dataset.path}
        if len(self.dataset.trajectories("train")) < 2:
            raise _of_one_trajectory(self.dataset.path, "put more trajectories into its training split")

    def forces(self, seed: int, quick: bool) -> Forces:
        with_window(self.dataset, seed)
        edges = observations(self.dataset, "train", QUICK_GRAPHS if quick else GRAPHS, seed)
        edges = edges if self.periodic else with_motion(edges, self.dataset)
        nodes, own = nodes_of(edges), roles.part("read_out", edges, seed)
        held, known = unseen(self.dataset, seed, test=False), known_of(self.dataset.meta.beside)
        read, _, _ = all_that_acts(own, nodes_of(own), held, seed, quick, known)
        read.further = known.marked(read.further) if known else read.further
        edges["acc_pred_i"] = read.accelerations(edges, nodes)
        units = Units.of_scales(scales_of(self.dataset))
        return Forces(
            self.run, self.inputs, self.dataset, edges, nodes, read, of_splines(read, edges), network=False, units=units
        )


class NoDataset(Dataset):
    """What stands for the dataset where there are messages alone: the sizes, and nothing of the frames."""

    @property
    def n(self) -> int:
        return self.meta.n

    @property
    def dim(self) -> int:
        return self.meta.dim


class OfMessages:
    """Messages that no run here sent, without their network or dataset.

    Where the file does not say what that network predicts, accelerations by splines take its place: messages are read
    by net forces that somebody predicts.
    """

    config = None

    def __init__(self, path: str, name: str | None, force_from: str):
        self.run, self.path = name_of_messages(path, name), Path(path)
        self.splines, self.periodic = force_from == SPLINES, False
        self.messages, self.meta = load_made_elsewhere(self.path, self.run)
        self.windows, self.energies = "weight" in self.messages, energies.are_energies(self.meta)
        self.properties, self.inputs = self.meta.properties, {"messages": self.path}
        if len(np.unique(self.messages["trajectory"])) < 2:
            raise _of_one_trajectory(self.path, "number its 'trajectory' by film, or by stretches of one film")

    def forces(self, seed: int, quick: bool) -> Forces:
        messages = dict(self.messages)
        nodes, network = nodes_of(messages), "acc_pred_i" in messages
        spline = None if network and not self.splines else fitted(messages, seed, self.meta.doubted)
        if not network:
            messages["acc_pred_i"] = spline.accelerations(messages, nodes)
            warn(f"{relative(self.path)} has no 'acc_pred_i': messages are read by the net forces that splines predict")
        if self.splines:
            read, main = spline, of_splines(spline, messages)
        else:
            try:
                read = energies.read(messages, nodes, self.meta, seed)
            except UserError as exc:
                raise UserError(f"{relative(self.path)}: {exc.message.partition(':')[0]}", GIVE_OTHERS) from None
            main = of_messages(read, messages, nodes, self.meta)
        system = self.meta.system
        known = system if not (system.external or system.drag) else SystemRecord()  # fields depend on the place
        about = DatasetRecord(system=known, n=self.meta.n, dim=self.meta.dim)
        dataset = NoDataset(self.run, self.path, {}, about)
        units = Units.of_scales(scales_of_messages(messages))
        return Forces(self.run, self.inputs, dataset, messages, nodes, read, main, None, self.meta, network, units)


GIVE_OTHERS = "give messages that differ from pair to pair, or search what splines read:  --force-from splines"


def _with_predictions(dataset: Dataset, split: str, graphs: int, seed: int, read: PairSpline) -> dict:
    edges = observations(dataset, split, graphs, seed)
    edges = edges if dataset.periodic else with_motion(edges, dataset)
    nodes = nodes_of(edges)
    return with_missed(edges | {"acc_pred_i": read.accelerations(edges, nodes)}, nodes, read.force(edges))


def with_missed(edges: dict, nodes: Nodes, force: np.ndarray) -> dict:
    """``edges`` with ``acc_missed`` [edge], where they are of windows: what frames miss of the accelerations by the
    pair forces ``force`` [edge, dim], a part of the errors of ``acc_i`` from here on.
    """
    return edges | {"acc_missed": missed_between(edges, nodes, force)} if "between" in edges else edges


def where_from(
    run: str | None,
    dataset: str | None,
    messages: str | None,
    name: str | None,
    force_from: str,
    targets: Sequence[str],
    rivals: Sequence[str],
) -> OfRun | OfDataset | OfMessages:
    """``UserError`` unless one of ``run``, ``dataset`` and ``messages`` is given, and a network is where one is needed.

    ``force_from``: as it was asked for, "both" included. ``name``: of ``messages``.
    """
    if sum(given is not None for given in (run, dataset, messages)) != 1:
        found = "give one of a trained run, a dataset, and messages made elsewhere"
        raise UserError(found, "--run NAME, --dataset NAME or --messages FILE")
    if name is not None and messages is None:
        raise UserError("--name is what messages made elsewhere are called here", "give it with --messages FILE")
    if run is not None:
        return OfRun(run, force_from)
    needed = [f"--rivals {one}" for one in rivals if one not in NO_NETWORK]
    if messages is not None:
        if needed:
            raise UserError(f"{needed[0]} needs the network itself, which messages alone do not have", "leave it out")
        for one in set(targets) & set(NEED_POSITIONS):
            raise UserError(f"--targets {one} needs positions, which messages alone do not have", "leave it out")
        return OfMessages(messages, name, force_from)
    needed += [f"--targets {one}" for one in targets if one not in NEED_NO_NETWORK]
    needed[:0] = [f"--force-from {force_from}"] if force_from != SPLINES else []
    if needed:
        found = f"{needed[0]} needs a trained network, and a dataset alone has none"
        raise UserError(found, f"leave it out, or train:  python train.py --dataset {dataset}")
    return OfDataset(dataset)


def of_messages(read: read_out.ReadOut, messages: dict, nodes: Nodes, meta: MessagesRecord) -> Source:
    force = read.force(messages, nodes)
    beside = node_values(force, messages, nodes, read.node_terms)
    groups = of_all_levels(messages, meta)
    return Source(MESSAGES, "messages", read.what, force, read.node_terms, beside, groups=groups)


def _of_one_trajectory(path: Path, fix: str) -> UserError:
    found = f"{relative(path)} is of one trajectory, expected at least 2: laws are judged on trajectories left out"
    return UserError(found, fix)
