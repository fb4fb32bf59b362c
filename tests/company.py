"""Two processes of one run, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def two_processes(folder: Path, code: str, *words: object) -> None:
    """Run code in both, with these words as its arguments; it may import what tests have."""
    script = folder / "both.py"
    script.write_text(code)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *map(str, (script, *words)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
