"""Entity linking on examples with marked mentions: the mentions given, and end to end from the bare text.

Given: each marked mention with an entity is one question, whether or not its surface is known.

End to end follows ELEVANT (Bast et al., EMNLP 2022; its mode for knowledge-base entities): a link is right where its
span and its entity are those of a mention. A mention inside another one is an alternative to it: they are one unit,
right where the outer one is, or where inner ones are and no other inner one is missed. A unit whose entity is not known
(NIL) is not asked for, but a link to it is wrong, as is every link that is no mention's. Precision, recall and F1 are
micro-averaged. What ELEVANT marks as optional or as a coreference is a mention like any other here, as examples do not
tell, and spans are not widened to the ends of words.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.evaluation.settings import require_split
from training.linking import Context, Link, Linker, LinkSettings, named_entities
from training.linking.dictionary import Dictionary, open_dictionary

PARTS = ("given", "given-in-dataset", "end-to-end", "end-to-end-in-dataset")
"""Of the metrics; those in the dataset are the mentions and units whose entity is one of the dictionary's dataset."""


@dataclasses.dataclass(frozen=True)
class LinkingSettings(LinkSettings):
    """What `--set` can change."""

    examples: str = ""
    """Folder of the dataset of examples; evaluate has --data for it."""


@dataclasses.dataclass(frozen=True)
class Gold:
    """A marked mention; its entity is None where the benchmark knows none."""

    start: int
    end: int
    entity: str | None


@dataclasses.dataclass(frozen=True)
class Example:
    """A text with its mentions in text order, outer ones before inner ones."""

    group: str
    text: str
    mentions: Sequence[Gold]


@dataclasses.dataclass(frozen=True)
class LinkingQuestions:
    """The texts, and the dictionary that every system links with."""

    examples: Dataset
    rows: list[Example]
    dictionary: Dictionary
    entities: list[str]
    """Of the dictionary's dataset, by index."""
    settings: LinkingSettings
    protocol: dict[str, Any]

    def linker(self, context: Context | None = None) -> Linker:
        """A system: the dictionary, with a run's context or without one."""
        ner = named_entities(self.settings.ner) if self.settings.ner else None
        return Linker(self.dictionary, context, self.settings.context, ner)


def prepare(dataset: Dataset, split: str, settings: LinkingSettings) -> LinkingQuestions:
    """The linking examples of a split, to be linked to the entities of `dataset`; DataError where there are none."""
    if not settings.examples:
        raise UsageError(
            "linking is asked on a dataset of examples, such as wikiloom import elevant makes: name its folder, to "
            "evaluate with --data DIR, to baseline with --set examples=DIR."
        )
    require_split("linking", split)
    examples = Dataset(settings.examples)
    rows = list(_read(examples, split))
    if not rows:
        raise DataError(
            f"{examples.folder} has no example of task linking in split {split}. Import some: wikiloom import elevant."
        )
    protocol = {
        "split": split,
        "texts": len(rows),
        "dictionary": dataset.digest,
        "min_link": settings.min_link,
        "context": settings.context,
        "ner": settings.ner,
        "given": "every marked mention with an entity",
        "end-to-end": "exact span and entity, micro-averaged; nested mentions are one unit (ELEVANT, without NIL)",
    }
    names = dataset.read("entities", None, ["entity"])["entity"].to_pylist()
    dictionary = open_dictionary(dataset, settings.min_link)
    return LinkingQuestions(examples, rows, dictionary, names, settings, protocol)


def linking(linker: Linker, questions: LinkingQuestions) -> dict[str, Any]:
    """The metrics: PARTS, "coverage" of the dictionary, and "groups": the same of each group of examples."""
    known = set(questions.entities)
    counts: dict[str, _Counts] = defaultdict(_Counts)
    for row in questions.rows:
        given = linker.link_spans(row.text, [(gold.start, gold.end) for gold in row.mentions])
        links = linker.link(row.text)
        counts[row.group].add(row, given, links, questions, known)
    total = _Counts()
    for group in counts.values():
        total.merge(group)
    return {**total.metrics(), "groups": {name: counts[name].metrics() for name in sorted(counts)}}


@dataclasses.dataclass
class _Counts:
    """Of some texts. Mentions and units are those with an entity."""

    mentions: int = 0
    right: int = 0
    in_dataset: int = 0
    known_surfaces: int = 0
    candidates: int = 0
    """Mentions whose entity is among their surface's candidates."""
    units: int = 0
    units_in_dataset: int = 0
    found: int = 0
    found_in_dataset: int = 0
    links: int = 0
    wrong: int = 0

    def add(
        self,
        row: Example,
        given: Sequence[Link | None],
        links: Sequence[Link],
        questions: LinkingQuestions,
        known: set[str],
    ) -> None:
        """Count a text."""
        for gold, link in zip(row.mentions, given, strict=True):
            if gold.entity is not None:
                self._add_mention(row.text, gold, link, questions, known)
        marked = {(gold.start, gold.end, gold.entity) for gold in row.mentions}
        said = [(link.start, link.end, questions.entities[link.entity_index]) for link in links]
        self.links += len(said)
        self.wrong += sum(link not in marked for link in said)
        for unit in units(row.mentions):
            outcome = unit.outcome(set(said))
            if outcome is not None:
                self.units += 1
                self.found += outcome
                self.units_in_dataset += unit.gold.entity in known
                self.found_in_dataset += outcome and unit.gold.entity in known

    def _add_mention(
        self, text: str, gold: Gold, link: Link | None, questions: LinkingQuestions, known: set[str]
    ) -> None:
        surface = questions.dictionary.number(text[gold.start : gold.end])
        candidates, _ = questions.dictionary.candidates(surface)
        self.mentions += 1
        self.in_dataset += gold.entity in known
        self.known_surfaces += surface >= 0
        self.candidates += gold.entity in [questions.entities[index] for index in candidates]
        self.right += link is not None and questions.entities[link.entity_index] == gold.entity

    def merge(self, other: "_Counts") -> None:
        """Add what another one counted."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def metrics(self) -> dict[str, Mapping[str, float | int | None]]:
        """Shares of nothing are None."""
        right_or_wrong = self.found + self.wrong
        return {
            "given": {"mentions": self.mentions, "accuracy": _share(self.right, self.mentions)},
            "given-in-dataset": {"mentions": self.in_dataset, "accuracy": _share(self.right, self.in_dataset)},
            "end-to-end": {
                "mentions": self.units,
                "links": self.links,
                "precision": _share(self.found, right_or_wrong),
                "recall": _share(self.found, self.units),
                "f1": _share(2 * self.found, right_or_wrong + self.units),
            },
            "end-to-end-in-dataset": {
                "mentions": self.units_in_dataset,
                "recall": _share(self.found_in_dataset, self.units_in_dataset),
            },
            "coverage": {
                "in_dataset": _share(self.in_dataset, self.mentions),
                "surface": _share(self.known_surfaces, self.mentions),
                "candidate": _share(self.candidates, self.mentions),
            },
        }


@dataclasses.dataclass(frozen=True)
class Unit:
    """A mention and the units inside it."""

    gold: Gold
    inner: list["Unit"] = dataclasses.field(default_factory=list)

    def outcome(self, links: set[tuple[int, int, str]]) -> bool | None:
        """Whether it is found; None where it is not asked for."""
        gold = self.gold
        if gold.entity is not None and (gold.start, gold.end, gold.entity) in links:
            return True
        outcomes = [outcome for outcome in (unit.outcome(links) for unit in self.inner) if outcome is not None]
        if any(unit.touched(links) for unit in self.inner):
            return all(outcomes)
        return None if gold.entity is None else False

    def touched(self, links: set[tuple[int, int, str]]) -> bool:
        """Whether it, or one inside it, is linked right."""
        return (self.gold.start, self.gold.end, self.gold.entity) in links or any(
            unit.touched(links) for unit in self.inner
        )


def units(mentions: Sequence[Gold]) -> list[Unit]:
    """The outermost mentions, with those inside them; `mentions` are in text order, outer ones first."""
    outermost: list[Unit] = []
    around: list[Unit] = []
    for gold in mentions:
        while around and around[-1].gold.end < gold.end:
            around.pop()
        inside = around and gold.start < around[-1].gold.end
        unit = Unit(gold)
        (around[-1].inner if inside else outermost).append(unit)
        around.append(unit)
    return outermost


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _read(examples: Dataset, split: str) -> Iterator[Example]:
    columns = ["task", "group", "text", "mentions"]
    for row in examples.read("examples", split, columns).to_pylist():
        if row["task"] == "linking":
            found = [Gold(mention["start"], mention["end"], mention["entity"]) for mention in row["mentions"]]
            yield Example(row["group"], row["text"], sorted(found, key=lambda gold: (gold.start, -gold.end)))
