"""Plain text: files of UTF-8 lines, whose blank lines part documents (a corpus of books) -> pages without links."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.importing.source import PAGE_TEXTS, Ledger, Pages, Source
from pipelines.records import BATCH_ROWS
from pipelines.sources.lines import Lost, split_lines
from pipelines.sources.published import TAR_ENDINGS, File, Published
from pipelines.sources.tab_files import Count
from schemas.errors import DataError

STAGE = "text"
ENDING = ".txt"
MAX_LINE = 1 << 20
"""Bytes of a line."""
MAX_PAGE = 1 << 18
"""Code points after which a document goes on in another page, from the next line on."""
MAX_REJECTS = 100_000
BATCH_CHARACTERS = 1 << 24


def read(format: str, files: Published) -> Source:
    """All *.txt files of a folder in the order of their names, or the one file that is given."""
    if files.source.is_file() and files.source.name.endswith((".zip", *TAR_ENDINGS)):
        raise DataError(f"{files.source} is an archive. Unpack it, and give --from the folder.")
    found = [file for file in files.all() if file.name.endswith(ENDING) or files.source.is_file()]
    if not found:
        raise DataError(
            f"{files.source}: expected files *{ENDING} (plain, .gz, .bz2 or .zst), found none. Check --from."
        )
    ledger, rejects = Ledger(), []
    count = ledger.counts.setdefault(STAGE, Count("lines"))
    ledger.files.update({f"{STAGE} {file.name}": file for file in found})
    return Source(pages=Pages(_batches(found, count, rejects), rejects), ledger=ledger, language="und")


def _batches(files: Sequence[File], count: Count, rejects: list[dict[str, str]]) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    characters = 0
    for file in files:
        name = file.name.removesuffix(ENDING)
        for number, text in enumerate(_documents(_lines(file, name, count, rejects)), start=1):
            rows.append({"title": f"{name} {number}", "text": text})
            characters += len(text)
            if len(rows) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
                yield pa.RecordBatch.from_pylist(rows, schema=PAGE_TEXTS)
                rows, characters = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=PAGE_TEXTS)


def _lines(file: File, name: str, count: Count, rejects: list[dict[str, str]]) -> Iterator[str]:
    """The lines that can be read, "" for a blank one."""
    for number, line in enumerate(split_lines(file.blocks(), MAX_LINE), start=1):
        count.lines += 1
        if isinstance(line, Lost):
            text, lost = None, (line.reason, f"more than {MAX_LINE} bytes")
        else:
            text, lost = _decoded(line.data)
        if text is None:
            count.drops[lost[0]] += 1
            rejects.append({"stage": STAGE, "key": f"{name} {number}", "reason": lost[0], "detail": lost[1]})
            if len(rejects) > MAX_REJECTS:
                raise DataError(f"{file}: more than {MAX_REJECTS:,} lines can't be read. Is it text, in UTF-8?")
            continue
        count.drops["blank_line"] += not text
        yield text


def _decoded(line: bytes) -> tuple[str | None, tuple[str, str]]:
    """(the line without white space at its end, or None; why)."""
    try:
        return line.decode().rstrip(), ("", "")
    except UnicodeDecodeError as error:
        return None, ("not_utf8", f"byte {line[error.start]:#04x} at {error.start}")


def _documents(lines: Iterator[str]) -> Iterator[str]:
    """Lines that no blank one parts, at most about MAX_PAGE code points of them."""
    document: list[str] = []
    length = 0
    for line in lines:
        if document and (not line or length + len(line) > MAX_PAGE):
            yield "\n".join(document)
            document, length = [], 0
        if line:
            document.append(line)
            length += len(line) + 1
    if document:
        yield "\n".join(document)
