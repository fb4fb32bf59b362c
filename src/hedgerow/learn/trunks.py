"""The backbones that learning starts from, by name, and what people gave to make what is learned from.

In: what `--backbone` says: embedded, a folder or file that hub: names (with or without that), or moco:FILE. Out: its
weights, and a `supervision` for the record.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

import torch
from torch import nn

from hedgerow.backbones.embedded import SHIPPED
from hedgerow.backbones.hub import fetched
from hedgerow.data.labels import LabelStore
from hedgerow.learn.networks.checkpoints import load_network
from hedgerow.learn.networks.resnet import load_moco

MORE = ("none", "captions", "unknown", "labels")  # each more than those before


def trunk_of(backbone: str) -> str:
    """The folder or file with a backbone's weights in torch."""
    if backbone == "embedded":
        return str(Path(SHIPPED).parent / "backbone")
    return str(fetched(backbone.removeprefix("hub:").partition("?")[0])[0])


def trunk_named(backbone: str, seed: int = 0) -> nn.Module:
    """The network of a backbone, with its weights; what is new in it is drawn by the seed."""
    if backbone.startswith("moco:"):
        return load_moco(backbone.removeprefix("moco:"), torch.Generator().manual_seed(seed))
    return load_network(trunk_of(backbone)).network


def supervision_of(store: LabelStore, backbone: str) -> str:
    """What people gave: to the maker of the labels, or to the backbone, whichever is more. Weights that can come from
    several ways of training do not tell; `?supervision=none` behind their name does."""
    made = str(store.record["settings"].get("supervision", "none"))
    return max((trunk_supervision(backbone), made if made in MORE else "unknown"), key=MORE.index)


def trunk_supervision(backbone: str) -> str:
    """What people gave to the backbone."""
    if backbone == "embedded" or backbone.startswith("moco:"):
        return "none"
    asked = dict(parse_qsl(backbone.partition("?")[2])).get("supervision")
    given = load_network(trunk_of(backbone)).supervision or asked or "unknown"
    return given if given in MORE else "unknown"
