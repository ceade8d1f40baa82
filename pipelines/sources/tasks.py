"""Text tasks: what the readers of their files share. A reader turns files into rows of `examples`.

A file that is not of the published form is a DataError (file, place, expected, found); one odd example in a file of
the right form is a reject with its reason, so examples in = rows + rejects.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
from msgspec.json import Decoder

from pipelines.importing.options import told
from pipelines.importing.source import Ledger, Source
from pipelines.records import BATCH_ROWS
from pipelines.sources.lines import Lost, split_lines
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count
from schemas.errors import DataError
from schemas.examples import EXAMPLES
from schemas.rejects import REJECTS

MAX_LINE = 256 << 20
"""Bytes of a line."""
SURE = 0.3
"""The score of a link above which ERNIE's authors take it."""
ITEM = re.compile(r"Q[1-9][0-9]*")

Span = tuple[int, int]
"""[start, end) in code points."""
_Record = TypeVar("_Record")


@dataclasses.dataclass
class Name:
    """What the files say of an entity: how often each name stands for it, and its classes."""

    names: Counter[str] = dataclasses.field(default_factory=Counter)
    categories: set[str] = dataclasses.field(default_factory=set)

    @property
    def ordered(self) -> list[str]:
        """The most frequent name first; equally frequent ones by UTF-8."""
        return sorted(self.names, key=lambda name: (-self.names[name], name.encode()))


@dataclasses.dataclass
class Tasks:
    """What the files of a text task give, example by example."""

    task: str
    ledger: Ledger = dataclasses.field(default_factory=Ledger)
    entities: dict[str, Name] = dataclasses.field(default_factory=dict)
    relations: dict[str, tuple[str | None, str | None]] = dataclasses.field(default_factory=dict)
    """(label, description) of each relation."""
    rejects: list[dict[str, str]] = dataclasses.field(default_factory=list)
    _ids: set[str] = dataclasses.field(default_factory=set)
    _rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    _batches: list[pa.RecordBatch] = dataclasses.field(default_factory=list)

    def open(self, file: File, stage: str) -> str:
        """Take down a file of examples; returns the stage that its examples are counted in."""
        self.ledger.files[f"{self.task} {stage}/{file.name}"] = file
        self.ledger.counts.setdefault(stage, Count("examples"))
        return stage

    def count(self, stage: str, what: str, lost: Sequence[str]) -> None:
        """Count parts of an example (mentions, answers): for each why it is not in the row, "" for one that is."""
        count = self.ledger.counts.setdefault(stage, Count(what))
        count.lines += len(lost)
        count.drops.update(filter(None, lost))

    def add(self, stage: str, example_id: str, split: str, group: str, text: str, **columns: Any) -> None:
        """One example; the columns that are not named are empty. Rejected where its id or a mention is impossible."""
        mentions = columns.get("mentions", [])
        outside = [(m["start"], m["end"]) for m in mentions if not 0 <= m["start"] < m["end"] <= len(text)]
        if example_id in self._ids:
            self.reject(stage, example_id, "duplicate_id", "an example before it has this id")
            return
        if outside:
            found = ", ".join(f"{start}-{end}" for start, end in outside)
            self.reject(stage, example_id, "mention_outside_text", f"{found}, the text has {len(text)} code points")
            return
        self.ledger.counts[stage].lines += 1
        self._ids.add(example_id)
        row = {"text_b": None, "label": None, "relation": None, "labels": [], "answers": [], "options": []}
        own = {"example_id": example_id, "task": self.task, "split": split, "group": group, "text": text}
        ordered = sorted(mentions, key=lambda mention: (mention["start"], mention["end"], mention["role"]))
        self._rows.append({**row, **own, **columns, "mentions": ordered})
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def reject(self, stage: str, example_id: str, reason: str, detail: str) -> None:
        """An example that can't be a row."""
        self.count(stage, "examples", [reason])
        self.rejects.append({"stage": stage, "key": example_id, "reason": reason, "detail": detail})

    def name(self, entity: str, name: str, categories: Iterable[str] = ()) -> None:
        """An entity of the files, and a name that it has there (or "" for none)."""
        known = self.entities.setdefault(entity, Name())
        known.names.update([name] if name else [])
        known.categories.update(categories)

    def source(self, licence: str, **graph: Any) -> Source:
        """All of it; `graph` is what a source says beside examples."""
        self._flush()
        ids, names = list(self.entities), list(self.entities.values())
        ordered = [name.ordered for name in names]
        labels = [label for label, _ in self.relations.values()]
        descriptions = [description for _, description in self.relations.values()]
        # Every id here is listed, so none of these counts can lose one.
        count = Count("names")
        return Source(
            **graph,
            listed=[pa.array(ids, pa.string())],
            listed_relations=[pa.array(list(self.relations), pa.string())],
            entities=[
                told("label", ids, [own[0] if own else None for own in ordered], count),
                told("aliases", ids, [own[1:] for own in ordered], count),
                told("categories", ids, [sorted(name.categories) for name in names], count),
            ],
            relations=[
                told("label", list(self.relations), labels, count),
                told("description", list(self.relations), descriptions, count),
            ],
            examples=pa.Table.from_batches(self._batches, EXAMPLES.schema),
            rejects=pa.Table.from_pylist(self.rejects, REJECTS.schema),
            ledger=self.ledger,
            licence=licence,
        )

    def _flush(self) -> None:
        self._batches.append(pa.RecordBatch.from_pylist(self._rows, schema=EXAMPLES.schema))
        self._rows = []


def mention(span: Span, entity: str | None, role: str) -> dict[str, Any]:
    """A value of the column `mentions`."""
    return {"start": span[0], "end": span[1], "entity": entity, "role": role}


def context(tasks: Tasks, stage: str, text: str, linked: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Mentions of ERNIE's [entity, start, end, score]: what its authors' linker found, where they take it."""
    mentions, lost = [], []
    for entity, start, end, score, *_ in (values if len(values) > 3 else (None,) * 4 for values in linked):
        whole = isinstance(entity, str) and type(start) is int and type(end) is int and type(score) in (int, float)
        inside = whole and 0 <= start < end <= len(text)
        lost.append("broken_link" if not inside else "" if score > SURE else "unsure_link")
        if not lost[-1]:
            mentions.append(mention((start, end), entity, "context"))
            tasks.name(entity, text[start:end])
    tasks.count(f"{stage}/links", "links", lost)
    return mentions


def join_tokens(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """(the tokens with a space between them, where each of them is)."""
    spans, start = [], 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + 1
    return " ".join(tokens), spans


def find_files(files: Published, names: Iterable[str], what: str) -> dict[str, File]:
    """Those of the published names that are there; DataError where none is."""
    names = list(names)
    found = {name: file for name in names if (file := files.find(name))}
    if not found:
        expected = ", ".join(names)
        raise DataError(f"{files.source}: no file of {what} in it, expected {expected} (plain or .gz). Check --from.")
    return found


def read_json_lines(file: File, decoder: Decoder[_Record]) -> Iterator[tuple[int, _Record]]:
    """(line number from 1, record) of a file with one JSON record a line."""
    for number, line in read_lines(file):
        yield number, _decode(line.encode(), decoder, f"{file}, line {number}")


def read_lines(file: File) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a UTF-8 file, without empty lines."""
    for number, line in enumerate(split_lines(file.blocks(), MAX_LINE), start=1):
        if isinstance(line, Lost):
            raise DataError(f"{file}, line {number}: more than {MAX_LINE} bytes; expected one record a line.")
        try:
            text = line.data.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}, line {number}: expected UTF-8, found {line.data[:40]!r}. Convert it.") from error
        if text.strip():
            yield number, text


def _decode(data: bytes, decoder: Decoder[_Record], where: str) -> _Record:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{where}: {str(error)[:200]}. Is it the published file, and whole?") from error
