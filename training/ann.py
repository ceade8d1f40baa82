"""An index for approximate search among the entities' vectors, in a file of Faiss (Douze et al., 2024).

It is for whoever serves an export. Ranks, here, are exact: nothing in Wikiloom reads an index.

- Up to HNSW_ROWS entities: a graph of neighbours (HNSW; Malkov and Yashunin, TPAMI 2020) over the vectors as they are.
- Beyond that: lists of codes (IVF-PQ; Jégou et al., TPAMI 2011), a byte for four dimensions. Codes find candidates,
  which the vectors themselves are to put in order.
"""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float32

from schemas.errors import UsageError
from schemas.hashing import random_u64
from training.models.kepler import Kepler
from training.runs import Run

INDEX = "entities.faiss"
"""The file in an export."""
HNSW_ROWS = 1_000_000
"""With 384 dimensions, an index of 1.8 GB, all of it in memory when it is read; codes of so many take 0.1 GB."""
NEIGHBOURS, BUILD_EFFORT, SEARCH_EFFORT = 32, 80, 128
"""HNSW's M, efConstruction and efSearch."""
SAMPLE = 40
"""Vectors for each list that IVF-PQ learns from: Faiss asks for 39."""
PROBED = 32
"""IVF-PQ searches one of so many lists, and not fewer than so many."""
Metric = Literal["l1", "l2", "cosine"]


def require_faiss() -> None:
    """UsageError where it is not installed."""
    if importlib.util.find_spec("faiss") is None:
        raise UsageError("--index needs Faiss, which is not installed: pip install '.[ann]' from the checkout.")


def metric(run: Run) -> Metric:
    """What makes two entities near: KEPLER's is the score that it was trained with.

    CoLAKE trains products with the output of a head, which an export has not; among its rows, angles compare.
    """
    if isinstance(run.model, Kepler) and run.config.kepler.score == "distance":
        return "l1" if run.config.kepler.norm == 1 else "l2"
    return "cosine"


def index_metric(rows: int, metric: Metric) -> Metric:
    """What the index of so many entities measures: codes know no L1 norm, and take L2 for it."""
    return metric if rows <= HNSW_ROWS or metric != "l1" else "l2"


def write_index(files: Sequence[Path], width: int, metric: Metric, path: Path) -> None:
    """The index of the vectors in these files of entities; row n is their row n, one file after the other."""
    import faiss

    rows = sum(pq.read_metadata(file).num_rows for file in files)
    measured = index_metric(rows, metric)
    kind = {"l1": faiss.METRIC_L1, "l2": faiss.METRIC_L2, "cosine": faiss.METRIC_INNER_PRODUCT}[measured]
    if rows <= HNSW_ROWS:
        index = faiss.IndexHNSWFlat(width, NEIGHBOURS, kind)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_EFFORT, SEARCH_EFFORT
    else:
        lists = 2 ** round(math.log2(4 * math.sqrt(rows)))
        # Not by Faiss' factory of names, which orders the codes by Hamming distances, too: 20 times the work.
        index = faiss.IndexIVFPQ(faiss.IndexFlat(width, kind), width, lists, _parts(width), 8, kind)
        index.nprobe = max(PROBED, lists // PROBED)
        index.train(np.concatenate(list(_sampled(_vectors(files, metric), SAMPLE * lists / rows))))
    for vectors in _vectors(files, metric):
        index.add(vectors)
    faiss.write_index(index, str(path))


def _parts(width: int) -> int:
    """Bytes of a code: one for four dimensions, or for the next number of them that fits."""
    return max(parts for parts in range(1, max(1, width // 4) + 1) if width % parts == 0)


def _sampled(batches: Iterator[Float32[np.ndarray, "_ D"]], share: float) -> Iterator[Float32[np.ndarray, "_ D"]]:
    """About this share of the rows, drawn by their numbers."""
    start, bound = 0, np.float64(min(share, 1.0) * 2.0**64)
    for vectors in batches:
        drawn = random_u64(0, "ann", np.arange(start, start + len(vectors)))
        yield vectors[drawn.astype(np.float64) <= bound]
        start += len(vectors)


def _vectors(files: Sequence[Path], metric: Metric) -> Iterator[Float32[np.ndarray, "_ D"]]:
    """The vectors of each file; of length 1 where their angles count."""
    for file in files:
        column = pq.read_table(file, columns=["vector"])["vector"].combine_chunks()
        vectors = column.flatten().to_numpy().reshape(len(column), -1)
        if metric == "cosine":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        yield vectors
