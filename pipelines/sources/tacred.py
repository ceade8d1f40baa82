"""TACRED (Zhang et al., EMNLP 2017) as its publisher ships it: train.json, dev.json and test.json, each a list of
{id, relation, token, subj_start, subj_end, obj_start, obj_end, ...}. Token indices are inclusive."""

import msgspec

from pipelines.importing.options import read_json
from pipelines.importing.source import Source
from pipelines.sources.published import Published
from pipelines.sources.tasks import Tasks, find_files, join_tokens, mention

FILES = {"train.json": "train", "dev.json": "valid", "test.json": "test"}
BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
"""How the Penn Treebank writes brackets, which no text does."""


class _Example(msgspec.Struct):
    id: str
    relation: str
    token: list[str]
    subj_start: int
    subj_end: int
    obj_start: int
    obj_end: int


def read(format: str, files: Published) -> Source:
    """Task relation-classification: the subject is the head, the object the tail; label = relation."""
    tasks = Tasks("relation-classification")
    for name, file in find_files(files, FILES, "TACRED").items():
        split = tasks.open(file, FILES[name])
        for example in read_json(file, list[_Example], '[{"id": ..., "token": ..., "subj_start": ..., ...}]'):
            tasks.relations.setdefault(example.relation, (None, None))
            text, spans = join_tokens([BRACKETS.get(token, token) for token in example.token])
            ends = {"head": (example.subj_start, example.subj_end), "tail": (example.obj_start, example.obj_end)}
            if not all(0 <= first <= last < len(spans) for first, last in ends.values()):
                detail = f"tokens {ends['head']} and {ends['tail']}, the text has {len(spans)}"
                tasks.reject(split, example.id, "mention_outside_text", detail)
                continue
            mentions = [mention((spans[first][0], spans[last][1]), None, role) for role, (first, last) in ends.items()]
            columns = {"mentions": mentions, "label": example.relation, "relation": example.relation}
            tasks.add(split, example.id, split, split, text, **columns)
    return tasks.source("other")
