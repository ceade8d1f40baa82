"""ELEVANT's entity-linking benchmarks (Bast et al., EMNLP 2022): NAME.benchmark.jsonl, a document a line with its
text, evaluation_span and labels {span, entity_id, name, type}."""

import msgspec
from msgspec.json import Decoder

from pipelines.importing.source import Source
from pipelines.sources.published import Published
from pipelines.sources.tasks import ITEM, Tasks, mention, read_json_lines
from schemas.errors import DataError

ENDING = ".benchmark.jsonl"
LITERALS = ("DATETIME", "QUANTITY")
"""entity_id of what is marked but no entity."""


class _Label(msgspec.Struct):
    span: tuple[int, int]
    entity_id: str
    name: str = ""
    type: str = ""


class _Document(msgspec.Struct):
    id: int | str
    text: str
    labels: list[_Label]
    evaluation_span: tuple[int, int] | None = None


def read(format: str, files: Published) -> Source:
    """Task linking, group = benchmark. The text is the document's evaluation span, the only part with labels.

    A mention's entity is null where the benchmark says that Wikidata has none (NIL) or does not know its item.
    """
    found = [file for file in files.all() if file.name.endswith(ENDING)]
    if not found:
        raise DataError(f"{files.source}: no file of ELEVANT, expected NAME{ENDING} (plain or .gz). Check --from.")
    tasks = Tasks("linking")
    for file in found:
        benchmark = tasks.open(file, file.name.removesuffix(ENDING))
        for _, document in read_json_lines(file, Decoder(_Document)):
            _add(tasks, benchmark, document)
    return tasks.source("apache-2.0", kind="item")


def _add(tasks: Tasks, benchmark: str, document: _Document) -> None:
    example_id = f"{benchmark}/{document.id}"
    first, last = document.evaluation_span or (0, len(document.text))
    if not 0 <= first <= last <= len(document.text):
        detail = f"evaluation_span {first}-{last}, the text has {len(document.text)} code points"
        tasks.reject(benchmark, example_id, "broken_span", detail)
        return
    mentions = []
    for label in document.labels:
        start, end = label.span
        inside = first <= start < end <= last
        lost = "literal" if label.entity_id in LITERALS else "" if inside else "outside_evaluation_span"
        tasks.count("labels", "mentions", [lost])
        if not lost:
            entity = label.entity_id if ITEM.fullmatch(label.entity_id) else None
            mentions.append(mention((start - first, end - first), entity, "target"))
            if entity:
                tasks.name(entity, label.name, filter(ITEM.fullmatch, label.type.split("|")))
    split = "train" if benchmark.endswith("-train") else "test"
    tasks.add(benchmark, example_id, split, benchmark, document.text[first:last], mentions=mentions)
