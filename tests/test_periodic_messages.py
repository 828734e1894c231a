"""Messages of frames in a periodic box: extraction, the read-out and the fits, from a small Lennard-Jones dataset."""

import numpy as np
import pytest
import torch
from extracted import edges_of
from filled import filled
from planted import CUTOFF, SIDE, write_argon

from distill.files import records
from distill.files.dataset import Dataset, load_dataset
from distill.files.kinds import RunConfig
from distill.messages.extraction import Extraction
from distill.messages.net_forces import nodes_of
from distill.physics.neighbours import minimum_image
from distill.pipeline.extract_messages import usual_graphs
from models import GNN, ModelConfig


@pytest.fixture(scope="module")
def argon(tmp_path_factory):
    return load_dataset(str(write_argon(tmp_path_factory.mktemp("argon"))))


def network(**options):
    torch.manual_seed(0)
    return GNN(
        ModelConfig(
            dim=3,
            message_dim=5,
            hidden=12,
            translation_invariant=True,
            geometric_inputs=True,
            periodic=True,
            r_mean=4.5,
            r_spread=0.7,
            **options,
        )
    ).eval()


FRAMES = np.array([0, 3, 3]), np.array([1, 0, 2])


def test_every_pair_within_the_cutoff_is_there_with_its_nearest_image_and_true_force(argon):
    found = edges_of(network(), argon, *FRAMES)
    for t, f in zip(*FRAMES, strict=True):
        here = (found["trajectory"] == t) & (found["frame"] == f)
        pos = argon.pos[t, f]
        dx = minimum_image(pos[:, None] - pos[None], np.full(3, SIDE))
        r = np.linalg.norm(dx, axis=-1)
        i, j = np.nonzero((r <= CUTOFF) & ~np.eye(argon.n, dtype=bool))
        assert np.array_equal(found["receiver"][here], i) and np.array_equal(found["sender"][here], j)
        np.testing.assert_allclose(found["dx"][here], dx[i, j], atol=1e-12)
        summed = np.stack([np.bincount(i, column, argon.n) for column in found["force"][here].T], 1)
        np.testing.assert_allclose(summed / argon.mass[t][:, None], argon.acc[t, f], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(found["acc_i"][here], argon.acc[t, f][i])


def test_the_batch_size_changes_nothing_and_the_number_of_edges_is_known_before(argon):
    one, all_ = (edges_of(network(), argon, *FRAMES, batch=b) for b in (1, 3))
    for name, values in one.items():
        np.testing.assert_allclose(all_[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_shares_of_a_receiver_add_up_to_its_prediction(argon):
    found = edges_of(network(), argon, *FRAMES)
    nodes = nodes_of(found)
    np.testing.assert_allclose(nodes.sum(found["acc_share"]), found["acc_pred_i"][nodes.first], rtol=1e-3, atol=1e-4)


def test_the_pair_force_ends_where_the_system_says_even_if_the_graph_goes_further(argon):
    arrays = argon.arrays | {"cutoff": np.float64(5.9)}
    found = edges_of(network(), Dataset(argon.name, argon.path, arrays, argon.meta), *FRAMES)
    beyond = found["r"] >= CUTOFF
    assert beyond.any() and not found["force"][beyond].any() and found["force"][~beyond].all()


def test_the_frames_drawn_by_default_go_by_their_edges():
    config = records.build(RunConfig, filled(RunConfig))
    for edges, frames in ((None, 10_000), (15_480.2, 38), (1e9, 1)):
        config.edges_a_frame = edges
        assert usual_graphs(config) == frames


def test_extraction_counts_the_edges_of_frames(argon):
    extraction = Extraction(network(), argon)
    assert extraction.edges(*FRAMES) == sum(len(p["r"]) for p in extraction.parts(*FRAMES))
