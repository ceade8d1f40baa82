"""`wikiloom link`: a file of texts -> the entities that they name, as JSON lines or as Parquet."""

import codecs
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.table import Table, column
from training.evaluation.settings import read_settings
from training.linking import Context, Linker, LinkSettings, Span, open_linker

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

LONGEST_LINE = 1 << 28
"""Bytes."""
ROWS_AT_ONCE = 65_536


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
    counts = {"texts": 0, "links": 0, "unknown": 0}
    rows = _rows(linker, dataset, _read_texts(texts), counts)
    if out is None:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    else:
        _write(out, rows)
    unknown = f", {counts['unknown']:,} given mentions without a candidate" * (counts["unknown"] > 0)
    return f"{counts['texts']:,} texts, {counts['links']:,} links{unknown}" + (f": {out}" if out else "")


def open_context(run: Path | None, dataset: Dataset) -> Context | None:
    """What a CoLAKE run of the dataset knows of a text; DataError where it is none, or of another dataset."""
    if run is None:
        return None
    from training.disambiguation import GraphContext
    from training.runs import load_run

    return GraphContext(load_run(run, dataset.folder))


def _rows(
    linker: Linker, dataset: Dataset, texts: Iterator[tuple[str, list[Span] | None]], counts: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """One row a link, and one for each given mention that has none."""
    ids = dataset.read("entities", None, ["entity"])["entity"].combine_chunks()
    for line, (text, spans) in enumerate(texts, start=1):
        links = linker.link(text) if spans is None else linker.link_spans(text, spans)
        for number, link in enumerate(links):
            start, end = (link.start, link.end) if link else spans[number]
            entity, score = (ids[link.entity_index].as_py(), link.score) if link else (None, 0.0)
            counts["links" if link else "unknown"] += 1
            yield {"line": line, "start": start, "end": end, "entity": entity, "score": score}
        counts["texts"] += 1


def _read_texts(path: Path) -> Iterator[tuple[str, list[Span] | None]]:
    """(a text, the spans of its given mentions): each line, or what the JSON on each line of a .jsonl file says."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise DataError(f"{path}, line {number}: longer than {LONGEST_LINE:,} bytes. Break it up.")
                line = line.removesuffix(b"\n").removesuffix(b"\r").removeprefix(codecs.BOM_UTF8 * (number == 1))
                yield _parse(line, f"{path}, line {number}", path.suffix)
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}). Give a file of texts with --text.") from error


def _parse(line: bytes, where: str, suffix: str) -> tuple[str, list[Span] | None]:
    try:
        if suffix != ".jsonl":
            return line.decode(), None
        found = _Text.model_validate_json(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}). Convert the file.") from error
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
            for block in _blocks(rows):
                writer.write_table(pa.Table.from_pylist(block, schema=LINKS.schema))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}). Choose another --out.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _blocks(rows: Iterator[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    for row in rows:
        block.append(row)
        if len(block) == ROWS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block
