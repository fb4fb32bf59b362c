"""faiss, which groups and searches vectors; imported late, since only categories and search need it."""

from __future__ import annotations

from typing import Any

from hedgerow.config import CallerError


def faiss() -> Any:
    """The library, or in one line how to get it."""
    try:
        import faiss as library
    except ModuleNotFoundError:
        raise CallerError("categories need faiss: install hedgerow with its extra [categories]") from None
    return library
