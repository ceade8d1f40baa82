"""Questions of a knowledge graph (MetaQA, Zhang et al., AAAI 2018): which of the entities that the topic leads to in so
many steps answers it? Hits@1, the mean over questions.

An encoder is fine-tuned on the questions of train, or of valid where there are none of train (dev, in a copy of MetaQA
that has only dev and test); what is reported is never learned from. The text of an entity is one of these questions.
S seeds, Q questions, N walks.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float64, Int64

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.hashing import below, hash_strings, random_u64
from training.data.kg_questions import (
    Graph,
    Question,
    Row,
    Thinned,
    Walks,
    entity_texts,
    open_questions,
    template,
    thin,
    walks_of,
)
from training.data.labelled import LabelledReader
from training.evaluation.settings import require_split, variant
from training.finetune import after
from training.kgqa import KgqaSettings, Part, Side, learn
from training.labelled_encoder import Start
from training.metrics import progress
from training.models.answerers import Contexts, JaketAnswerer, TextAnswerer

TASK = "kgqa"
HELD_OUT = 0.1
"""Share of the questions that are learned from on which the step is chosen."""
SUBSETS = ("all", "with_distractors", "new_topics")
HOPS = ("1-hop", "2-hop", "3-hop")
ROWS = (*SUBSETS, *(f"{hops} {subset}" for hops in HOPS for subset in SUBSETS))
"""Parts of the metrics; those of one number of hops where several are asked."""


@dataclasses.dataclass(frozen=True)
class KgqaQuestions:
    """The questions and their graph: the same for every system."""

    train: list[Question]
    """Those that are held out to choose the step by are among them."""
    select: Bool[np.ndarray, " T"]
    """Which of train choose the step."""
    reported: list[Question]
    graph: Graph
    ids: list[str]
    """The entities, by index."""
    texts: list[Row]
    """What stands for each of them."""
    relations: list[str]
    """Their names, by index."""
    thinned: Thinned
    settings: KgqaSettings
    protocol: dict[str, Any]

    def leave(self, folder: Path) -> None:
        """The triples that are kept, where some are not."""
        if self.settings.kg < 1:
            path = folder / f"kgqa-kg-{self.settings.kg}-{self.settings.data_seed}.tsv"
            path.write_text("".join(self.thinned.lines()), encoding="utf-8")


def prepare(dataset: Dataset, split: str, settings: KgqaSettings) -> KgqaQuestions:
    """Read the graph and the questions of train and of the split.

    Raises UsageError for an unknown split, DataError where there is no graph, nothing to learn from or to report.
    """
    require_split(TASK, split, learns=True)
    learned = "train" if _rows(dataset, "train", settings) else "valid"
    rows = {name: _rows(dataset, name, settings) for name in (learned, split)}
    if learned == split or not all(rows.values()) or not dataset.rows("triples"):
        held = ", ".join(f"{name} {len(_rows(dataset, name, settings))}" for name in ("train", "valid", "test"))
        raise DataError(
            f"{dataset.folder} has {dataset.rows('triples')} triples and for {TASK} with hops={settings.hops} these "
            f"questions: {held}. It learns from train, or without any from valid, and reports another split. Give with "
            "--data the dataset that wikiloom import metaqa made."
        )
    thinned = thin(dataset, settings.kg, settings.data_seed)
    entities = dataset.read("entities", columns=["entity", "label"])
    ids = entities["entity"].combine_chunks()
    graph = Graph.of(thinned.triples, len(ids), dataset.rows("relations"))
    train = open_questions(rows[learned], ids, graph)
    by_hops = [[row for row in rows[split] if row["group"] == hops] for hops in HOPS]
    asked = [row for own in by_hops for row in _sample(own, settings.questions, settings.data_seed, "asked")]
    reported = open_questions(asked, ids, graph)
    topics = [one.topic for one in train]
    texts = entity_texts(ids.to_pylist(), _names(entities, "entity"), rows[learned], topics, settings.data_seed)
    keys = random_u64(settings.data_seed, "kgqa/select", hash_strings(one.row["example_id"] for one in train))
    select = keys < below(HELD_OUT)
    if not select.any() or select.all():
        raise DataError(f"{dataset.folder} has too few questions of {TASK} in {learned} to choose a step by.")
    return KgqaQuestions(
        train,
        select,
        reported,
        graph,
        ids.to_pylist(),
        texts,
        _names(dataset.read("relations", columns=["relation", "label"]), "relation"),
        thinned,
        settings,
        _protocol(split, learned, train, reported, thinned, settings),
    )


def _names(rows: pa.Table, ids: str) -> list[str]:
    """Labels, or where there is none the id."""
    return pc.coalesce(rows["label"], rows[ids]).to_pylist()


def _rows(dataset: Dataset, split: str, settings: KgqaSettings) -> list[Row]:
    table = dataset.read("examples", split)
    table = table.filter(pc.equal(table["task"], TASK))
    groups = HOPS if settings.hops == "all" else (settings.hops,)
    return [row for hops in groups for row in table.filter(pc.equal(table["group"], hops)).to_pylist()]


def _sample(rows: Sequence[Row], most: int, seed: int, purpose: str) -> Sequence[Row]:
    """At most so many, chosen by a hash, in their order; 0 for all."""
    if not most or len(rows) <= most:
        return rows
    keys = random_u64(seed, f"kgqa/{purpose}", hash_strings(row["example_id"] for row in rows))
    return [rows[place] for place in np.sort(np.argsort(keys, kind="stable")[:most])]


def _protocol(
    split: str,
    learned: str,
    train: Sequence[Question],
    reported: Sequence[Question],
    thinned: Thinned,
    settings: KgqaSettings,
) -> dict[str, Any]:
    told = {
        "split": split,
        "learned_from": learned,
        "fine_tuned": True,
        "asked": {"train": len(train), "reported": len(reported)},
        "step_chosen_on": f"{HELD_OUT:.0%} of {learned}, held out by hash",
        "candidates": "all ends of a walk of so many steps from the topic, in both directions, but the topic itself",
        "without_an_answer_among_them": {
            name: sum(not one.right.any() for one in own) for name, own in (("train", train), ("reported", reported))
        },
        "metric": "hits@1, the mean over questions; equal scores give the mean of what they would hit",
        "new_topics": f"no question of {learned} has that topic",
        "graph": {
            "triples": thinned.table.num_rows,
            "of": thinned.all,
            "relations": "both directions of each triple",
            "sha256_of_lines": thinned.digest(),
        },
        "entity_texts": f"one question of {learned} that has the entity as topic, by hash, else its name",
        "spread": "mean and sample standard deviation over seeds",
        **dataclasses.asdict(settings),
    }
    if other := variant(settings, "hops", "kg", "data_seed", "answers", "entities", "questions"):
        told["variant"] = other
    return told


class RandomCandidate:
    """The rule that takes any candidate."""

    def hits(self, questions: KgqaQuestions) -> Float64[np.ndarray, " Q"]:
        """What that hits on average."""
        return np.array([one.right.mean() if len(one.candidates) else 0.0 for one in questions.reported])


class TemplateRule:
    """A question with its topic replaced is a template: its answers are at the end of the relations that lead most
    often from topic to answer in train (of equals, to the fewest others); any candidate, where there are none."""

    def __init__(self, questions: KgqaQuestions) -> None:
        self._names = sorted({template(one.row) for one in questions.train})
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._path = self._learned(questions)

    def hits(self, questions: KgqaQuestions) -> Float64[np.ndarray, " Q"]:
        """The share of answers at these ends."""
        found = RandomCandidate().hits(questions)
        for steps, chosen, walks in _walked(questions.reported, questions.graph):
            names = [self._numbers.get(template(questions.reported[i].row), -1) for i in chosen]
            wanted = np.array([self._path.get((steps, name), -1) for name in names], dtype=np.int64)
            own = walks.paths == wanted[walks.rows]
            rows, ends = np.unique(np.stack([walks.rows[own], walks.ends[own]]), axis=1)
            right = _are_answers(questions.reported, chosen, rows, ends)
            counts = np.bincount(rows, minlength=len(chosen))
            shares = np.bincount(rows, right, len(chosen)) / np.maximum(counts, 1)
            found[chosen[counts > 0]] = shares[counts > 0]
        return found

    def _learned(self, questions: KgqaQuestions) -> dict[tuple[int, int], int]:
        """(steps, template) -> path."""
        ends_of: dict[tuple[int, int, int], list[int]] = {}
        for steps, chosen, walks in _walked(questions.train, questions.graph):
            names = np.array([self._numbers[template(questions.train[i].row)] for i in chosen])
            rows, paths, ends = np.unique(np.stack([walks.rows, walks.paths, walks.ends]), axis=1)
            right = _are_answers(questions.train, chosen, rows, ends)
            keys, inverse = np.unique(np.stack([names[rows], paths]), axis=1, return_inverse=True)
            answers, all_ends = np.bincount(inverse, right), np.bincount(inverse)
            for name, path, reached, every in zip(*keys.tolist(), answers.tolist(), all_ends.tolist(), strict=True):
                counts = ends_of.setdefault((steps, name, path), [0, 0])
                counts[0] += int(reached)
                counts[1] += int(reached - every)
        best: dict[tuple[int, int], tuple[int, int, int]] = {}
        for (steps, name, path), (reached, others) in ends_of.items():
            best[steps, name] = max(best.get((steps, name), (0, 0, -1)), (reached, others, path))
        return {key: path for key, (_, _, path) in best.items()}


def _walked(questions: Sequence[Question], graph: Graph) -> Iterator[tuple[int, Int64[np.ndarray, " B"], Walks]]:
    topics, steps = (np.array([getattr(one, name) for one in questions], np.int64) for name in ("topic", "steps"))
    return walks_of(graph, topics, steps)


def _are_answers(
    questions: Sequence[Question],
    chosen: Int64[np.ndarray, " B"],
    rows: Int64[np.ndarray, " N"],
    ends: Int64[np.ndarray, " N"],
) -> Bool[np.ndarray, " N"]:
    """Which ends answer the question of their row; rows are sorted."""
    edges = np.searchsorted(rows, np.arange(len(chosen) + 1))
    parts = [
        np.isin(ends[begin:end], questions[i].answers)
        for i, begin, end in zip(chosen, edges[:-1], edges[1:], strict=True)
    ]
    return np.concatenate([np.empty(0, bool), *parts])


def ask(system: Start | RandomCandidate | TemplateRule, questions: KgqaQuestions) -> dict[str, Any]:
    """Hits@1 of `all` questions, of those `with_distractors`, of those with `new_topics`, and of each number of hops.
    Means over the seeds with standard deviations (`_sd`); `seeds` has each seed's own.

    UsageError for candidates that the system has no vectors of.
    """
    if not isinstance(system, Start):
        return _metrics(system.hits(questions)[None], questions)
    settings, side = questions.settings, side_of(system, questions.settings)
    reader = _reader(system, questions, side)
    parts, model_of = _parts(questions, reader), _models(system, questions, reader, side)
    with progress(settings.seeds * settings.steps, 0, settings.batch_size, what=TASK, unit="questions") as report:
        seeds = []
        for number in range(settings.seeds):
            seed = settings.seed + number
            torch.manual_seed(int(random_u64(seed, "kgqa/start") >> 1))
            own = after(number * settings.steps, report)
            seeds.append(learn(model_of(seed), parts, settings, seed, own))
    found = _metrics(np.stack([one.pop("hits") for one in seeds]), questions)
    return {**found, "inputs": dict(sorted(reader.counts.items())), "seeds": seeds}


def side_of(start: Start, settings: KgqaSettings) -> Side:
    """What stands for a candidate; UsageError for what the system lacks."""
    knows = start.jaket is not None and start.jaket.knowledge is not None
    if settings.answers == "auto":
        return "memory" if knows else "text"
    if settings.answers != "text" and not knows:
        raise UsageError(
            f"--set answers={settings.answers}: {start.name} has no knowledge module of JAKET's. Take answers=text."
        )
    return settings.answers


def _reader(start: Start, questions: KgqaQuestions, side: Side) -> LabelledReader:
    """What reads questions and texts: without markers, with the topic's words linked where the graph is read."""
    linked = side != "text" and questions.settings.entities
    ids = {entity: index for index, entity in enumerate(questions.ids)} if linked else None
    length = min(questions.settings.max_length, start.max_length)
    return LabelledReader(start.tokenizer, start.special, {}, ids, length, nodes=start.jaket is None)


def _models(
    start: Start, questions: KgqaQuestions, reader: LabelledReader, side: Side
) -> Callable[[int], TextAnswerer | JaketAnswerer]:
    """seed -> what learns; texts are read, and context embeddings made of them, once for all seeds."""
    texts, dropout = [reader.read(text) for text in questions.texts], questions.settings.dropout
    if side == "text":
        return lambda _seed: TextAnswerer(start, texts, dropout)
    relations = [reader.read({"text": name, "text_b": None, "mentions": []}) for name in questions.relations]
    contexts, own = Contexts.of(start, texts, relations), {"after_graph": side == "graph", "dropout": dropout}
    return lambda seed: JaketAnswerer(start, contexts, questions.graph.edges, seed=seed, **own)


def _parts(questions: KgqaQuestions, reader: LabelledReader) -> dict[str, Part]:
    train = [one for one, held in zip(questions.train, questions.select, strict=True) if one.teaches and not held]
    if not train:
        raise DataError(
            f"None of the {len(questions.train)} questions that there are to learn from has an answer and another "
            f"entity in reach, in {questions.thinned.table.num_rows} triples. Keep more of these: --set kg=1."
        )
    select = [questions.train[i] for i in np.flatnonzero(questions.select)]
    chosen = _chosen(select, questions.settings)
    parts = {"train": train, "select": chosen, "reported": questions.reported}
    return {name: Part(own, [reader.read(one.row) for one in own]) for name, own in parts.items()}


def _chosen(select: Sequence[Question], settings: KgqaSettings) -> list[Question]:
    kept = _sample([one.row for one in select], settings.select_questions, settings.data_seed, "chosen")
    ids = {row["example_id"] for row in kept}
    return [one for one in select if one.row["example_id"] in ids]


def _metrics(hits: Float64[np.ndarray, "S Q"], questions: KgqaQuestions) -> dict[str, Any]:
    asked = questions.reported
    known = {one.topic for one in questions.train}
    groups = np.array([one.row["group"] for one in asked])
    subsets = {
        "all": np.ones(len(asked), bool),
        "with_distractors": np.array([one.has_distractor or not len(one.candidates) for one in asked]),
        "new_topics": np.array([one.topic not in known for one in asked]),
    }
    found = {name: _figures(hits[:, own]) for name, own in subsets.items()}
    if len(set(groups)) > 1:
        for hops in sorted(set(groups)):
            found |= {f"{hops} {name}": _figures(hits[:, own & (groups == hops)]) for name, own in subsets.items()}
    return found


def _figures(hits: Float64[np.ndarray, "S Q"]) -> Mapping[str, float | int]:
    if not hits.shape[1]:
        return {"questions": 0}
    each = hits.mean(axis=1)
    found: dict[str, float | int] = {"questions": hits.shape[1], "hits@1": float(each.mean())}
    return found | ({"hits@1_sd": float(each.std(ddof=1))} if len(each) > 1 else {})
