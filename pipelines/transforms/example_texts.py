"""Examples as texts for word-knowledge graphs: numbered like pages, their mentions of entities as links."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.columns import elements, values
from schemas.hashing import hash_strings
from schemas.pages import PAGES

I64 = npt.NDArray[np.int64]

NUMBERS = 2**35
"""Page numbers that examples are spread over; a few more may be taken where two would be the same."""
_LINKS, _SECTIONS = (PAGES.schema.field(name).type for name in ("links", "sections"))


def number_examples(ids: pa.ChunkedArray) -> I64:
    """wk_graphs.page_id of each example, shape (N,): a hash of its id; of equal hashes the later id has the next."""
    hashes = hash_strings(ids.to_pylist()) % np.uint64(NUMBERS)
    # Ids are unique and sorted by split, then UTF-8: a stable sort breaks ties the same way whatever the shards are.
    order = np.argsort(hashes, kind="stable")
    places = np.arange(len(hashes))
    numbers = np.empty(len(hashes), np.int64)
    numbers[order] = np.maximum.accumulate(hashes[order].astype(np.int64) - places) + places
    return numbers


def as_pages(rows: pa.Table, numbers: I64) -> pa.Table:
    """Examples with the columns of pages that word-knowledge graphs are made of.

    Links are the mentions that have an entity, in text order; of mentions that overlap the first, and longest, counts.
    """
    mentions = elements(rows, "mentions")
    starts, ends = mentions.numbers("start"), mentions.numbers("end")
    known = mentions.fields["entity"].is_valid().to_numpy(zero_copy_only=False)
    order = np.lexsort((-ends, starts, mentions.rows))
    kept, row, last = [], -1, 0
    for place in order[known[order]].tolist():
        if mentions.rows[place] != row:
            row, last = int(mentions.rows[place]), 0
        if starts[place] >= last:
            kept.append(place)
            last = int(ends[place])
    chosen = np.array(kept, np.int64)
    names = mentions.fields["entity"].take(pa.array(chosen))
    links = pa.StructArray.from_arrays(
        [
            pa.array(starts[chosen], pa.int32()),
            pa.array(ends[chosen], pa.int32()),
            names,
            names,
            pa.repeat(pa.scalar("link"), len(chosen)),
        ],
        fields=list(_LINKS.value_type),
    )
    offsets = np.append(0, np.cumsum(np.bincount(mentions.rows[chosen], minlength=rows.num_rows)))
    return pa.table(
        {
            "page_id": pa.array(numbers),
            "split": values(rows, "split"),
            "text": values(rows, "text"),
            "sections": pa.array([[]] * rows.num_rows, _SECTIONS),
            "links": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), links, type=_LINKS),
        }
    )
