"""Finding one row by its id without reading its table: the tables are in order of an id, or of its hash."""

from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.scan import read_group
from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.hashing import row_order


def find_graph(dataset: Dataset, graph_id: int) -> dict[str, Any] | None:
    """The row of wk_graphs with this id. In each split a search by halves, over shards and then over row groups."""
    wanted = int(row_order(np.array([graph_id]))[0])
    for split in dataset.table("wk_graphs").parts:
        shards = [dataset.folder / shard.path for shard in dataset.shards("wk_graphs", split) if shard.rows]
        shard = bisect_right(shards, wanted, key=lambda path: _first_hash(path, 0)) - 1
        if shard < 0:
            continue
        path = shards[shard]
        count = require_schema(path, dataset.table("wk_graphs")).num_row_groups
        group = bisect_right(range(count), wanted, key=lambda group: _first_hash(path, group)) - 1
        (places,) = np.nonzero(_ids(path, group) == graph_id)
        if len(places):
            return read_group(path, group, None).slice(places[0], 1).to_pylist()[0]
    return None


def find_page(dataset: Dataset, page_id: int) -> dict[str, Any] | None:
    """The page's id, title, entity and split; row groups that can't hold it are left out by the files' statistics."""
    for shard in dataset.shards("pages"):
        path = dataset.folder / shard.path
        metadata = require_schema(path, dataset.table("pages"))
        for group in range(metadata.num_row_groups):
            known = metadata.row_group(group).column(0).statistics  # page_id is the first column
            if known is not None and known.has_min_max and not known.min <= page_id <= known.max:
                continue
            rows = read_group(path, group, ["page_id", "title", "entity", "split"])
            (places,) = np.nonzero(rows["page_id"].to_numpy() == page_id)
            if len(places):
                return rows.slice(places[0], 1).to_pylist()[0]
    return None


def any_graph_id(dataset: Dataset) -> int | None:
    """An id that there is; None where there is no graph."""
    filled = (shard for shard in dataset.shards("wk_graphs") if shard.rows)
    return next((int(_ids(dataset.folder / shard.path, 0)[0]) for shard in filled), None)


def _first_hash(path: Path, group: int) -> int:
    return int(row_order(_ids(path, group)[:1])[0])


def _ids(path: Path, group: int) -> npt.NDArray[np.int64]:
    return read_group(path, group, ["graph_id"])["graph_id"].to_numpy()
