"""What all tests share: one thread a process, no network, and where the development photos lie."""

import os
from pathlib import Path

import pytest

# before numpy or torch is imported, which read these once; threads of several processes would fight for the cores
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def development_data() -> Path:
    """The folder of real photos and labels: $HEDGEROW_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HEDGEROW_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"there are no development data at {folder}: set HEDGEROW_DATA to run this")
    return folder
