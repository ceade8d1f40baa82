"""FewRel (Han et al., EMNLP 2018): sentences with a head, a tail and their Wikidata relation.

Two layouts. As published, for few-shot learning: train_wiki.json, val_wiki.json and others, relation -> instances of
{tokens, h, t}, h and t being [name, id, [token indices of each place]]. As ERNIE's authors re-arranged it, for
supervised classification: train.json, dev.json, test.json, a list of {text, ents, label}, the first two of `ents`
being the head and the tail as [id, start, end, score]. pid2name.json has the relations' names and descriptions.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.importing.options import read_json
from pipelines.importing.source import Source
from pipelines.sources.published import File, Published
from pipelines.sources.tasks import Span, Tasks, find_files, join_tokens, mention
from schemas.errors import DataError

FEW_SHOT = {
    "train_wiki.json": "train",
    "val_wiki.json": "valid",
    "val_nyt.json": "valid",
    "val_pubmed.json": "valid",
    "val_semeval.json": "valid",
    "test_wiki.json": "test",
    "test_pubmed.json": "test",
}
"""File -> split. The relations of train, val and test are others; those of nyt, pubmed and semeval test transfer."""
SUPERVISED = {"train.json": "train", "dev.json": "valid", "test.json": "test"}
"""File of ERNIE's re-arrangement -> split; the relations of all are the same 80."""
ROLES = ("head", "tail")


class _Instance(msgspec.Struct):
    tokens: list[str]
    h: tuple[str, str | None, list[list[int]]]
    t: tuple[str, str | None, list[list[int]]]


class _Sentence(msgspec.Struct):
    text: str
    label: str
    ents: list[list[Any]]


def read(format: str, files: Published) -> Source:
    """All files of one layout. FewRel: task few-shot, label = relation, group = the file's split."""
    found = find_files(files, [*FEW_SHOT, *SUPERVISED], "FewRel")
    supervised = found.keys() <= SUPERVISED.keys()
    if not supervised and not found.keys().isdisjoint(SUPERVISED):
        raise DataError(f"{files.source}: two layouts in one folder ({', '.join(found)}). Give each its own folder.")
    tasks = Tasks("relation-classification" if supervised else "few-shot")
    for name, file in found.items():
        if supervised:
            _read_supervised(file, SUPERVISED[name], tasks)
        else:
            _read_few_shot(file, FEW_SHOT[name], tasks)
    if pid2name := files.find("pid2name.json"):
        tasks.ledger.files["relations pid2name.json"] = pid2name
        names = read_json(pid2name, dict[str, tuple[str, str]], '{"relation": [name, description]}')
        tasks.relations = {relation: names.get(relation, told) for relation, told in tasks.relations.items()}
    return tasks.source("mit", kind="item")


def _read_few_shot(file: File, split: str, tasks: Tasks) -> None:
    group = tasks.open(file, file.name.removesuffix(".json").removesuffix("_wiki"))
    expected = '{"relation": [{"tokens": ..., "h": ..., "t": ...}]}'
    for relation, instances in read_json(file, dict[str, list[_Instance]], expected).items():
        tasks.relations.setdefault(relation, (None, None))
        for number, instance in enumerate(instances):
            example_id = f"{group}/{relation}/{number:05d}"
            text, spans = join_tokens(instance.tokens)
            mentions, broken = [], []
            for role, (name, entity, places) in zip(ROLES, (instance.h, instance.t), strict=True):
                if entity:
                    tasks.name(entity, name)
                ranges = [_range(indices, spans) for indices in places] or [None]
                broken += [places for range_ in ranges if range_ is None]
                mentions += [mention(range_, entity or None, role) for range_ in ranges if range_]
            if broken:
                detail = f"tokens {broken[0]} of {len(spans)}, expected numbers that follow one another"
                tasks.reject(group, example_id, "broken_mention", detail)
            else:
                tasks.add(group, example_id, split, group, text, mentions=mentions, label=relation, relation=relation)


def _range(indices: Sequence[int], spans: Sequence[Span]) -> Span | None:
    """Where tokens that follow one another are in the text; None where they do not."""
    run = list(range(indices[0], indices[0] + len(indices))) if indices else []
    if not run or list(indices) != run or run[0] < 0 or run[-1] >= len(spans):
        return None
    return spans[run[0]][0], spans[run[-1]][1]


def _read_supervised(file: File, split: str, tasks: Tasks) -> None:
    stage = tasks.open(file, split)
    for number, sentence in enumerate(read_json(file, list[_Sentence], '[{"text": ..., "ents": ..., "label": ...}]')):
        example_id = f"{split}/{number:06d}"
        ends = sentence.ents[:2]
        if len(ends) < 2 or not all(_is_entity(end) for end in ends):
            detail = f"ents {ends!r:.100}, expected [id, start, end, ...] of head and tail"
            tasks.reject(stage, example_id, "broken_mention", detail)
            continue
        tasks.relations.setdefault(sentence.label, (None, None))
        mentions = []
        for role, (entity, start, end, *_) in zip(ROLES, ends, strict=True):
            # The re-arrangement has 1 for mentions at the very beginning; its authors' code puts that right too.
            span = (0 if start == 1 else start, end)
            mentions.append(mention(span, entity, role))
            tasks.name(entity, sentence.text[span[0] : span[1]])
        columns = {"mentions": mentions, "label": sentence.label, "relation": sentence.label}
        tasks.add(stage, example_id, split, split, sentence.text, **columns)


def _is_entity(values: list[Any]) -> bool:
    return len(values) >= 3 and isinstance(values[0], str) and all(type(value) is int for value in values[1:3])
