"""The inductive split: sides that share no entity, and relations that train has."""

import dataclasses

import numpy as np

from pipelines.audit.held import Vocabulary
from pipelines.facts import INDICES, TRUE_SPLITS
from pipelines.scan import scan
from schemas.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Inductive:
    """Facts, entities and relations of each side, and what should not be."""

    facts: dict[str, int]
    entities: dict[str, int]
    relations: dict[str, int]
    shared_entities: dict[str, int]
    """"train and test" -> entities that facts of both sides have; must be 0."""
    relations_not_in_train: dict[str, int]
    examples: list[str]


def check_inductive(dataset: Dataset, names: Vocabulary) -> Inductive | None:
    """Read inductive_split of every fact; None where no fact is in its valid or test."""
    facts = dict.fromkeys([*TRUE_SPLITS, "dropped"], 0)
    entities = {side: np.zeros(len(names.entities), bool) for side in TRUE_SPLITS}
    relations = {side: np.zeros(len(names.relations), bool) for side in TRUE_SPLITS}
    for split in TRUE_SPLITS:
        for rows in scan(dataset, "triples", [*INDICES, "inductive_split"], split=split):
            sides = rows["inductive_split"].to_numpy()
            heads, kinds, tails = (rows[name].to_numpy() for name in INDICES)
            for side in facts:
                own = sides == side
                facts[side] += int(own.sum())
                if side in entities:
                    entities[side][heads[own]] = entities[side][tails[own]] = relations[side][kinds[own]] = True
    if not facts["valid"] + facts["test"]:
        return None
    shared, examples = {}, []
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        both = np.flatnonzero(entities[one] & entities[other])
        shared[f"{one} and {other}"] = len(both)
        examples += [f"{names.entities[index]} is in inductive {one} and {other}" for index in both[:1]]
    missing = {side: int((relations[side] & ~relations["train"]).sum()) for side in ("valid", "test")}
    sizes = ({side: int(mask.sum()) for side, mask in masks.items()} for masks in (entities, relations))
    return Inductive(facts, *sizes, shared, missing, examples)
