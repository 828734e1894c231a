"""A file that is changed anywhere is refused in one line, or what is read is what was written."""

import base
import mutations
import pytest

from distill.shell import paths


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    return base.made(tmp_path)


def test_a_sample_of_changes(files):
    found = mutations.mutated(files, seed=950, each=6)
    assert not mutations.wrong(found), mutations.wrong(found)
    assert sum(row[2] == "refused" for row in found) > len(found) / 2


@pytest.mark.slow
def test_two_thousand_changes(files):
    found = mutations.mutated(files, seed=951, each=125)
    print(mutations.table(found))
    assert len(found) >= 2000 and not mutations.wrong(found), mutations.wrong(found)
