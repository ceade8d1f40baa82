"""The facts that training must not see: valid, test, and a list of excluded ones."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import values
from pipelines.facts import INDICES, TRUE_SPLITS, Facts, read_facts
from pipelines.names import Names
from pipelines.scan import scan, scan_places
from pipelines.sources.lists import read_fact_lines
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.origin import inputs

EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Entities and relations by name and index, for examples that can be read."""

    entities: Names
    relations: Names

    def fact(self, head: int | np.integer, relation: int | np.integer, tail: int | np.integer) -> str:
        """A fact by its names."""
        return f"({self.entities[head]}, {self.relations[relation]}, {self.entities[tail]})"


@dataclasses.dataclass(frozen=True)
class Excluded:
    """The list of --exclude-triples against the dataset."""

    listed: int
    """Distinct facts on the list."""
    unknown: int
    """Of them, with an entity or relation that the dataset does not have."""
    of_the_build: bool
    """Whether the build was given the same file."""
    in_triples: int
    examples: list[str]


def read_excluded(path: Path, dataset: Dataset, names: Vocabulary) -> tuple[Facts, Excluded]:
    """The list's facts by index; DataError for a line that is not head TAB relation TAB tail."""
    rows = set(read_fact_lines(path))
    columns = [pa.array(column, pa.string()) for column in zip(*sorted(rows), strict=True)] or [
        pa.array([], pa.string())
    ] * 3
    indices = [
        known.index(column)
        for known, column in zip((names.entities, names.relations, names.entities), columns, strict=True)
    ]
    known = np.minimum(np.minimum(indices[0], indices[1]), indices[2]) >= 0
    facts = Facts.of(*(index[known] for index in indices))
    found, examples = 0, []
    for place, start, batch in scan_places(dataset, "triples", [*INDICES, "split"]):
        inside = np.flatnonzero(facts.find(*(values(batch, name).to_numpy() for name in INDICES)) >= 0)
        found += len(inside)
        for row in inside[: EXAMPLES - len(examples)].tolist():
            fact = names.fact(*(batch[name][row].as_py() for name in INDICES))
            examples.append(f"{place}, row {start + row}: {fact} in {batch['split'][row]}")
    digest = sinks.file_digest(path)
    same = any(file.get("sha256") == digest for file in inputs(dataset.manifest))
    return facts, Excluded(len(rows), int((~known).sum()), same, found, examples)


def read_held(dataset: Dataset, column: str) -> dict[str, Facts]:
    """Split -> its facts, for the splits that are held out of the graphs."""
    return {split: read_facts(dataset, [split], column) for split in TRUE_SPLITS[1:]}


def require_indices(dataset: Dataset, names: Vocabulary) -> None:
    """DataError where a triple points beyond the entities or relations: nothing can be said of it."""
    sizes = len(names.entities), len(names.relations), len(names.entities)
    for path, _, rows in scan_places(dataset, "triples", INDICES):
        for name, size in zip(INDICES, sizes, strict=True):
            index = rows[name].to_numpy()
            if len(index) and not (index.min() >= 0 and index.max() < size):
                raise DataError(f"{path}: a {name} is not one of {size}. Run wikiloom validate {dataset.folder}.")


def unseen(dataset: Dataset, held: dict[str, Facts], column: str, names: Vocabulary) -> dict[str, dict[str, int]]:
    """Split -> how many of its facts, entities and relations have no train fact."""
    entities, relations = np.zeros(len(names.entities), bool), np.zeros(len(names.relations), bool)
    for split in TRUE_SPLITS:
        for rows in scan(dataset, "triples", [*INDICES, column], split=split):
            train = rows.filter(pc.equal(rows[column], "train"))
            for name, seen in zip(INDICES, (entities, relations, entities), strict=True):
                seen[train[name].to_numpy()] = True
    found = {}
    for split, facts in held.items():
        new_entities = ~entities[np.concatenate([facts.heads, facts.tails])]
        new_relations = ~relations[facts.relations]
        halves = new_entities[: len(facts)] | new_entities[len(facts) :]
        found[split] = {
            "facts_with_unseen_entity": int(halves.sum()),
            "facts_with_unseen_relation": int(new_relations.sum()),
            "unseen_entities": len(np.unique(np.concatenate([facts.heads, facts.tails])[new_entities])),
            "unseen_relations": len(np.unique(facts.relations[new_relations])),
        }
    return found
