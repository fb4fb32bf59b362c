"""Two processes of one run, as torchrun starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch


def losses_of(run: Path) -> list[float]:
    """The loss of every step, as the log has it."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def two_processes(folder: Path, code: str, *words: object) -> None:
    """Run code in both, with these words as its arguments; it may import what tests have. Several runs of one start are
    `in_company` as a whole: processes that part and join again may meet one another's former selves."""
    places = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    script = folder / "both.py"
    script.write_text(code)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *map(str, (script, *words)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def share_kept(optimizer: torch.optim.Optimizer, *networks: torch.nn.Module) -> float:
    """How much this process keeps of the numbers of networks and of the moments of what moves them."""
    moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    tensors = [*moments, *(parameter for network in networks for parameter in network.parameters())]
    return sum(tensor.to_local().numel() for tensor in tensors) / sum(tensor.numel() for tensor in tensors)
