"""Open Entity (Choi et al., ACL 2018): a mention in a sentence and its types.

Two layouts of train.json, dev.json and test.json. As published (the folder `crowd` of the release), a JSON record a
line with left_context_token, mention_span, right_context_token and y_str, types from 10,331. As ERNIE's authors
re-arranged it, a list of {sent, start, end, labels, ents}, types from nine; `ents` are the entities that are linked in
the sentence, [entity, start, end, score].
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.json import Decoder

from pipelines.importing.options import read_json
from pipelines.importing.source import Source
from pipelines.sources.published import File, Published
from pipelines.sources.tasks import Tasks, context, find_files, mention, read_json_lines

FILES = {"train.json": "train", "dev.json": "valid", "test.json": "test"}


class _Published(msgspec.Struct):
    mention_span: str
    left_context_token: list[str]
    right_context_token: list[str]
    y_str: list[str]
    annot_id: str = ""


class _Arranged(msgspec.Struct):
    sent: str
    start: int
    end: int
    labels: list[str]
    ents: list[list[Any]] = []


def read(format: str, files: Published) -> Source:
    """Task typing: the marked mention is the target, `labels` its types in the file's order, each once."""
    inside = files.source / "crowd"
    tasks = Tasks("typing")
    for name, file in find_files(Published(inside) if inside.is_dir() else files, FILES, "Open Entity").items():
        _read_split(file, tasks.open(file, FILES[name]), tasks)
    return tasks.source("unknown")


def _read_split(file: File, split: str, tasks: Tasks) -> None:
    if next(file.blocks(), b"").lstrip().startswith(b"["):
        expected = '[{"sent": ..., "start": ..., "end": ..., "labels": ...}]'
        for number, row in enumerate(read_json(file, list[_Arranged], expected)):
            links = context(tasks, split, row.sent, row.ents)
            _add(tasks, f"{split}/{number:06d}", split, row.sent, (row.start, row.end), row.labels, links)
        return
    for number, record in read_json_lines(file, Decoder(_Published)):
        text, span = _published_text(record)
        _add(tasks, record.annot_id or f"{split}/{number - 1:06d}", split, text, span, record.y_str)


def _published_text(record: _Published) -> tuple[str, tuple[int, int]]:
    left, right = (" ".join(tokens) for tokens in (record.left_context_token, record.right_context_token))
    start = len(left) + 1 if left else 0
    text = " ".join(part for part in (left, record.mention_span, right) if part)
    return text, (start, start + len(record.mention_span))


def _add(
    tasks: Tasks,
    example_id: str,
    split: str,
    text: str,
    span: tuple[int, int],
    types: list[str],
    links: Sequence[dict[str, Any]] = (),
) -> None:
    mentions, labels = [mention(span, None, "target"), *links], list(dict.fromkeys(types))
    tasks.add(split, example_id, split, split, text, mentions=mentions, labels=labels)
