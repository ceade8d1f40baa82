"""Small benchmarks: files of triples with their splits, and texts of entities and relations beside them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.options import read_json, read_texts, read_types, told
from pipelines.importing.source import FACTS, PARTS, Ledger, Source, Texts, Told
from pipelines.sources.openke import read_id_facts, read_ids
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count, read_columns

SPLITS = {
    "train": ("train.tsv", "train.txt", "train2id.txt"),
    "valid": ("dev.tsv", "valid.tsv", "valid.txt", "dev.txt", "valid2id.txt"),
    "test": ("test.tsv", "test.txt", "test2id.txt"),
    "valid_negatives": ("valid_negatives.txt",),
    "test_negatives": ("test_negatives.txt",),
}
"""Split -> the names that its file goes by; the first that is there is read."""
LABELS = {"1": True, "-1": False}
"""The fourth column of triple classification."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a benchmark writes its texts."""

    names: Sequence[str] = ()
    """Files of lines "id TAB name"."""
    described: Sequence[str] = ()
    """Files of lines "id TAB name, then `between`, then description"."""
    between: str = ""
    with_name: bool = False
    """The description is the whole text: without its name it would not say what it is of."""
    long: Sequence[str] = ()
    """Files of longer descriptions, "id TAB text"."""
    kind: str = "node"
    licence: str = "unknown"


LONG = ("entity2textlong.txt",)
LAYOUTS = {
    "codex": Layout(kind="item", licence="mit"),
    "fb13": Layout(names=("entity2textshort.txt",), long=("entity2textlong.txt", "entity2text.txt")),
    "fb15k-237": Layout(described=("entity2text.txt",), between=" -- ", long=LONG),
    "kinships": Layout(),
    "nations": Layout(),
    "umls": Layout(names=("entity2text.txt",), long=LONG),
    "wn11": Layout(names=("entity2text.txt",), long=LONG),
    "wn18rr": Layout(described=("entity2text.txt",), between=", ", with_name=True, long=LONG),
}


class WikidataEntry(msgspec.Struct):
    """What entity2wikidata.json says of a Freebase id."""

    wikidata_id: str | None = None
    label: str | None = None
    description: str | None = None
    alternatives: list[str] | None = None


class Entry(msgspec.Struct):
    """What CoDEx's entities.json and relations.json say of an id."""

    label: str | None = None
    description: str | None = None


def read(format: str, files: Published) -> Source:
    """What the benchmark's files say."""
    layout, ledger = LAYOUTS[format], Ledger()
    facts = [batch for split in SPLITS for batch in _read_split(split, files, ledger)]
    entities, texts = _read_entities(layout, files, ledger)
    relations = _present(files, ("relation2text.txt",), lambda file: [read_names(file, ledger, "relations")])
    relations += _present(files, ("relations.json",), lambda file: _read_entries(file, ledger, "relations"))
    return Source(
        ledger=ledger,
        facts=pa.Table.from_batches(facts, FACTS),
        kind=layout.kind,
        entities=entities,
        texts=texts,
        relations=relations,
        licence=layout.licence,
    )


def _read_split(split: str, files: Published, ledger: Ledger) -> Iterator[pa.RecordBatch]:
    """The triples of one split (FACTS); negatives stand in files of their own or in a fourth column."""
    is_negative = split.endswith("_negatives")
    file = files.find(*SPLITS[split]) if is_negative else files.require(*SPLITS[split])
    if file is None:
        return
    count = ledger.open(file, "triples", "triples")
    if file.name.endswith("2id.txt"):
        entities, relations = (read_ids(files.require(name), ledger) for name in ("entity2id.txt", "relation2id.txt"))
        for names in read_id_facts(file, count, entities, relations):
            yield fact_batch(names, np.full(len(names[0]), PARTS.index(split)))
        return
    may_be_labelled = split in ("valid", "test")
    expected = "head TAB relation TAB tail" + " [TAB 1 or -1]" * may_be_labelled
    for rows, columns in read_columns(file, count, expected, [3, 4] if may_be_labelled else [3], required=3):
        parts = np.full(len(rows.lines), PARTS.index(split))
        if len(columns) == 4:
            rows.refuse(~pc.is_in(columns[3], pa.array(list(LABELS))).to_numpy(zero_copy_only=False), expected)
            false = pc.equal(columns[3], "-1").to_numpy(zero_copy_only=False)
            parts[false] = PARTS.index(f"{split}_negatives")
        yield fact_batch(columns[:3], parts)


def fact_batch(names: Sequence[pa.Array], parts: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """A batch of FACTS from heads, relations and tails."""
    return pa.record_batch([*(own.dictionary_encode() for own in names), pa.array(parts, pa.int8())], schema=FACTS)


def _present(files: Published, names: Sequence[str], read: Callable[[File], list]) -> list:
    """What `read` makes of the first of these files that is there; nothing where none is."""
    file = files.find(*names)
    return read(file) if file else []


def _read_entities(layout: Layout, files: Published, ledger: Ledger) -> tuple[list[Told], list[Texts]]:
    """(labels, aliases, categories, short descriptions; descriptions, the longest first)."""
    entities = _present(files, layout.names, lambda file: [read_names(file, ledger, "names")])
    texts = _present(files, layout.long, lambda file: [read_texts(file, ledger, "texts")])
    described = files.find(*layout.described)
    if described:
        label, short = _read_described(described, layout, ledger)
        entities, texts = [*entities, label], [*texts, short]
    entities += _present(files, ("entity2types.json",), lambda file: [read_types(file, ledger, "types")])
    entities += _present(files, ("entities.json",), lambda file: _read_entries(file, ledger, "names"))
    entities += _present(files, ("entity2wikidata.json",), lambda file: _read_wikidata(file, entities, ledger))
    return entities, texts


def read_names(file: File, ledger: Ledger, role: str) -> Told:
    """Labels from lines "id TAB name"."""
    count = ledger.open(file, role, "names")
    return Told("label", *_read_pairs(file, count), count)


def _read_described(file: File, layout: Layout, ledger: Ledger) -> tuple[Told, Texts]:
    """Labels and descriptions from lines that hold both; where nothing stands between them all is name."""
    count = ledger.open(file, "texts", "texts")
    ids, whole = _read_pairs(file, count)
    pieces = pc.split_pattern(whole, layout.between, max_splits=1)
    is_both = pc.equal(pc.list_value_length(pieces), 2)
    labels, texts = pc.list_element(pieces, 0), whole
    if not layout.with_name:
        with_two = pc.split_pattern(pc.if_else(is_both, whole, layout.between), layout.between, max_splits=1)
        texts = pc.list_element(with_two, 1)
    # The line is used for its name also where a longer text replaces its description, so it is counted there.
    return Told("label", ids, labels, count), Texts(zip(ids.chunks, texts.chunks, strict=True), Count("texts"))


def _read_pairs(file: File, count: Count) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """(ids, what is said of them) of a whole file."""
    pairs = [c for _, c in read_columns(file, count, "id TAB text", [2], required=1, free_text=True)]
    ids, texts = (pa.chunked_array([pair[i] for pair in pairs], pa.string()) for i in range(2))
    return ids, pc.utf8_trim_whitespace(texts)


def _read_entries(file: File, ledger: Ledger, role: str) -> list[Told]:
    """Labels and descriptions from CoDEx's {"id": {"label": ..., "description": ...}}."""
    count = ledger.open(file, role, "entries")
    entries = read_json(file, dict[str, Entry], '{"id": {"label": ..., "description": ...}}')
    count.lines = len(entries)
    labels = told("label", list(entries), [entry.label for entry in entries.values()], count)
    descriptions = [entry.description for entry in entries.values()]
    return [labels, told("description", list(entries), descriptions, Count("entries"))]


def _read_wikidata(file: File, others: Sequence[Told], ledger: Ledger) -> list[Told]:
    """Labels, descriptions, and as aliases other names and the Wikidata item of Freebase ids."""
    count = ledger.open(file, "names", "entries")
    expected = '{"/m/...": {"wikidata_id": ..., "label": ..., "description": ..., "alternatives": [...]}}'
    entries = read_json(file, dict[str, WikidataEntry], expected)
    count.lines = len(entries)
    labels: dict[str, str | None] = {}
    for told_ in others:
        if told_.name == "label":
            labels |= dict(zip(told_.ids.to_pylist(), told_.values.to_pylist(), strict=True))
    aliases = []
    for id_, entry in entries.items():
        names = [entry.label, *(entry.alternatives or []), entry.wikidata_id]
        label = labels.get(id_) or entry.label
        aliases.append([name for name in dict.fromkeys(names) if name and name != label])
    ids, unknown = list(entries), Count("entries")
    return [
        told("label", ids, [entry.label for entry in entries.values()], count),
        told("description", ids, [entry.description for entry in entries.values()], unknown),
        told("aliases", ids, aliases, unknown),
        told("item", ids, [entry.wikidata_id for entry in entries.values()], unknown),
    ]
