"""What all tests share: one thread a process, no network, and where the development photos lie."""

import gc
import os
import signal
import threading
from pathlib import Path

import pytest

# before numpy or torch is imported, which read these once; threads of several processes would fight for the cores
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# a shell starts what it runs in the background deaf to Ctrl-C, and all that it starts; tests send it
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take longest, the longest first. They are begun first, so that at the end there are only short ones to
# share out. By itself xdist begins with those of most tests: --no-loadscope-reorder, in the Makefile, stops that.
LONG = [
    *("faults", "train_tiny", "docs", "pretrain", "pretrain_tiny", "instruct", "caption", "contrast", "caption_tiny"),
    *(
        "outline",
        "contrast_tiny",
        "backbones_embedded",
        "cluster",
        "bad_input",
        "segmenter",
        "app_page",
        "app",
        "explore",
    ),
    *("pipeline", "streams", "text"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def pytest_collection_finish() -> None:
    """What all tests have imported stays, so garbage is not looked for in it again and again: exporting a network makes
    objects by the million, and took a fifth longer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _kept_apart(tmp_path_factory) -> None:
    """What is kept of vocabularies is kept in a folder of the tests' own."""
    os.environ["HEDGEROW_CACHE"] = str(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="session")
def development_data() -> Path:
    """The folder of real photos and labels: $HEDGEROW_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HEDGEROW_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"there are no development data at {folder}: set HEDGEROW_DATA to run this")
    return folder
