"""The surfaces of a dataset's links: which entities each leads to, how often, and how often it is a link at all.

The trie holds the surfaces and numbers them; everything else is an array by that number. S surfaces, C candidates of
all of them together.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import marisa_trie
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float64, Int32, Int64

from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.errors import DataError, first_line
from schemas.hashing import random_u64
from training.linking.detection import Detector

SAMPLE = 1 << 28
"""Bytes of text, at most, that surfaces are counted in."""
AT_ONCE = 1 << 18
"""Surfaces that are Python strings at a time."""
NUL = "\0"


@dataclasses.dataclass(frozen=True)
class Found:
    """Mentions in some texts, in order."""

    rows: Int64[np.ndarray, " M"]
    """Which text."""
    spans: Int32[np.ndarray, "M 2"]
    """[start, end) in it, in code points."""
    surfaces: Int64[np.ndarray, " M"]


@dataclasses.dataclass(frozen=True)
class Dictionary:
    """Surfaces and their candidates."""

    trie: marisa_trie.Trie
    offsets: Int64[np.ndarray, " S1"]
    """Surface i has the candidates [offsets[i], offsets[i + 1])."""
    entities: Int32[np.ndarray, " C"]
    """entity_index of the candidates, of each surface the likeliest first."""
    priors: Float64[np.ndarray, " C"]
    """P(entity | the surface is a link)."""
    linked: Float64[np.ndarray, " S"]
    """P(a page that has the surface links it)."""
    detector: Detector
    """Of those that are links often enough."""

    def number(self, surface: str) -> int:
        """The number of a surface, -1 for one that no train page links."""
        return _number(self.trie, surface)

    def candidates(self, surface: int) -> tuple[Int32[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
        """Entities and their priors, the likeliest first; none for -1."""
        here = slice(self.offsets[surface], self.offsets[surface + 1]) if surface >= 0 else slice(0)
        return self.entities[here], self.priors[here]

    def detect(self, texts: Sequence[str]) -> Found:
        """The longest surfaces of each text from left to right, apart from each other."""
        return _detect(self.trie, self.detector, texts)


def open_dictionary(dataset: Dataset, min_link: float = 0.0) -> Dictionary:
    """The dictionary of a dataset's anchors; surfaces whose `linked` is below `min_link` are not found in texts.

    Raises DataError for a dataset without anchors.
    """
    rows = dataset.read("anchors", None, ["surface", "entity_index", "count"])
    rows = rows.filter(pc.invert(pc.match_substring(rows["surface"], NUL)))  # no dump has it
    if not rows.num_rows:
        raise DataError(
            f"{dataset.folder} has no anchors, which linking is built from: they are the links of a Wikipedia dump's "
            "train pages. Build a dataset with --wikipedia."
        )
    surfaces, row_of = _distinct(rows["surface"].combine_chunks())
    trie = marisa_trie.Trie(_strings(surfaces))
    numbers = np.fromiter(map(trie.key_id, _strings(surfaces)), np.int64, len(surfaces))[row_of]
    entities, counts = rows["entity_index"].to_numpy(), rows["count"].to_numpy()
    order = np.lexsort((entities, -counts, numbers))
    totals = np.bincount(numbers, weights=counts)
    detector = Detector(_strings(surfaces))
    linked = _linked_share(dataset, trie, detector)
    detector.forget(trie.restore_key(int(number)) for number in np.flatnonzero(linked < min_link))
    return Dictionary(
        trie=trie,
        offsets=np.searchsorted(numbers[order], np.arange(len(trie) + 1)),
        entities=entities[order],
        priors=(counts / totals[numbers])[order],
        linked=linked,
        detector=detector,
    )


def _number(trie: marisa_trie.Trie, surface: str) -> int:
    # marisa reads no further than to a NUL, and only what has a UTF-8.
    try:
        return -1 if NUL in surface else trie.get(surface, -1)
    except UnicodeEncodeError:
        return -1


def _distinct(surfaces: pa.Array) -> tuple[pa.Array, Int64[np.ndarray, " R"]]:
    """(the surfaces, which of them each row has); equal ones are neighbours."""
    new = np.ones(len(surfaces), dtype=bool)
    new[1:] = pc.not_equal(surfaces[1:], surfaces[:-1]).to_numpy(zero_copy_only=False)
    return surfaces.filter(pa.array(new)), np.cumsum(new) - 1


def _strings(surfaces: pa.Array) -> Iterator[str]:
    for start in range(0, len(surfaces), AT_ONCE):
        yield from surfaces[start : start + AT_ONCE].to_pylist()


def _detect(trie: marisa_trie.Trie, detector: Detector, texts: Sequence[str]) -> Found:
    spans, rows = detector.spans(texts)
    places = zip(rows.tolist(), spans.tolist(), strict=True)
    numbers = np.array([trie.get(texts[row][start:end], -1) for row, (start, end) in places], dtype=np.int64)
    known = numbers >= 0  # else it is a hash that two strings share
    return Found(rows[known], spans[known], numbers[known])


def _linked_share(dataset: Dataset, trie: marisa_trie.Trie, detector: Detector) -> Float64[np.ndarray, " S"]:
    """Of each surface: train pages that link it, of those that have it.

    Pages, as the first mention of an entity is a link there and later ones are not. Half a page that links it and half
    a one that does not are added: what the counted pages hardly have is as likely a link as not.
    """
    linking, having = np.full(len(trie), 0.5), np.full(len(trie), 1.0)
    for page in _sampled_pages(dataset):
        links = {
            _number(trie, page["text"][link["start"] : link["end"]])
            for link in page["links"]
            if link["entity"] is not None and link["source"] == "link"
        } - {-1}
        found = links.union(_detect(trie, detector, [page["text"]]).surfaces.tolist())
        linking[list(links)] += 1
        having[list(found)] += 1
    return linking / having


def _sampled_pages(dataset: Dataset) -> Iterator[dict]:
    """Train pages: all of them, or the row groups with the smallest hashes, up to SAMPLE bytes of text."""
    groups = list(_row_groups(dataset))
    order = np.argsort(random_u64(0, "linking/pages", np.arange(len(groups))), kind="stable") if groups else []
    left = SAMPLE
    for number in order:
        path, group, size = groups[number]
        if left < size and left < SAMPLE:
            return
        left -= size
        yield from _read(path, group)


def _row_groups(dataset: Dataset) -> Iterator[tuple[Path, int, int]]:
    """(file, row group, bytes of its text) of the train pages."""
    table = dataset.table("pages")
    for shard in dataset.shards("pages", "train"):
        path = dataset.folder / shard.path
        footer = require_schema(path, table)
        for group in range(footer.num_row_groups):
            part = footer.row_group(group)
            columns = (part.column(i) for i in range(part.num_columns))
            yield path, group, sum(c.total_uncompressed_size for c in columns if c.path_in_schema == "text")


def _read(path: Path, group: int) -> Iterator[dict]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(256, row_groups=[group], columns=["text", "links"], use_threads=False):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise DataError(f"{path} is damaged ({reason}). Run wikiloom validate, then build it again.") from error
