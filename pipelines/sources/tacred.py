"""TACRED (Zhang et al., EMNLP 2017): train.json, dev.json and test.json, in two layouts.

As its publisher ships it, each is a list of {id, relation, token, subj_start, subj_end, obj_start, obj_end, ...}, token
indices inclusive. As ERNIE's authors re-arranged it, a list of {text, ents, label, ann}: the first two of `ents` are
the subject and the object as [name, start, end, ...], `ann` the entities that are linked, [entity, start, end, score].
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.importing.options import read_json
from pipelines.importing.source import Source
from pipelines.sources.published import File, Published
from pipelines.sources.tasks import ITEM, Tasks, context, find_files, join_tokens, mention

FILES = {"train.json": "train", "dev.json": "valid", "test.json": "test"}
BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
"""How the Penn Treebank writes brackets, which no text does."""
EXPECTED = '[{"id": ..., "token": ..., "subj_start": ..., ...}]'


class _Example(msgspec.Struct):
    id: str
    relation: str
    token: list[str]
    subj_start: int
    subj_end: int
    obj_start: int
    obj_end: int


class _Arranged(msgspec.Struct):
    text: str
    label: str
    ents: list[list[Any]]
    ann: list[list[Any]] = []


def read(format: str, files: Published) -> Source:
    """Task relation-classification: the subject is the head, the object the tail; label = relation."""
    tasks = Tasks("relation-classification")
    for name, file in find_files(files, FILES, "TACRED").items():
        split = tasks.open(file, FILES[name])
        if _is_arranged(file):
            _read_arranged(file, split, tasks)
        else:
            _read_published(file, split, tasks)
    return tasks.source("other")


def _is_arranged(file: File) -> bool:
    records = read_json(file, list[msgspec.Raw], EXPECTED)
    first = msgspec.json.decode(records[0]) if records else None
    return isinstance(first, dict) and "ents" in first and "token" not in first


def _read_published(file: File, split: str, tasks: Tasks) -> None:
    for example in read_json(file, list[_Example], EXPECTED):
        text, spans = join_tokens([BRACKETS.get(token, token) for token in example.token])
        ends = {"head": (example.subj_start, example.subj_end), "tail": (example.obj_start, example.obj_end)}
        if not all(0 <= first <= last < len(spans) for first, last in ends.values()):
            detail = f"tokens {ends['head']} and {ends['tail']}, the text has {len(spans)}"
            tasks.relations.setdefault(example.relation, (None, None))
            tasks.reject(split, example.id, "mention_outside_text", detail)
            continue
        mentions = [mention((spans[first][0], spans[last][1]), None, role) for role, (first, last) in ends.items()]
        _add(tasks, split, example.id, text, mentions, example.relation)


def _read_arranged(file: File, split: str, tasks: Tasks) -> None:
    expected = '[{"text": ..., "ents": ..., "label": ..., "ann": ...}]'
    for number, example in enumerate(read_json(file, list[_Arranged], expected)):
        example_id, ends = f"{split}/{number:06d}", example.ents[:2]
        if len(ends) < 2 or not all(_is_span(end) for end in ends):
            detail = f"ents {ends!r:.100}, expected [name, start, end, ...] of subject and object"
            tasks.reject(split, example_id, "broken_mention", detail)
            continue
        mentions = []
        for role, (name, start, end, *_) in zip(("head", "tail"), ends, strict=True):
            entity = name if isinstance(name, str) and ITEM.fullmatch(name) else None
            # As in FewRel, the re-arrangement has 1 for mentions at the very beginning.
            span = (0 if start == 1 else start, end)
            mentions.append(mention(span, entity, role))
            if entity:
                tasks.name(entity, example.text[span[0] : span[1]])
        mentions += context(tasks, split, example.text, example.ann)
        _add(tasks, split, example_id, example.text, mentions, example.label)


def _is_span(values: Sequence[Any]) -> bool:
    return len(values) >= 3 and all(type(value) is int for value in values[1:3])


def _add(tasks: Tasks, split: str, example_id: str, text: str, mentions: list[dict[str, Any]], relation: str) -> None:
    tasks.relations.setdefault(relation, (None, None))
    tasks.add(split, example_id, split, split, text, mentions=mentions, label=relation, relation=relation)
