"""Neighbour lists against all pairs written out, in a periodic box and without one."""

import numpy as np
import pytest

from distill.physics.neighbours import batch, close_pairs, minimum_image, radius_graph, unwrap, wrap

BOX = np.array([12.0, 9.0, 15.0])


def all_pairs(pos, box, cutoff):
    """Edges (receiver, sender) -> x_i - x_j by trying every image of every pair."""
    dim, found = pos.shape[1], {}
    images = np.stack(np.meshgrid(*[np.arange(-3, 4)] * dim, indexing="ij"), -1).reshape(-1, dim)
    for i in range(len(pos)):
        for j in range(len(pos)):
            if i != j:
                d = pos[i] - pos[j] + (0 if box is None else images * box)
                d = np.atleast_2d(d)
                nearest = d[np.argmin((d * d).sum(1))]
                if np.linalg.norm(nearest) <= cutoff:
                    found[i, j] = nearest
    return found


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("outside", [0, 1])
def test_same_edges_as_all_pairs(dim, periodic, outside):
    """``outside``: positions up to a box length out of the box on either side."""
    rng = np.random.default_rng([dim, outside])
    box = BOX[:dim]
    pos = rng.uniform(-outside, 1 + outside, (40, dim)) * box
    box = box if periodic else None
    graph, expected = radius_graph(pos, box, 4.0), all_pairs(pos, box, 4.0)
    assert list(zip(graph.receiver, graph.sender, strict=True)) == sorted(expected)
    np.testing.assert_allclose(graph.dx, [expected[k] for k in sorted(expected)], atol=1e-12)
    np.testing.assert_allclose(graph.r, np.linalg.norm(graph.dx, axis=1))
    np.testing.assert_array_equal(graph.receiver[graph.reverse], graph.sender)
    np.testing.assert_array_equal(graph.sender[graph.reverse], graph.receiver)
    np.testing.assert_array_equal(graph.dx[graph.reverse], -graph.dx)


def test_pairs_across_the_faces_and_on_them():
    pos = np.array([[0.0, 1, 1], [11.9, 1, 1], [-1e-17, 8.9, 1], [12.0, 8.9, 1]])
    i, j, dx, r = close_pairs(pos, BOX, 0.5)
    pairs = {(int(a), int(b)): d for a, b, d in zip(i, j, r, strict=True)}
    assert pairs[0, 1] == pytest.approx(0.1) and pairs[2, 3] == pytest.approx(0) and len(pairs) == 2


def test_a_pair_at_the_cutoff_is_in():
    pos = np.array([[0.0, 0, 0], [3.0, 0, 0]])
    assert len(close_pairs(pos, BOX, 3.0)[0]) == 1 and len(close_pairs(pos, BOX, 3.0 - 1e-12)[0]) == 0


def test_frames_with_different_numbers_of_edges_as_one_graph():
    rng = np.random.default_rng(3)
    frames = [rng.uniform(0, scale, (20, 3)) * BOX for scale in (1.0, 0.4, 0.0)]
    frames[2] = np.arange(20)[:, None] * BOX / 20 * [1, 7, 3]  # a sparse one, far apart
    graphs = [radius_graph(pos, BOX, 2.0) for pos in frames]
    whole, counts = batch(graphs, 20)
    assert counts.tolist() == [len(g.r) for g in graphs] and len(set(counts.tolist())) == 3
    assert (np.diff(whole.receiver) >= 0).all()
    pos = np.concatenate(frames)
    np.testing.assert_allclose(whole.dx, minimum_image(pos[whole.receiver] - pos[whole.sender], BOX))
    np.testing.assert_array_equal(whole.receiver // 20, np.repeat([0, 1, 2], counts))
    np.testing.assert_array_equal(whole.receiver[whole.reverse], whole.sender)
    np.testing.assert_array_equal(whole.dx[whole.reverse], -whole.dx)


def test_no_pair_within_the_cutoff():
    graph = radius_graph(np.array([[0.0, 0, 0], [6.0, 0, 0]]), BOX, 1.0)
    assert graph.r.shape == (0,) and graph.dx.shape == (0, 3) and graph.reverse.shape == (0,)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, 4.6, np.nan])
def test_a_cutoff_without_one_nearest_image_is_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff"):
        close_pairs(np.zeros((2, 3)), BOX, cutoff)


def test_wrapped_and_unwrapped_paths():
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 0.5, (60, 10, 3)), axis=0) * 2 + rng.uniform(0, 1, (10, 3)) * BOX
    inside = wrap(path, BOX)
    assert (inside >= 0).all() and (inside < BOX).all() and (np.abs(path - inside) > 1).any()
    np.testing.assert_allclose(unwrap(inside, BOX) - inside[0], path - path[0], atol=1e-10)
    assert (wrap([[-1e-18, 0, 15.0]], BOX) == 0).all()
