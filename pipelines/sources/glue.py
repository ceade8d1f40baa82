"""GLUE (Wang et al., ICLR 2019) as its publishers ship it: a folder a task (CoLA, SST-2, MRPC, QQP, STS-B, MNLI, QNLI,
RTE) with train.tsv, dev.tsv and test.tsv; MNLI has two of dev and of test, matched and mismatched.

Columns are separated by tabs and never quoted: a quotation mark is a character. Files have a head, but for CoLA's train
and dev; those of test have no labels.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from pipelines.importing.source import Source
from pipelines.sources.published import File, Published
from pipelines.sources.tasks import Tasks, read_lines
from schemas.errors import DataError

SPLITS = {"train": "train", "dev": "valid", "test": "test"}
MATCHED, MISMATCHED = "MNLI", "MNLI-mm"
ENTAILMENT = ("entailment", "not_entailment")


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Columns of a task's files, by the names in their heads."""

    text: str
    text_b: str = ""
    label: str = "label"
    labels: tuple[str, ...] = ("0", "1")
    """Empty for a score from 0 to 5."""


LAYOUTS = {
    "CoLA": _Layout("sentence"),
    "SST-2": _Layout("sentence"),
    "MRPC": _Layout("#1 String", "#2 String", "Quality"),
    "QQP": _Layout("question1", "question2", "is_duplicate"),
    "STS-B": _Layout("sentence1", "sentence2", "score", ()),
    "MNLI": _Layout("sentence1", "sentence2", "gold_label", ("entailment", "neutral", "contradiction")),
    "QNLI": _Layout("question", "sentence", "label", ENTAILMENT),
    "RTE": _Layout("sentence1", "sentence2", "label", ENTAILMENT),
}
COLA = ("source", "label", "original", "sentence")
"""The columns of CoLA's train and dev, which have no head."""


def read(format: str, files: Published) -> Source:
    """Task glue: group = the benchmark's task (MNLI-mm for the mismatched files), `label` as published."""
    tasks = Tasks("glue")
    for folder, group, name, split in _files(files.source):
        if file := Published(folder).find(name):
            _read_file(file, group, split, tasks)
    if not tasks.ledger.files:
        raise DataError(
            f"{files.source}: no folder of GLUE's tasks in it ({', '.join(LAYOUTS)}), each with train.tsv, dev.tsv and "
            "test.tsv (plain or .gz). Check --from."
        )
    return tasks.source("other")


def _files(source: Path) -> Iterator[tuple[Path, str, str, str]]:
    """(folder, group, name, split) of every file that may be there; `source` may be a single task's folder."""
    for group in LAYOUTS:
        folder = source if source.name == group else source / group
        if not folder.is_dir():
            continue
        for name, split in SPLITS.items():
            if group == MATCHED and name != "train":
                yield folder, MATCHED, f"{name}_matched.tsv", split
                yield folder, MISMATCHED, f"{name}_mismatched.tsv", split
            else:
                yield folder, group, f"{name}.tsv", split


def _read_file(file: File, group: str, split: str, tasks: Tasks) -> None:
    layout, stage = LAYOUTS[group.removesuffix("-mm")], tasks.open(file, f"{group}/{split}")
    lines = read_lines(file)
    head = list(COLA) if group == "CoLA" and split != "test" else _head(file, lines)
    wanted = [layout.text, *filter(None, [layout.text_b]), *([layout.label] if split != "test" else [])]
    if not set(wanted) <= set(head):
        raise DataError(f"{file}: expected the columns {', '.join(wanted)}, found {', '.join(head)[:200]}.")
    for number, line in lines:
        values, example_id = line.split("\t"), f"{group}/{split}/{number:07d}"
        if len(values) != len(head):
            detail = f"line {number} has {len(values)} columns, expected {len(head)}"
            tasks.reject(stage, example_id, "broken_line", detail)
            continue
        row = dict(zip(head, values, strict=True))
        label = row[layout.label].strip() if split != "test" else None
        if label is not None and not _is_label(label, layout):
            tasks.reject(stage, example_id, "unknown_label", f"line {number}: {label!r:.60}")
            continue
        text_b = row[layout.text_b] if layout.text_b else None
        tasks.add(stage, example_id, split, group, row[layout.text], text_b=text_b, label=label)


def _head(file: File, lines: Iterator[tuple[int, str]]) -> list[str]:
    for _, line in lines:
        return line.split("\t")
    raise DataError(f"{file}: expected a line of column names, found an empty file. Fetch it again.")


def _is_label(label: str, layout: _Layout) -> bool:
    if layout.labels:
        return label in layout.labels
    try:
        return 0 <= float(label) <= 5
    except ValueError:
        return False
