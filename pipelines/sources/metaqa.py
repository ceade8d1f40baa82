"""MetaQA (Zhang et al., AAAI 2018): questions of one and more hops, and the movie graph that answers them.

Two layouts. As published: kb.txt with lines head|relation|tail, entities by name, and N-hop/vanilla/qa_train.txt,
qa_dev.txt, qa_test.txt. By ids: train.tsv, dev.tsv, test.tsv with entity2text.txt and relation2text.txt, and
N-hop/train.txt, dev.txt, test.txt. A question has its topic in [brackets], then a tab and its answers between |.
"""

import re
from collections.abc import Iterator

import pyarrow as pa

from pipelines.importing.source import FACTS, Source
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count
from pipelines.sources.tasks import Tasks, mention, read_lines
from schemas.errors import DataError

BY_ID = ("train.tsv", "dev.tsv", "test.tsv")
"""All three are the graph that questions are about: most lines of dev and test are in train as well."""
BY_NAME = "kb.txt"
HOPS = ("1-hop", "2-hop", "3-hop")
SPLITS = {"train": "train", "dev": "valid", "test": "test"}
QUESTION = re.compile(r"([^\[\]\t]*)\[((?:[^\[\]\t]|\[[^\[\]\t]*\])+)\]([^\[\]\t]*)\t(.+)")
"""Brackets mark the topic, whose name may have brackets of its own."""

Fact = tuple[str, str, str]


def read(format: str, files: Published) -> Source:
    """Task kgqa: group = hops, mentions = [the topic], answers = entities. Every triple is in train."""
    tasks = Tasks("kgqa")
    facts = list(_read_facts(files, tasks))
    for entity in dict.fromkeys(entity for head, _, tail in facts for entity in (head, tail)):
        tasks.name(entity, "")
    tasks.relations = {relation: (None, None) for _, relation, _ in facts}
    known = {entity: entity for entity in tasks.entities}
    if not files.find(BY_NAME):
        known = _name_entities(files.require("entity2text.txt"), tasks)
        _name_relations(files.require("relation2text.txt"), tasks)
    for group, split, file in _question_files(files):
        stage = tasks.open(file, f"{group} {split}")
        for number, line in read_lines(file):
            _add(tasks, stage, file, number, line, known)
    columns = [pa.array(column, pa.string()).dictionary_encode() for column in zip(*facts, strict=True)]
    parts = pa.array([0] * len(facts), pa.int8())
    return tasks.source("unknown", facts=pa.table([*columns, parts], schema=FACTS))


def _read_facts(files: Published, tasks: Tasks) -> Iterator[Fact]:
    """The distinct triples."""
    published = files.find(BY_NAME)
    found = [(published, "|")] if published else [(files.require(name), "\t") for name in BY_ID]
    seen: set[Fact] = set()
    for file, between in found:
        count = tasks.ledger.open(file, "triples", "triples")
        for number, line in read_lines(file):
            fields = tuple(line.split(between))
            if len(fields) != 3 or not all(fields):
                expected = between.join(("head", "relation", "tail")).replace("\t", " TAB ")
                raise DataError(f"{file}, line {number}: expected {expected}, found {line!r:.80}.")
            count.lines += 1
            if fields in seen:
                count.drops["duplicate_triple"] += 1
            else:
                seen.add(fields)
                yield fields
    if not seen:
        raise DataError(f"{found[0][0]}: no triple in it. Is it the published file, and whole?")


def _name_entities(file: File, tasks: Tasks) -> dict[str, str]:
    """Name -> entity. A second name of an id, or a second id of a name, is counted and left out."""
    known: dict[str, str] = {}
    named: set[str] = set()
    for entity, name, count in _pairs(file, tasks):
        if entity in named or name in known:
            count.drops["duplicate_id" if entity in named else "duplicate_name"] += 1
            continue
        named.add(entity)
        known[name] = entity
        tasks.name(entity, name)
    return known


def _name_relations(file: File, tasks: Tasks) -> None:
    for relation, name, count in _pairs(file, tasks):
        if relation in tasks.relations:
            tasks.relations[relation] = (name, None)
        else:
            count.drops["not_in_graph"] += 1


def _pairs(file: File, tasks: Tasks) -> Iterator[tuple[str, str, Count]]:
    """(id, name, the file's count)."""
    count = tasks.ledger.open(file, "names", "names")
    for number, line in read_lines(file):
        identifier, tab, name = line.partition("\t")
        if not (identifier and tab and name.strip()):
            raise DataError(f"{file}, line {number}: expected id TAB name, found {line!r:.80}.")
        count.lines += 1
        yield identifier, name.strip(), count


def _question_files(files: Published) -> Iterator[tuple[str, str, File]]:
    """(group, split, file)."""
    found = False
    for hops in HOPS:
        for folder, name in ((f"{hops}/vanilla", "qa_{}.txt"), (hops, "{}.txt")):
            path = files.source / folder
            published = Published(path) if path.is_dir() else None
            for published_split, split in SPLITS.items():
                file = published.find(name.format(published_split)) if published else None
                if file:
                    found = True
                    yield hops, split, file
    if not found:
        expected = "1-hop/vanilla/qa_test.txt or 1-hop/test.txt, and the like"
        raise DataError(f"{files.source}: no questions of MetaQA in it, expected {expected}. Check --from.")


def _add(tasks: Tasks, stage: str, file: File, number: int, line: str, known: dict[str, str]) -> None:
    match = QUESTION.fullmatch(line)
    if match is None:
        raise DataError(f"{file}, line {number}: expected words [topic] words TAB answer|answer, found {line!r:.80}.")
    before, topic, after, listed = match.groups()
    found = [known.get(answer) for answer in listed.split("|")]
    answers = list(dict.fromkeys(entity for entity in found if entity is not None))
    lost = ["not_in_graph"] * found.count(None)
    repeated = ["repeated"] * (len(found) - len(lost) - len(answers))
    tasks.count("answers", "answers", [*lost, *repeated, *[""] * len(answers)])
    group, split = stage.split(" ")
    example_id = f"{group}/{split}/{number - 1:06d}"
    if not answers:
        tasks.reject(stage, example_id, "no_answer_in_graph", listed[:100])
        return
    mentions = [mention((len(before), len(before) + len(topic)), known.get(topic), "topic")]
    tasks.add(stage, example_id, split, group, before + topic + after, mentions=mentions, answers=answers)
