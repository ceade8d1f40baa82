"""Entity classification on an unseen graph (JAKET, Yu et al., AAAI 2022, section 4.3): which class is an entity of, in
a part of the graph that pre-training has not met? The authors' part is not published; ours is what the inductive split
of a dataset holds out as test: a connected part, of whose entities none is in a triple of that split's train.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.source import FACTS, NAME, Source, Told
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count
from pipelines.sources.tasks import Tasks, mention
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import below, hash_strings, random_u64
from schemas.origin import licences

TASK = "entity-classification"
SIDE = "test"
SEED = 0
INSTANCE_OF = "P31"
"""Its triples say what is asked."""
TRAIN, VALID = 0.2, 0.4
"""Shares of the labelled entities: train ends and valid ends; the others are test."""
CUTS = ((0.05, "train-5"), (0.2, "train-20"), (1.0, "train-100"))
"""Shares of train, each part of the next, and the group of what the share before does not have."""
DESCRIBED = ("lead", "description")
"""Where an entity's text says more than its name."""


def read(format: str, files: Published) -> Source:
    """Of a dataset's folder: label = the entity's class, text = its text, mention = its own first one there.

    DataError where the dataset has no inductive split, or no classes.
    """
    dataset = Dataset(files.source)
    entities, relations = dataset.read("entities"), dataset.read("relations")
    triples = dataset.read("triples", columns=["head", "relation", "tail", "inductive_split"])
    triples = triples.filter(pc.equal(triples["inductive_split"], SIDE))
    part = entities.filter(pc.equal(entities["inductive_split"], SIDE))
    asked = pc.not_equal(triples["relation"], INSTANCE_OF)
    tasks = Tasks(TASK)
    stage = tasks.open(File("manifest.json", files.source / "manifest.json"), TASK)
    said = Counter(category for own in entities["categories"].to_pylist() for category in own)
    _add(tasks, stage, part, said)
    if not (len(triples) and tasks.ledger.counts[stage].out):
        raise DataError(
            f"{dataset.folder} has {len(part)} entities on the {SIDE} side of its inductive split, "
            f"{tasks.ledger.counts[stage].out} with a class. Make it again: wikiloom import ... --split inductive "
            "--test N, and --types FILE where its files have no classes."
        )
    said_of = Counter(instance_of=len(triples) - pc.sum(asked).as_py())
    tasks.ledger.counts["triples"] = Count("triples", len(triples), said_of)
    return _source(tasks, dataset, part, relations, triples.filter(asked))


def _add(tasks: Tasks, stage: str, part: pa.Table, said: Counter[str]) -> None:
    """The labelled entities as examples. Of several classes the one that most entities of the whole dataset have (of
    equals the first by UTF-8) is the label."""
    keys = random_u64(SEED, TASK, hash_strings(part["entity"].to_pylist()))
    columns = ("entity", "label", "text", "text_mention", "categories")
    for row, key in zip(part.select(columns).to_pylist(), keys, strict=True):
        tasks.count("entities", "entities", ["" if row["categories"] else "no_class"])
        if not row["categories"]:
            continue
        label = min(row["categories"], key=lambda name: (-said[name], name.encode()))
        split, group = _place(key)
        span, text = row["text_mention"], row["text"] or row["label"] or row["entity"]
        mentions = [mention((span["start"], span["end"]), row["entity"], "target")] if span else []
        columns_of = {"mentions": mentions, "label": label, "answers": [row["entity"]]}
        tasks.add(stage, row["entity"], split, group, text, **columns_of)


def _place(key: np.uint64) -> tuple[str, str]:
    """(split, group) of an entity by its hash."""
    if key >= below(TRAIN):
        split = "valid" if key < below(VALID) else "test"
        return split, split
    return "train", next(group for share, group in CUTS if key < below(TRAIN * share))


def _source(tasks: Tasks, dataset: Dataset, part: pa.Table, relations: pa.Table, triples: pa.Table) -> Source:
    """The part as a graph of its own; relations that none of its triples has are left out."""
    columns = [triples[name].combine_chunks().cast(NAME) for name in ("head", "relation", "tail")]
    own = relations.filter(pc.is_in(relations["relation"], value_set=triples["relation"].combine_chunks()))
    names = licences(dataset.manifest)
    whole = tasks.source(names[0] if len(names) == 1 else "other")
    return Source(
        facts=pa.table([*columns, pa.array(np.zeros(len(triples), np.int8))], schema=FACTS),
        listed=[part["entity"].combine_chunks()],
        entities=[
            *(_told(name, part, "entity", name) for name in ("label", "aliases", "categories", "kind")),
            _told("description", part.filter(pc.is_in(part["text_source"], pa.array(DESCRIBED))), "entity", "text"),
        ],
        relations=[_told(name, own, "relation", name) for name in ("label", "aliases", "description")],
        examples=whole.examples,
        rejects=whole.rejects,
        ledger=tasks.ledger,
        language=str(dataset.manifest.rest.get("language", "en")),
        licence=whole.licence,
    )


def _told(name: str, rows: pa.Table, ids: str, column: str) -> Told:
    return Told(name, rows[ids], rows[column], Count("names"))
