"""Stage wk_graphs: pages -> word-knowledge graphs of a passage, its linked entities and their sampled neighbours.

CoLAKE (Sun et al., COLING 2020), section 3.1: the first mention of an entity in the passage is its anchor; each anchor
brings at most `neighbors` triples with it as head. Only train triples are used, so no test fact can leak.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines import sinks
from pipelines.records import read_record_batches, write_json
from pipelines.transforms import split
from pipelines.transforms.graph import Graph, stable_ids
from schemas.hashing import random_u64, row_order
from schemas.wk_graphs import WK_GRAPHS

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

PAGE_SHIFT = 2**27
"""graph_id = page_id * 2^27 + start: pages are shorter than 64 MB, page ids below 2^36."""

# A sentence ends at a full stop or its like, closing quotes included, before white space and something that can
# begin a sentence; not after an initial or a common abbreviation. CJK full stops need no space.
SENTENCE_END = re.compile(
    r"""(?<!\b[A-Z])(?<!\b(?:Dr|Mr|Ms|St|vs|No|Jr|Sr|Lt))(?<!\b(?:Mrs|Rev|Gen|Col|Inc|Ltd))(?<!\b(?:Prof|Capt))
        [.!?…][\])"'»”’]*\s+(?=[\["'«“‘(]*[^\W_a-z])
        | [。！？]+[」』”]*
        | \n+""",
    re.VERBOSE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphRules:
    """How passages are cut and neighbours sampled."""

    passage_chars: int
    neighbors: int
    seed: int


@dataclasses.dataclass(frozen=True)
class WkGraphJob:
    """A range of pages, the folder of the graph, and the folder for the result."""

    pages: Path
    graph: Path
    folder: Path
    rules: GraphRules

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


class Neighbourhood:
    """Train triples by head, with the stable ids that samples are drawn by."""

    def __init__(self, graph: Graph) -> None:
        train = np.flatnonzero(graph.codes == split.TRAIN)
        heads = graph.heads[train]
        self._relations, self._tails = graph.relations[train], graph.tails[train]
        self._offsets = np.searchsorted(heads, np.arange(len(graph.items) + 1))
        self._entity_ids = stable_ids("Q", graph.items)
        self._relation_ids = stable_ids("P", graph.properties)
        order = np.argsort(graph.items, kind="stable")
        self._items, self._index = np.asarray(graph.items)[order], order

    def index(self, items: I64) -> I64:
        """Item numbers -> entity indices."""
        return self._index[np.searchsorted(self._items, items)]

    def sample(self, page_id: int, anchor: int, rules: GraphRules) -> tuple[I64, I64]:
        """(relations, tails) of at most `neighbors` triples of an anchor: the smallest hashes of
        (seed, page, anchor, relation, tail), in index order."""
        start, end = self._offsets[anchor], self._offsets[anchor + 1]
        relations, tails = self._relations[start:end], self._tails[start:end]
        if len(relations) > rules.neighbors:
            ids = (self._entity_ids[anchor], self._relation_ids[relations], self._entity_ids[tails])
            hashes = random_u64(rules.seed, "neighbours", page_id, *ids)
            chosen = np.sort(np.argsort(hashes, kind="stable")[: rules.neighbors])
            relations, tails = relations[chosen], tails[chosen]
        return relations, tails


def wk_graph_range(job: WkGraphJob) -> None:
    """One range of pages -> wk_graphs rows, and how often each entity and relation is a node of a train graph."""
    neighbourhood = Neighbourhood(Graph.load(job.graph))
    drops: Counter[str] = Counter()
    nodes: Counter[int] = Counter()
    edges: Counter[int] = Counter()
    tables = []
    for batch in read_record_batches(job.pages, ["page_id", "split", "text", "sections", "links"]):
        rows = [row for page in batch.to_pylist() for row in page_graphs(page, neighbourhood, job.rules, drops)]
        for row in rows:
            if row["split"] == "train":
                tails = {triple["tail_index"] for triple in row["triples"]}
                nodes.update(tails | {mention["entity_index"] for mention in row["mentions"]})
                edges.update(triple["relation_index"] for triple in row["triples"])
        tables.append(pa.Table.from_pylist(rows, schema=WK_GRAPHS.schema))
    table = pa.concat_tables(tables) if tables else WK_GRAPHS.schema.empty_table()
    sinks.write_range(job.folder / "wk_graphs.arrow", WK_GRAPHS, table, row_order(table["graph_id"].to_numpy()))
    for name, counts in (("nodes", nodes), ("edges", edges)):
        pairs = np.array(sorted(counts.items()), np.int64).reshape(-1, 2)
        np.save(job.folder / f"{name}.npy", pairs)
    write_json(job.marker, {"out": {"wk_graphs": table.num_rows}, "drops": dict(drops)})


def page_graphs(page: dict, neighbourhood: Neighbourhood, rules: GraphRules, drops: Counter[str]) -> Iterator[dict]:
    """The word-knowledge graphs of one page; passages without a linked entity are dropped and counted."""
    links = [link for link in page["links"] if link["entity"] is not None]
    indices = neighbourhood.index(np.array([int(link["entity"][1:]) for link in links], np.int64)).tolist()
    sampled: dict[int, tuple[list[int], list[int]]] = {}
    at = 0
    for start, end in passages(page["text"], page["sections"], page["links"], rules.passage_chars):
        mentions: dict[int, tuple[int, int]] = {}
        while at < len(links) and links[at]["end"] <= end:
            mentions.setdefault(indices[at], (links[at]["start"] - start, links[at]["end"] - start))
            at += 1
        if not mentions:
            drops["no_linked_entity"] += 1
            continue
        triples = []
        for position, anchor in enumerate(mentions):
            if anchor not in sampled:
                relations, tails = neighbourhood.sample(page["page_id"], anchor, rules)
                sampled[anchor] = relations.tolist(), tails.tolist()
            triples += [
                {"anchor": position, "head_index": anchor, "relation_index": relation, "tail_index": tail}
                for relation, tail in zip(*sampled[anchor], strict=True)
            ]
        yield {
            "graph_id": page["page_id"] * PAGE_SHIFT + start,
            "page_id": page["page_id"],
            "split": page["split"],
            "start": start,
            "end": end,
            "text": page["text"][start:end],
            "mentions": [{"start": s, "end": e, "entity_index": index} for index, (s, e) in mentions.items()],
            "triples": triples,
        }


def passages(text: str, sections: list[dict], links: list[dict], limit: int) -> Iterator[tuple[int, int]]:
    """Cut a text into passages [start, end): whole sentences of one section, packed up to `limit` code points.

    A sentence longer than the limit is a passage of its own, and no cut falls inside a link.
    """
    barriers = {section["start"] for section in sections}
    start = end = 0
    for sentence_start, sentence_end in sentences(text, barriers, links):
        if end > start and (sentence_end - start > limit or sentence_start in barriers):
            yield _strip(text, start, end)
            start = sentence_start
        end = sentence_end
    if text[start:end].strip():
        yield _strip(text, start, end)


def sentences(text: str, barriers: set[int], links: list[dict]) -> Iterator[tuple[int, int]]:
    """Sentences [start, end), trailing white space included, in one pass; none ends inside a link."""
    ends = sorted({match.end() for match in SENTENCE_END.finditer(text)} | barriers | {len(text)})
    start, at = 0, 0
    for end in ends:
        while at < len(links) and links[at]["end"] <= end:
            at += 1
        inside = at < len(links) and links[at]["start"] < end
        if end > start and not inside:
            yield start, end
            start = end


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space at its ends; never empty for a range that holds a word."""
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    return start + left, end - (len(piece) - len(piece.rstrip()))
