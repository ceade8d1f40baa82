"""False triples to classify: those that a benchmark gives, or our own, kept in a file so that all systems see the same.

The file has a line for each: head TAB relation TAB tail TAB split, by the dataset's ids, split valid_negatives or
test_negatives: what `wikiloom import tsv` reads as well. N triples.
"""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from schemas.hashing import random_u64
from training.data.setting import SPLITS, as_array
from training.evaluation.facts import Facts
from training.evaluation.ranking import KnownAnswers, Side
from training.evaluation.sampled_ranking import missing

Array = np.ndarray
SUFFIX = "_negatives"
ASKED = ("valid", "test")
"""Splits that have negatives."""
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class Negatives:
    """False triples by split, and where they are from."""

    triples: dict[str, Int64[Array, "_ 3"]]
    source: str
    """given, sampled or file."""
    text: str
    """As a file."""
    without: dict[str, int] = dataclasses.field(default_factory=dict)
    """By split: true triples that no false one could be drawn for."""

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def protocol(self, facts: Facts, seed: int) -> dict[str, Any]:
        """What a result says of them; `known_facts` are those that some split holds true."""
        every, false = (
            _keys(facts, each) for each in (facts.triples(*SPLITS), np.concatenate([*self.triples.values()]))
        )
        said: dict[str, Any] = {
            "source": self.source,
            **{split: len(self.triples[split]) for split in ASKED},
            "known_facts": int(np.isin(false, every).sum()),
            "sha256": self.sha256,
        }
        if self.source == "sampled":
            said |= {"seed": seed, "corrupted": "head or tail, equal chances", "without": self.without}
        return said


def find_negatives(dataset: Dataset, facts: Facts, wanted: str, seed: int) -> Negatives:
    """The negatives of valid and test. `wanted` is given, sampled, or a file, which is written where there is none;
    empty: given where the dataset has any, else sampled.

    Raises DataError where the dataset has none to give, and for a file that is not one of this dataset's negatives;
    UsageError for a file that can't be made.
    """
    has = all(dataset.rows("triples", split + SUFFIX) for split in ASKED)
    if wanted == "given" and not has:
        raise DataError(
            f"{dataset.folder} has no negatives of its own (FB13, WN11 and CoDEx do). Take negatives_from=sampled."
        )
    names = _Names(dataset)
    if wanted not in ("", "given", "sampled"):
        if not Path(wanted).exists():
            _make(wanted, _sampled(facts, names, seed))
        return _read(Path(wanted), names)
    if wanted == "sampled" or not has:
        return _sampled(facts, names, seed)
    triples = {split: as_array(dataset.read("triples", split + SUFFIX)) for split in ASKED}
    return Negatives(triples, "given", names.lines(triples))


def write(path: Path, negatives: Negatives) -> None:
    """Write the file, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(negatives.text, encoding="utf-8")
    os.replace(temporary, path)


def _make(wanted: str, negatives: Negatives) -> None:
    if not wanted.endswith(".tsv") and os.sep not in wanted:
        raise UsageError(
            f"negatives_from={wanted}: expected given, sampled, or a file as NAME.tsv or a path."
            f"{nearest(wanted.lower(), ['given', 'sampled'])}"
        )
    try:
        write(Path(wanted), negatives)
    except OSError as error:
        raise UsageError(f"negatives_from={wanted} can't be made ({error.strerror}). Name a file elsewhere.") from None


def corrupted(
    facts: Facts, triples: Int64[Array, "N 3"], seed: int, split: str
) -> tuple[Int64[Array, "M 3"], Int64[Array, " W"]]:
    """(a false triple for each true one, the rows that have none).

    Head or tail by a coin, then uniformly among the entities that make no fact of any split there; where all of them
    do, the other side. Coin and draw are hashes of (seed, triple).
    """
    purpose = f"triple-classification/{split}"
    coins = random_u64(seed, f"{purpose}/side", *triples.T) >> np.uint64(63)
    words = random_u64(seed, f"{purpose}/entity", *triples.T) >> _HALF
    sides: tuple[Side, Side] = ("head", "tail")
    answers = {side: KnownAnswers(facts, SPLITS, side).lists(triples) for side in sides}
    false, without = [], []
    for row, (coin, word) in enumerate(zip(coins.tolist(), words.tolist(), strict=True)):
        for side in (sides[coin], sides[1 - coin]):
            known = answers[side][row]
            if len(known) < facts.entities:
                triple = triples[row].copy()
                place = np.array([word * (facts.entities - len(known)) >> 32])
                triple[0 if side == "head" else 2] = missing(known, place)[0]
                false.append(triple)
                break
        else:
            without.append(row)
    return np.array(false, np.int64).reshape(-1, 3), np.array(without, np.int64)


def _keys(facts: Facts, triples: Int64[Array, "N 3"]) -> Int64[Array, " N"]:
    return (triples[:, 0] * facts.relations + triples[:, 1]) * facts.entities + triples[:, 2]


def _sampled(facts: Facts, names: "_Names", seed: int) -> Negatives:
    drawn = {split: corrupted(facts, facts.splits[split], seed, split) for split in ASKED}
    triples = {split: false for split, (false, _) in drawn.items()}
    without = {split: len(rows) for split, (_, rows) in drawn.items()}
    return Negatives(triples, "sampled", names.lines(triples), without)


class _Names:
    """The ids of a dataset, both ways."""

    def __init__(self, dataset: Dataset) -> None:
        self._folder = dataset.folder
        self._entities, self._relations = (
            dataset.read(f"{table}", columns=[column])[column].to_pylist()
            for table, column in (("entities", "entity"), ("relations", "relation"))
        )

    def lines(self, triples: dict[str, Int64[Array, "_ 3"]]) -> str:
        return "".join(
            f"{self._entities[h]}\t{self._relations[r]}\t{self._entities[t]}\t{split}{SUFFIX}\n"
            for split, part in triples.items()
            for h, r, t in part.tolist()
        )

    def triples(self, path: Path, text: str) -> dict[str, Int64[Array, "_ 3"]]:
        entities, relations = ({name: i for i, name in enumerate(each)} for each in (self._entities, self._relations))
        found: dict[str, list[list[int]]] = {split: [] for split in ASKED}
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                head, relation, tail, split = line.split("\t")
                if not split.endswith(SUFFIX):
                    raise ValueError(f"split {split} is of true triples")
                found[split.removesuffix(SUFFIX)].append([entities[head], relations[relation], entities[tail]])
            except (ValueError, KeyError) as error:
                raise DataError(
                    f"{path}, line {number}: expected head, relation and tail of {self._folder} and valid{SUFFIX} or "
                    f"test{SUFFIX}, with tabs between them ({type(error).__name__}: {str(error)[:80]}). Name a new "
                    "file to have it made."
                ) from None
        return {split: np.array(part, np.int64).reshape(-1, 3) for split, part in found.items()}


def _read(path: Path, names: _Names) -> Negatives:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as a file of negatives ({str(error)[:80]}).") from error
    return Negatives(names.triples(path, text), "file", text)
