"""How what is there was made, against how it would be made now.

In: two records of settings, as JSON has them. Out: the first setting that is not the same, in a few words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Of records that differ, as "explore.max_masks 1000, not 10"."""
    old, new = _flat(before), _flat(now)
    name = next(name for name in (*new, *old) if old.get(name, ...) != new.get(name, ...))  # None is a setting, too
    return f"{name} {old.get(name, 'unknown')}, not {new.get(name, 'unknown')}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
