"""What files say of entities or relations, beside their indices."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import whole
from pipelines.importing.source import VALUES, Texts, Told
from pipelines.names import Names
from schemas.table import Table, column

I64 = npt.NDArray[np.int64]

TEXTS = Table(
    name="texts",
    version=1,
    doc="Work file of an import: descriptions by entity.",
    sort_by=["entity_index"],
    columns=[column("entity_index", pa.int64(), "row number"), column("text", pa.string(), "description")],
)


class Values:
    """For each index what the files say of it, by the name of VALUES."""

    def __init__(self, told: Sequence[Told], names: Names, place: I64) -> None:
        """`place`, shape (names,), is the index of each name."""
        self._columns: dict[str, list[tuple[I64, pa.Array]]] = {}
        for file in told:
            rows = np.full(len(place), -1, np.int64)
            found = names.index(whole(file.ids))
            lines = np.ones(len(found), np.int64) if file.lines is None else file.lines
            file.count.drops["not_in_graph"] += int(lines[found < 0].sum())
            inside = np.flatnonzero(found >= 0)
            values = whole(file.values)
            chosen = _one_each(found[inside], values, inside)
            file.count.drops["duplicate_id"] += len(inside) - len(chosen)
            rows[place[found[chosen]]] = chosen
            self._columns.setdefault(file.name, []).append((rows, values))

    def column(self, name: str, start: int, end: int) -> pa.Array:
        """What is said of the indices [start, end); null (for lists, empty) where nothing is."""
        kind = VALUES[name]
        values = pa.nulls(end - start, kind)
        for rows, told in self._columns.get(name, ()):
            own = rows[start:end]
            taken = told.take(pa.array(np.maximum(own, 0), mask=own < 0)) if len(told) else values
            values = pc.if_else(values.is_valid(), values, taken.cast(kind))
        if pa.types.is_list(kind):
            return pc.if_else(values.is_valid(), values, pa.scalar([], kind))
        return pc.if_else(pc.equal(values, ""), pa.scalar(None, kind), values)


def _one_each(indices: I64, values: pa.Array, rows: I64) -> I64:
    """Of `rows`, with these indices, one for each index: the one whose value is the largest in UTF-8, or is one."""
    order = np.argsort(indices, kind="stable")
    same = indices[order][1:] == indices[order][:-1]
    several = np.append(same, False) | np.append(False, same) if len(order) else np.zeros(0, bool)
    best: dict[int, tuple[bytes, int]] = {}
    for place in order[several].tolist():
        value = values[int(rows[place])].as_py() or ""
        key = (value if isinstance(value, str) else "\0".join(value)).encode()
        best[int(indices[place])] = max(best.get(int(indices[place]), (b"", -1)), (key, int(rows[place])))
    return np.sort(np.concatenate([rows[order[~several]], np.array([row for _, row in best.values()], np.int64)]))


def write_texts(texts: Sequence[Texts], names: Names, place: I64, folder: Path) -> None:
    """Sort the files' descriptions into runs in `folder`, those of the better files only."""
    taken = np.zeros(len(place), bool)
    with sinks.RunWriter(folder, TEXTS) as runs:
        for file in texts:
            own = np.zeros(len(place), bool)
            for ids, values in file.batches:
                found = names.index(ids)
                file.count.drops["not_in_graph"] += int((found < 0).sum())
                empty = (found >= 0) & pc.equal(values, "").to_numpy(zero_copy_only=False)
                file.count.drops["empty"] += int(empty.sum())
                rows = np.flatnonzero((found >= 0) & ~empty)
                better = taken[found[rows]]
                file.count.drops["longer_text_elsewhere"] += int(better.sum())
                rows = rows[~better]
                indices = place[found[rows]]
                first = np.unique(indices, return_index=True)[1]
                file.count.drops["duplicate_id"] += len(indices) - len(first) + int(own[indices[first]].sum())
                own[indices] = True
                kept = pa.table({"entity_index": indices, "text": values.take(pa.array(rows))})
                runs.add(kept, indices.astype(np.uint64))
            taken |= own[place]


class SortedTexts:
    """The descriptions that write_texts left, in ascending order of their entities."""

    def __init__(self, folder: Path) -> None:
        files = sinks.runs(folder, TEXTS)
        jobs = sinks.plan_shards(TEXTS, files, rows_per_shard=2**31) if files else []
        self._groups: Iterator[pa.Table] = (rows for job in jobs for rows in sinks.merge(TEXTS, job))
        self._waiting = TEXTS.schema.empty_table()

    def column(self, start: int, end: int) -> pa.Array:
        """Those of [start, end), null for none; to be called for one stretch after the other."""
        while not len(self._waiting) or self._waiting["entity_index"][-1].as_py() < end:
            group = next(self._groups, None)
            if group is None:
                break
            self._waiting = pa.concat_tables([self._waiting, group.select(TEXTS.schema.names).cast(TEXTS.schema)])
        indices = self._waiting["entity_index"].to_numpy()
        own = self._waiting.slice(0, int(np.searchsorted(indices, end)))
        self._waiting = self._waiting.slice(len(own))
        indices, texts = indices[: len(own)] - start, whole(own["text"])
        rows = np.full(end - start, -1, np.int64)
        chosen = _one_each(indices, texts, np.arange(len(indices)))
        rows[indices[chosen]] = chosen
        return texts.take(pa.array(np.maximum(rows, 0), mask=rows < 0))
