"""The leakage report of a dataset."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.audit.held import Excluded, Vocabulary, read_excluded, read_held, require_indices, unseen
from pipelines.audit.inductive import Inductive, check_inductive
from pipelines.audit.pairs import LEAKS, RelationPair, find_leaks
from pipelines.audit.proof import Proof, prove
from pipelines.audit.texts import WAYS, find_text_leaks
from pipelines.facts import Facts, graph_split
from pipelines.names import read_names
from pipelines.report.funnel import read_drops
from schemas.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Report:
    """All of it; `document` is what --json prints."""

    document: dict[str, Any]
    violations: list[str]
    """What must not be, a line each; the command's exit code is 1 where there is one."""


def audit(folder: Path, *, exclude_triples: Path | None = None, overlap: float = 0.8) -> Report:
    """Read a dataset and report its leaks. DataError where it is no dataset, or the list of facts is none."""
    dataset = Dataset(folder)
    names = Vocabulary(*read_names(dataset))
    require_indices(dataset, names)
    column = graph_split(dataset)
    held = read_held(dataset, column)
    banned, excluded = read_excluded(exclude_triples, dataset, names) if exclude_triples else (None, None)
    proofs = list(prove(dataset, {**held, **({"excluded": banned} if banned is not None else {})}, names))
    leaks = find_leaks(dataset, column, held, names, overlap)
    texts = find_text_leaks(dataset, held, names)
    inductive = check_inductive(dataset, names)
    new = unseen(dataset, held, column, names)
    masks = {split: {**leaks.masks[split], **texts.masks[split]} for split in held}
    examples = {split: {**leaks.examples[split], **texts.examples[split]} for split in held}
    labels = dataset.read("relations", columns=["label"])["label"].to_pylist()
    document = {
        "digest": dataset.digest,
        "graph_split": column,
        "graphs": [dataclasses.asdict(proof) for proof in proofs],
        "excluded": dataclasses.asdict(excluded) if excluded else None,
        "excluded_by_build": read_drops(dataset.manifest).get("graph", {}).get("excluded", 0),
        "splits": {
            split: {"facts": len(facts), **_counts(masks[split]), **new[split], "examples": examples[split]}
            for split, facts in held.items()
        },
        "relation_overlap": overlap,
        "near_relations": [_near_row(pair, names) for pair in leaks.near],
        "relations": _relation_rows(held, masks, names, labels),
        "text": texts.read,
        "inductive": dataclasses.asdict(inductive) if inductive else None,
    }
    return Report(document, list(_violations(document, proofs, excluded, inductive)))


def _counts(masks: dict[str, np.ndarray]) -> dict[str, int]:
    return {kind: int(mask.sum()) for kind, mask in masks.items()}


def _near_row(pair: RelationPair, names: Vocabulary) -> dict[str, Any]:
    one, other = (names.relations[relation] for relation in pair.relations)
    return {"kind": pair.kind, "relations": [one, other], "common": pair.common, "shares": list(pair.shares)}


def _relation_rows(
    held: dict[str, Facts], masks: dict[str, dict[str, np.ndarray]], names: Vocabulary, labels: list[str | None]
) -> list[dict[str, Any]]:
    """For each split and relation, its facts and how many of them leak in each way; the most leaking first."""
    rows = []
    for split, facts in held.items():
        relations, of = np.unique(facts.relations, return_inverse=True)
        counts = {kind: np.bincount(of[mask], minlength=len(relations)) for kind, mask in masks[split].items()}
        for place, size in enumerate(np.bincount(of, minlength=len(relations)).tolist()):
            leaking = {kind: int(counts[kind][place]) for kind in (*LEAKS, *WAYS)}
            name = {"relation": names.relations[relations[place]], "label": labels[relations[place]]}
            rows.append({"split": split, **name, "facts": size, **leaking})
    return sorted(rows, key=lambda row: (-row["linked"], -row["facts"], row["split"], row["relation"]))


def _violations(
    document: dict[str, Any], proofs: list[Proof], excluded: Excluded | None, inductive: Inductive | None
) -> Iterator[str]:
    for proof in proofs:
        for name, count in proof.found.items():
            if count:
                yield f"{proof.table}: {count} times a fact of {name} is in a graph: {'; '.join(proof.examples)}"
    if excluded and excluded.in_triples:
        yield f"triples: {excluded.in_triples} excluded facts: {'; '.join(excluded.examples)}"
    for split, counts in document["splits"].items():
        if counts["in_train"]:
            examples = "; ".join(counts["examples"]["in_train"])
            yield f"triples: {counts['in_train']} facts of {split} are in train: {examples}"
    if inductive and any(inductive.shared_entities.values()):
        yield f"triples: the inductive split is not disjoint: {'; '.join(inductive.examples)}"
