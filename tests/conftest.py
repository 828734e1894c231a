"""Tests run the scripts and modules of the checkout, one thread each."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from distill.shell import paths

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# What XLA has compiled serves every process of a worker; not those of others, for JAX does not write atomically.
_worker, _compiled = os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("JAX_COMPILATION_CACHE_DIR")
if not (_worker and _compiled):
    _compiled = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(_compiled, _worker)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Files that take longest, so that no worker begins one of them when the other has nothing left to do (``make test``).
LONGEST = "stages stage_train periodic_pipeline engines simulate shared labels lanes selection families targets".split()


def pytest_collection_modifyitems(items):
    place = {f"test_{name}": k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(Path(item.path).stem, len(place)))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The folders of the hand-off files, of a test's own."""
    for name in ("DATASETS", "MODEL_WEIGHTS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path
