"""An index of vectors: which of many are most like one.

In: unit vectors (N, D). Out: for one more, the rows of those most like it by cosine, and how alike they are.

Up to FLAT vectors all are compared: 100,000 of 384 numbers take about a hundredth of a second on one core, and the
answer is exact. Beyond, they are parted into cells about centroids, and the cells nearest to what is asked are searched
(IVF; Sivic & Zisserman 2003). The numbers behind both choices are printed by `benchmarks/search.py`.
"""

from __future__ import annotations

import numpy as np

from hedgerow.categories.late import faiss
from hedgerow.config import CallerError

FLAT = 200_000  # vectors up to which all are compared
CELLS, LEARNED, PROBED = 4.0, 40, 0.05  # cells per root of N; vectors a cell that they are learned from; share searched


class VectorIndex:
    """faiss' index, of either kind."""

    def __init__(self, index: object) -> None:
        self._index = index

    @classmethod
    def of(cls, vectors: np.ndarray) -> VectorIndex:
        """Of unit vectors (N, D); the same vectors give the same index, byte for byte."""
        vectors, count, dims = np.ascontiguousarray(vectors, np.float32), *vectors.shape
        index = flat = faiss().IndexFlatIP(dims)
        if count > FLAT:
            cells = int(CELLS * np.sqrt(count))
            index = faiss().IndexIVFFlat(flat, dims, cells, faiss().METRIC_INNER_PRODUCT)
            some = np.random.default_rng(0).choice(count, min(count, LEARNED * cells), replace=False)
            index.train(vectors[np.sort(some)])
            index.nprobe = max(1, round(PROBED * cells))
        index.add(vectors)
        return cls(index)

    @classmethod
    def from_bytes(cls, content: bytes) -> VectorIndex:
        try:
            return cls(faiss().deserialize_index(np.frombuffer(content, np.uint8)))
        except RuntimeError as error:
            raise CallerError(f"this is no faiss index ({str(error).splitlines()[0][:200]})") from None

    def to_bytes(self) -> bytes:
        return faiss().serialize_index(self._index).tobytes()

    def __len__(self) -> int:
        return int(self._index.ntotal)  # type: ignore[attr-defined]

    @property
    def dims(self) -> int:
        return int(self._index.d)  # type: ignore[attr-defined]

    @property
    def kind(self) -> str:
        return "cells" if hasattr(self._index, "nprobe") else "flat"

    def search(self, vector: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` rows, the most alike first, and their cosines with the vector (D,)."""
        asked = np.ascontiguousarray(vector, np.float32)[None]
        alike, rows = self._index.search(asked, min(count, len(self)))  # type: ignore[attr-defined]
        found = rows[0] >= 0  # fewer are found where the cells searched hold fewer
        return rows[0][found], alike[0][found]
