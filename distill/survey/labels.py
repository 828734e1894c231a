"""What tracks themselves say against any law of their particles: labels that change, motion without inertia."""

from distill.files.dataset import Dataset
from distill.windows.doubts import exchanged, inertia
from distill.windows.of_dataset import noise_in, positions_alone

NO_INERTIA, SURE = 0.1, 3.0  # correlation of steps, and its standard errors, below which they do not follow each other


def against_tracks(dataset: Dataset) -> list[str]:
    """A reason each why no law of ``dataset`` is to be trusted, whatever it predicts.

    Not in a periodic box, where steps through its sides look like anything.
    """
    if dataset.periodic or "pos" not in dataset.arrays:
        return []
    alone, out = positions_alone(dataset), []
    places = (dataset.observed if alone else dataset.pos).astype(float, copy=False)
    found = exchanged(places, dataset.times, noise_in(dataset) if alone else 0.0)
    if len(found):
        k, frame, i, j = found[0].tolist()
        more = f" and {len(found) - 1:,} times more" if len(found) > 1 else ""
        where = f"in frame {frame} of trajectory {k}{more}"
        out.append(f"particles {i} and {j} exchange their places {where} (identities swapped?)")
    if alone:
        follow, error = inertia(places)
        if follow < max(NO_INERTIA, SURE * error):
            out.append(f"steps do not follow those before (correlation {follow:.2f}: noise, or no inertia)")
    return out
