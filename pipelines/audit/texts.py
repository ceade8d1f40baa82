"""Facts of valid and test that a training text gives away: both entities meet in one passage, or one's text names the
other. Such a text is no fault (it is what text models are for), but its share must be known.

Passages are the train word-knowledge graphs, and the lines (paragraphs) of train pages. Two entities meet there by
their mentions, or by their labels as labels.py finds them: no aliases, no inflected forms, and entities of one label
are not told apart. Facts from an entity to itself are left out. Memory: a row group, the labels of the held-out facts'
entities, and some bytes a held-out fact.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.audit.held import EXAMPLES, Vocabulary
from pipelines.audit.labels import LabelFinder
from pipelines.columns import I64, elements, numbers, values
from pipelines.facts import Facts, pair_codes
from pipelines.progress import Progress
from pipelines.scan import scan
from schemas.dataset import Dataset

Mask = npt.NDArray[np.bool_]
WAYS = ("graph_mentions", "graph_labels", "page_labels", "head_text", "tail_text")
"""By which a fact is given away: mentions of a train graph, labels in its text, labels in a line of a train page; the
head's text names the tail's label, and the other way round."""


@dataclasses.dataclass(frozen=True)
class TextLeaks:
    """For each split and way, a mask over the split's facts and a few examples; and what was looked at."""

    masks: dict[str, dict[str, Mask]]
    examples: dict[str, dict[str, list[str]]]
    read: dict[str, int]
    """graphs and pages that were read; entities of held-out facts; entities_without_label of them, which have no label
    with a word in it and can't be found in a text."""


class Meetings:
    """Which of the given pairs of entities meet in one passage, and where first."""

    def __init__(self, ones: npt.ArrayLike, others: npt.ArrayLike) -> None:
        low, high = (np.asarray(fine(ones, others), np.int64) for fine in (np.minimum, np.maximum))
        _, first, self._pair_of = np.unique(pair_codes(low, high), return_index=True, return_inverse=True)
        low, high = low[first], high[first]
        entities, counts = np.unique(np.concatenate([low, high]), return_counts=True)
        degrees = [counts[np.searchsorted(entities, ends)] for ends in (low, high)]
        # A pair is looked up from the end that has fewer pairs, so that a hub costs nothing at each of its mentions.
        source = np.where(degrees[0] <= degrees[1], low, high)
        self._pairs = np.argsort(source, kind="stable")
        self._sources, self._targets = source[self._pairs], (low + high - source)[self._pairs]
        self._place = np.full(len(first), -1, np.int64)

    def add(self, passages: I64, entities: I64, places: I64) -> None:
        """The entities of some whole passages, by the passages' numbers; `places[passage]` is what an example names."""
        codes = np.unique(passages << 32 | entities)
        passages, entities = codes >> 32, codes & (2**32 - 1)
        start, end = (np.searchsorted(self._sources, entities, side) for side in ("left", "right"))
        count = end - start
        asked = np.repeat(passages, count)
        rows = np.repeat(start - (np.cumsum(count) - count), count) + np.arange(count.sum())
        there = np.isin(asked << 32 | self._targets[rows], codes)
        pairs, asked = self._pairs[rows[there]], asked[there]
        fresh = self._place[pairs] < 0
        self._place[pairs[fresh]] = places[asked[fresh]]

    def places(self) -> I64:
        """For each pair that was given, the place where it was met, -1 for one that was not."""
        return self._place[self._pair_of]


def find_text_leaks(dataset: Dataset, held: dict[str, Facts], names: Vocabulary) -> TextLeaks:
    """Read the text of every train graph and page, and of the held-out facts' entities."""
    heads, tails = (np.concatenate([getattr(facts, end) for facts in held.values()]) for end in ("heads", "tails"))
    entities = np.unique(np.concatenate([heads, tails]))
    labels = [(row["entity_index"], row["label"]) for row in _entities(dataset, entities, "label") if row["label"]]
    finder = LabelFinder(labels)
    met = {way: Meetings(heads, tails) for way in WAYS[:3]}
    reading = itertools.chain(
        _read_graphs(dataset, finder, entities, met), _read_pages(dataset, finder, met["page_labels"])
    )
    groups = [shard.row_groups for name in ("wk_graphs", "pages") for shard in dataset.shards(name, "train")]
    with Progress("audit: texts", sum(groups)) as progress:
        for done, _ in enumerate(reading, start=1):
            progress.update(done)
    places = {way: meetings.places() for way, meetings in met.items()}
    codes = _named(dataset, finder, entities)
    for way, ends in (("head_text", (heads, tails)), ("tail_text", (tails, heads))):
        places[way] = np.where(np.isin(pair_codes(*ends), codes), ends[0].astype(np.int64), -1)
    masks, examples, start = {}, {}, 0
    for split, facts in held.items():
        own = {way: place[start : start + len(facts)] for way, place in places.items()}
        start += len(facts)
        masks[split] = {way: (place >= 0) & (facts.heads != facts.tails) for way, place in own.items()}
        examples[split] = {
            way: list(_examples(facts, masks[split][way], place, way, names)) for way, place in own.items()
        }
    read = {
        "graphs": dataset.rows("wk_graphs", "train"),
        "pages": dataset.rows("pages", "train"),
        "entities": len(entities),
        "entities_without_label": len(entities) - finder.entities,
    }
    return TextLeaks(masks, examples, read)


def _entities(dataset: Dataset, wanted: npt.NDArray[np.int32], column: str) -> Iterator[dict]:
    for rows in scan(dataset, "entities", ["entity_index", column]):
        yield from rows.filter(pc.is_in(rows["entity_index"], pa.array(wanted))).to_pylist()


def _named(dataset: Dataset, finder: LabelFinder, entities: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """(entity, entity whose label its text has) as pair codes."""
    rows = _entities(dataset, entities, "text")
    pairs = [(row["entity_index"], other) for row in rows for other in finder.find(row["text"])]
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    return pair_codes(columns[:, 0], columns[:, 1])


def _read_graphs(
    dataset: Dataset, finder: LabelFinder, entities: npt.NDArray[np.int32], met: dict[str, Meetings]
) -> Iterator[None]:
    """Yields after each row group."""
    for rows in scan(dataset, "wk_graphs", ["graph_id", "text", "mentions"], split="train"):
        ids, mentions = numbers(rows, "graph_id"), elements(rows, "mentions")
        indices = mentions.numbers("entity_index")
        held = np.isin(indices, entities)
        met["graph_mentions"].add(mentions.rows[held], indices[held], ids)
        met["graph_labels"].add(*_found(finder, values(rows, "text").to_pylist()), ids)
        yield


def _read_pages(dataset: Dataset, finder: LabelFinder, met: Meetings) -> Iterator[None]:
    """Yields after each row group."""
    for rows in scan(dataset, "pages", ["page_id", "text"], split="train"):
        lines = [text.split("\n") for text in values(rows, "text").to_pylist()]
        pages = np.repeat(numbers(rows, "page_id"), [len(of_page) for of_page in lines])
        met.add(*_found(finder, [line for of_page in lines for line in of_page]), pages)
        yield


def _found(finder: LabelFinder, texts: list[str]) -> tuple[I64, I64]:
    """(number of the text, entity) for each entity whose label is in a text."""
    pairs = [(number, entity) for number, text in enumerate(texts) for entity in finder.find(text)]
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def _examples(facts: Facts, mask: Mask, places: I64, way: str, names: Vocabulary) -> Iterator[str]:
    for row in np.flatnonzero(mask)[:EXAMPLES].tolist():
        fact = names.fact(facts.heads[row], facts.relations[row], facts.tails[row])
        what = {"graph": "graph", "page": "page"}.get(way.partition("_")[0])
        where = f"{what} {places[row]}" if what else f"the text of {names.entities[places[row]]}"
        yield f"{fact}: {where}"
