"""`wikiloom link`: a file of texts -> the entities that they name, as JSON lines or as Parquet."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.table import Table, column
from training.evaluation.settings import read_settings
from training.linking import Context, Link, Linker, LinkSettings, Span, open_linker
from training.text_file import decoded, read_lines

LINKS = Table(
    name="links",
    version=1,
    doc="One row per link, and per given mention that has none, in the order of the texts.",
    sort_by=["line"],
    columns=[
        column("line", pa.int64(), "the text's line in the file, from 1"),
        column("start", pa.int32(), "first code point of the mention in its text"),
        column("end", pa.int32(), "one past the last"),
        column(
            "entity", pa.string(), "entity that it names; null for a given mention without a candidate", nullable=True
        ),
        column("score", pa.float64(), "how sure that is, from 0 to 1"),
    ],
)
"""What --out holds."""

CHARS_AT_ONCE, ROWS_AT_ONCE = 1 << 18, 1 << 16
"""Code points that are linked, and rows that are written, together."""

T = TypeVar("T")
Text = tuple[str, list[Span] | None]
"""A text, and the spans of its given mentions."""


class _Given(BaseModel):
    model_config = ConfigDict(strict=True)

    start: Annotated[int, Field(ge=0)]
    end: int


class _Text(BaseModel):
    """A line of a .jsonl file; what else it says is not looked at."""

    model_config = ConfigDict(strict=True)

    text: str
    mentions: list[_Given] | None = None


def link_file(
    folder: Path, texts: Path, run: Path | None = None, out: Path | None = None, settings: dict[str, str] | None = None
) -> str:
    """Link every text of a file to the entities of a dataset; returns one line about what was done.

    The links go to standard output as JSON lines, or to `out` as Parquet (LINKS). Raises DataError for a file or a
    dataset that can't be read, UsageError for a wrong setting.
    """
    chosen = read_settings(LinkSettings, settings or {}, "link")
    dataset = Dataset(folder)
    linker = open_linker(dataset, chosen, open_context(run, dataset))
    counts: Counter[str] = Counter()
    rows = _rows(linker, dataset, _read_texts(texts), counts)
    if out is None:
        encode = json.JSONEncoder(ensure_ascii=False).encode
        sys.stdout.writelines(encode(row) + "\n" for row in rows)
    else:
        _write(out, rows)
    unknown = f", {counts['unknown']:,} given mentions without a candidate" * (counts["unknown"] > 0)
    return f"{counts['texts']:,} texts, {counts['links']:,} links{unknown}" + (f": {out}" if out else "")


def open_context(run: Path | None, dataset: Dataset) -> Context | None:
    """What a CoLAKE run of the dataset knows of a text; DataError where it is none, or of another dataset."""
    if run is None:
        return None
    from training.linking.disambiguation import GraphContext
    from training.runs import load_run

    return GraphContext(load_run(run, dataset.folder))


def _rows(linker: Linker, dataset: Dataset, texts: Iterator[Text], counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """One row a link, and one for each given mention that has none."""
    ids = dataset.read("entities", None, ["entity"])["entity"].combine_chunks()
    line = 0
    for block in _cut(texts, lambda text: len(text[0]), CHARS_AT_ONCE):
        linked = _linked(linker, block)
        indices = [link.entity_index for links in linked for link in links if link]
        names = iter(ids.take(pa.array(indices, pa.int64())).to_pylist())
        for (_, spans), links in zip(block, linked, strict=True):
            line += 1
            for number, link in enumerate(links):
                start, end = link[:2] if link else spans[number]
                entity, score = (next(names), link.score) if link else (None, 0.0)
                yield {"line": line, "start": start, "end": end, "entity": entity, "score": score}
        counts.update(texts=len(block), links=len(indices), unknown=sum(map(len, linked)) - len(indices))


def _linked(linker: Linker, block: Sequence[Text]) -> list[Sequence[Link | None]]:
    found = iter(linker.link_all([text for text, spans in block if spans is None]))
    return [next(found) if spans is None else linker.link_spans(text, spans) for text, spans in block]


def _read_texts(path: Path) -> Iterator[Text]:
    """Each line, or what the JSON on each line of a .jsonl file says."""
    for where, line in read_lines(path):
        yield _parse(where, line, path.suffix)


def _parse(where: str, line: bytes, suffix: str) -> Text:
    if suffix != ".jsonl":
        return decoded(where, line), None
    try:
        found = _Text.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f'{where}: {f"{place}: " if place else ""}{first["msg"]}. Expected {{"text": "...", "mentions": '
            '[{"start": 0, "end": 5}]}, mentions if you have them.'
        ) from error
    if found.mentions is None:
        return found.text, None
    for mention in found.mentions:
        if not mention.start < mention.end <= len(found.text):
            raise DataError(
                f"{where}: mention {mention.start}-{mention.end} in a text of {len(found.text)} code points. Offsets "
                "count code points, the end one past the last."
            )
    return found.text, [(mention.start, mention.end) for mention in found.mentions]


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """At once: a reader sees the whole file or none."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(temporary, LINKS.schema, compression="zstd") as writer:
            for block in _cut(rows, lambda row: 1, ROWS_AT_ONCE):
                writer.write_table(pa.Table.from_pylist(block, schema=LINKS.schema))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}). Choose another --out.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _cut(items: Iterable[T], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """The items in blocks, each ended by the item that makes it as large as `most`."""
    block: list[T] = []
    held = 0
    for item in items:
        block.append(item)
        held += size(item)
        if held >= most:
            yield block
            block, held = [], 0
    if block:
        yield block
