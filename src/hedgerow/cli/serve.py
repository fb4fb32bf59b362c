"""hedgerow serve: a page in which photos open into their forests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from hedgerow.config import Serve


def serve(
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTOS|OUT...")] = (),
    /,
    run: Annotated[Serve, arg(name="")] = Serve(),  # noqa: B008
) -> int:
    """Open photos, or results, in a local web page.

    Photos dropped on the page are segmented; those of the folders given are listed, with the forests they have.

    Nothing is written to any of these folders.

    Args:
        inputs: photos, folders, globs, tars; folders that hedgerow segment wrote (default: photos are dropped)
    """
    from hedgerow.app.serve import serve as listen

    listen(inputs, run)
    return 0
