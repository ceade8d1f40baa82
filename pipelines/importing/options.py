"""The files that --types, --text and --exclude-triples name, and those of the same form that a benchmark brings."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.config import Import
from pipelines.importing.source import VALUES, Ledger, Source, Texts, Told
from pipelines.sources.lists import read_fact_lines
from pipelines.sources.published import File
from pipelines.sources.tab_files import Count, read_columns
from schemas.errors import DataError

_JSON = b"{"


def add_options(source: Source, config: Import) -> Source:
    """The source with what --types and --text say before what its own files say."""
    ledger = source.ledger
    types = []
    if config.types:
        types = [_by_own_ids(read_types(_given(config.types), ledger, "--types"), source.entities)]
    texts = [read_texts(_given(config.text), ledger, "--text")] if config.text else []
    return dataclasses.replace(source, entities=[*types, *source.entities], texts=[*texts, *source.texts])


def read_excluded(config: Import, ledger: Ledger) -> list[tuple[str, str, str]]:
    """The facts of --exclude-triples."""
    if config.exclude_triples is None:
        return []
    facts = list(read_fact_lines(config.exclude_triples))
    ledger.files[f"--exclude-triples {config.exclude_triples.name}"] = _given(config.exclude_triples)
    return facts


def read_texts(file: File, ledger: Ledger, role: str) -> Texts:
    """A file of lines "id TAB text"; tabs in the text are part of it."""
    count = ledger.open(file, role, "texts")
    return Texts(_text_batches(file, count), count)


def read_types(file: File, ledger: Ledger, role: str) -> Told:
    """Categories from {"id": ["type", ...]} or from lines "id TAB type"."""
    if not next(file.blocks(), b"").lstrip().startswith(_JSON):
        return _types_of_lines(file, ledger.open(file, role, "types"))
    count = ledger.open(file, role, "entries")
    types = read_json(file, dict[str, list[str]], '{"id": ["type", ...]}')
    count.lines = len(types)
    return told("categories", list(types), list(types.values()), count)


def _by_own_ids(types: Told, entities: Sequence[Told]) -> Told:
    """With the graph's own ids in place of the Wikidata items that its files say these are."""
    own: dict[str, list[str]] = {}
    for each in entities:
        if each.name == "item":
            for id_, item in zip(each.ids.to_pylist(), each.values.to_pylist(), strict=True):
                own.setdefault(item or id_, []).append(id_)
    if not own:
        return types
    ids = [own.get(id_, [id_]) for id_ in types.ids.to_pylist()]
    rows = np.repeat(np.arange(len(ids)), [len(each) for each in ids])
    lines = np.ones(len(ids), np.int64) if types.lines is None else types.lines
    # A line of the file is one line, of however many ids it speaks.
    lines = np.where(np.diff(rows, prepend=-1) > 0, lines[rows], 0)
    named = pa.chunked_array([[id_ for each in ids for id_ in each]], pa.string())
    return types._replace(ids=named, values=types.values.take(pa.array(rows)), lines=lines)


def read_json(file: File, kind: Any, expected: str) -> Any:
    """A whole JSON file of this type; DataError where it is another, cut or damaged."""
    try:
        return msgspec.json.decode(file.read(), type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise DataError(f"{file}: expected JSON {expected}, found: {error}.") from error


def told(name: str, ids: list[str], values: list[Any], count: Count) -> Told:
    """What a small file says, from Python lists."""
    columns = pa.array(ids, pa.string()), pa.array(values, VALUES[name])
    return Told(name, *(pa.chunked_array([column]) for column in columns), count)


def _types_of_lines(file: File, count: Count) -> Told:
    pairs = [columns[:2] for _, columns in read_columns(file, count, "id TAB type", [2], required=2)]
    lines = pa.table(
        [pa.chunked_array(own, pa.string()) for own in zip(*pairs, strict=True)] or [[], []], ["id", "type"]
    )
    distinct = lines.group_by(["id", "type"]).aggregate([]).sort_by([("id", "ascending"), ("type", "ascending")])
    count.drops["duplicate_line"] = lines.num_rows - distinct.num_rows
    if not distinct.num_rows:
        return told("categories", [], [], count)
    encoded = pc.run_end_encode(distinct["id"].combine_chunks())
    offsets = np.append(0, encoded.run_ends.to_numpy())
    values = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), distinct["type"].combine_chunks())
    columns = encoded.values, values.cast(VALUES["categories"])
    return Told("categories", *(pa.chunked_array([column]) for column in columns), count, np.diff(offsets))


def _text_batches(file: File, count: Count) -> Iterator[tuple[pa.Array, pa.Array]]:
    for _, (ids, texts) in read_columns(file, count, "id TAB text", [2], required=1, free_text=True):
        yield ids, pc.utf8_trim_whitespace(texts)


def _given(path: Path) -> File:
    if not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'missing'}. Check the path.")
    return File(path.name, path)
