"""WordNet's database files (wndb, section 5WN of its manual): synsets and lemmas as nodes, pointers as triples.

A semantic pointer joins two synsets. A lexical one joins a word of a synset with a word of another: a triple between
the two lemmas. `sense` joins a lemma with each synset it is a word of. The id of a synset is its offset and the part
of speech of its file (00001740-n), that of a lemma is the lemma as the index has it (physical_entity).
"""

import dataclasses
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import pyarrow as pa

from pipelines.importing.options import told
from pipelines.importing.source import FACTS, Ledger, Source
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count
from schemas.errors import DataError

PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
"""A satellite adjective (s) lies in data.adj, and pointers call it a."""
SENSE = "sense"
POINTERS = {
    "!": "antonym",
    "@": "hypernym",
    "@i": "instance_hypernym",
    "~": "hyponym",
    "~i": "instance_hyponym",
    "#m": "member_holonym",
    "#s": "substance_holonym",
    "#p": "part_holonym",
    "%m": "member_meronym",
    "%s": "substance_meronym",
    "%p": "part_meronym",
    "=": "attribute",
    "+": "derivationally_related_form",
    "*": "entailment",
    ">": "cause",
    "^": "also_see",
    "$": "verb_group",
    "&": "similar_to",
    "<": "participle_of_verb",
    ";c": "domain_topic",
    "-c": "member_of_domain_topic",
    ";r": "domain_region",
    "-r": "member_of_domain_region",
    ";u": "domain_usage",
    "-u": "member_of_domain_usage",
}
BACKSLASH = {"a": "pertainym", "r": "derived_from_adjective"}
"""The pointer \\, by the part of speech of the synset that has it."""


@dataclasses.dataclass(frozen=True)
class Pointer:
    """A pointer of a synset; words count from 1, both are 0 where it joins the synsets."""

    relation: str
    synset: str
    source: int
    target: int
    place: str
    """File and line, for a message."""


@dataclasses.dataclass(frozen=True)
class Synset:
    """One line of a data file."""

    words: list[str]
    gloss: str
    pointers: list[Pointer]


def read(format: str, files: Published) -> Source:
    """Synsets, lemmas, and what joins them; there is no published split."""
    ledger, synsets, senses = Ledger(), dict[str, Synset](), dict[str, list[str]]()
    for letter, name in PARTS_OF_SPEECH.items():
        data = files.require(f"data.{name}")
        count = ledger.open(data, "synsets", "synsets")
        synsets.update(_read_data(data, letter, count))
    for letter, name in PARTS_OF_SPEECH.items():
        index = files.require(f"index.{name}")
        count = ledger.open(index, "lemmas", "lemmas")
        for lemma, own in _read_index(index, letter, count, synsets):
            senses.setdefault(lemma, []).extend(own)
    relations = sorted({*POINTERS.values(), *BACKSLASH.values(), SENSE})
    labels = [relation.replace("_", " ") for relation in relations]
    facts = {"semantic pointers": _semantic(synsets), "lexical pointers": _lexical(synsets, senses)}
    facts["senses"] = [(lemma, SENSE, synset) for lemma, own in senses.items() for synset in own]
    for name, rows in facts.items():
        ledger.counts[name] = Count("triples", len(rows))
    return Source(
        ledger=ledger,
        facts=_table([row for rows in facts.values() for row in rows]),
        has_splits=False,
        listed=[pa.array([*synsets, *senses], pa.string())],
        entities=_describe(synsets, senses),
        relations=[told("label", relations, labels, Count("relations"))],
        licence="other",
    )


def _read_data(file: File, letter: str, count: Count) -> Iterator[tuple[str, Synset]]:
    expected = "offset, file, type, words, pointers | gloss as in wndb(5WN)"
    for number, line in _lines(file, count):
        head, bar, gloss = line.partition(" | ")
        fields = iter(head.split())
        try:
            offset, _, _, words = (next(fields) for _ in range(4))
            names = [(next(fields), next(fields))[0] for _ in range(int(words, 16))]
            pointers = [
                _pointer(letter, [next(fields) for _ in range(4)], f"{file}, line {number}")
                for _ in range(int(next(fields)))
            ]
            if not (bar and names and len(offset) == 8 and offset.isdecimal()):
                raise ValueError
        except (StopIteration, RuntimeError, ValueError, KeyError):
            _refuse(file, number, expected, line)
        yield f"{offset}-{letter}", Synset([_bare(name) for name in names], gloss.strip(), pointers)


def _pointer(letter: str, fields: list[str], place: str) -> Pointer:
    """From symbol, offset, part of speech, and the numbers of both words in hexadecimal."""
    symbol, offset, other, words = fields
    relation = BACKSLASH[letter] if symbol == "\\" else POINTERS[symbol]
    return Pointer(relation, f"{offset}-{other}", int(words[:2], 16), int(words[2:], 16), place)


def _read_index(file: File, letter: str, count: Count, synsets: dict[str, Synset]) -> Iterator[tuple[str, list[str]]]:
    """(lemma, its synsets, the most frequent sense first)."""
    for number, line in _lines(file, count):
        fields = line.split()
        try:
            size, pointers = int(fields[2]), int(fields[3])
            own = [f"{offset}-{letter}" for offset in fields[6 + pointers :]]
            if len(own) != size or not size or not all(synset in synsets for synset in own):
                raise ValueError
        except (IndexError, ValueError):
            _refuse(file, number, f"a lemma and the offsets of its synsets in data.{PARTS_OF_SPEECH[letter]}", line)
        yield fields[0], own


def _lines(file: File, count: Count) -> Iterator[tuple[int, str]]:
    """(number, line), without the licence at the beginning, whose lines begin with a space."""
    try:
        lines = file.read().decode().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: expected UTF-8 text, found the bytes {error.object[error.start :][:4]!r}.") from None
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, start=1):
        count.lines += 1
        if line.startswith(" ") or not line:
            count.drops["licence_line" if line else "blank_line"] += 1
        else:
            yield number, line.rstrip("\r")


def _semantic(synsets: dict[str, Synset]) -> list[tuple[str, str, str]]:
    return [(own, pointer.relation, pointer.synset) for own, pointer in _pointers(synsets) if not pointer.source]


def _lexical(synsets: dict[str, Synset], senses: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    rows = []
    for own, pointer in _pointers(synsets):
        if pointer.source:
            words = (synsets[own].words, pointer.source), (synsets[pointer.synset].words, pointer.target)
            if not all(0 < number <= len(of) for of, number in words):
                raise DataError(
                    f"{pointer.place}: expected pointers between words that are there, found word numbers "
                    f"{pointer.source} and {pointer.target}."
                )
            head, tail = (of[number - 1].lower() for of, number in words)
            if not (head in senses and tail in senses):
                raise DataError(f"{pointer.place}: expected words of the index files, found {head!r} and {tail!r}.")
            rows.append((head, pointer.relation, tail))
    return rows


def _pointers(synsets: dict[str, Synset]) -> Iterator[tuple[str, Pointer]]:
    """(synset, pointer) of all; DataError for one that leads nowhere."""
    for own, synset in synsets.items():
        for pointer in synset.pointers:
            if pointer.synset not in synsets or bool(pointer.source) != bool(pointer.target):
                raise DataError(
                    f"{pointer.place}: expected a pointer to a synset that is there, found {pointer.synset}."
                )
            yield own, pointer


def _describe(synsets: dict[str, Synset], senses: dict[str, list[str]]) -> list:
    """What is said of synsets and lemmas: kind, label, aliases, description."""
    ids, count = [*synsets, *senses], Count("entities")
    kinds = ["synset"] * len(synsets) + ["lemma"] * len(senses)
    words = {id_: [_spaced(word) for word in synset.words] for id_, synset in synsets.items()}
    glosses = {id_: synset.gloss for id_, synset in synsets.items()}
    for lemma, own in senses.items():
        written = {_spaced(word) for id_ in own for word in synsets[id_].words if word.lower() == lemma}
        words[lemma] = [_spaced(lemma), *sorted(written - {_spaced(lemma)})]
        glosses[lemma] = f"{_spaced(lemma)}: " + "; ".join(synsets[id_].gloss for id_ in own)
    return [
        told("kind", ids, kinds, count),
        told("label", ids, [words[id_][0] for id_ in ids], count),
        told("aliases", ids, [words[id_][1:] for id_ in ids], count),
        told("description", ids, [glosses[id_] for id_ in ids], count),
    ]


def _table(rows: list[tuple[str, str, str]]) -> pa.Table:
    columns = [pa.array([row[i] for row in rows], pa.string()).dictionary_encode() for i in range(3)]
    return pa.table([*columns, np.zeros(len(rows), np.int8)], schema=FACTS)


def _bare(word: str) -> str:
    """A word without the syntactic marker of an adjective, as in galore(ip)."""
    return word.partition("(")[0] if word.endswith(("(p)", "(a)", "(ip)")) else word


def _spaced(word: str) -> str:
    return word.replace("_", " ")


def _refuse(file: File, number: int, expected: str, line: str) -> NoReturn:
    raise DataError(f"{file}, line {number}: expected {expected}, found {line!r:.80}.")
