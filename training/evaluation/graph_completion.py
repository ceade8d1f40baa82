"""Word-knowledge-graph completion (Sun et al., COLING 2020, section 4.4): which relation a text states of two entities.

A sample is an example with a head and a tail mention and their relation, which is ranked among all relations of the
dataset. CoLAKE reads the words with both entities as anchors and one masked relation node between them; systems that
read no text score the pair. Two parts are reported apart: transductive (head, tail and relation seen in training, the
fact not known) and inductive (one of the two entities unseen). An unseen entity's own node is masked, and it is
represented by its neighbours: its facts in the dataset with it as the head, those of the sample's own pair left out.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from pydantic import Field
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import hash_string, random_u64
from training.data.graphs import Graph
from training.data.setting import SPLITS
from training.data.special import load_tokenizer
from training.evaluation import bootstrap, ranking
from training.evaluation.completion_samples import (
    KNOWN,
    NO_RELATION,
    Sample,
    Seen,
    partition,
    read_samples,
    triples_of,
)
from training.evaluation.facts import Facts, Groups, read_facts
from training.evaluation.masked_rules import TrainGraphs, read_train_graphs
from training.evaluation.ranking import rank_by_counting
from training.evaluation.ranks import HITS, Ranks, join
from training.evaluation.settings import require_split
from training.scoring import RelationScorer
from training.weaving import MentionTokenizer

PARTS = ("transductive", "inductive")
METRICS = ("mr", "mrr", *(f"hits@{k}" for k in HITS))


@runtime_checkable
class GraphReader(Protocol):
    """What reads a word-knowledge graph: CoLAKE."""

    def relation_logits(
        self,
        graphs: Sequence[Graph],
        triple: Int64[np.ndarray, " B"],
        hidden: Sequence[Bool[np.ndarray, " A"]] = (),
    ) -> Float[Tensor, "B R"]:
        """Scores of every relation at the relation node of one triple of each graph; `hidden` anchors are masked."""
        ...


@dataclasses.dataclass(frozen=True)
class GraphCompletionSettings:
    """What `--set` can change."""

    examples: str = ""
    """Folder of another dataset that has the examples, told by QIDs; evaluate has --data for it."""
    unseen_input: Literal["mask", "name"] = "mask"
    """What stands at an unseen entity's node: the mask symbol, or the entity's own row, which is made of its name."""
    both_unseen: Literal["skip", "keep"] = "skip"
    """Whether samples of which both entities are unseen belong to the inductive part."""
    neighbours: Annotated[int, Field(ge=0, le=1_000)] = 15
    """Facts that represent an unseen entity, at most: those with the smallest hashes."""
    max_units: Annotated[int, Field(ge=8)] = 254
    """Samples with more words and anchors than this are left out."""
    resamples: Annotated[int, Field(ge=1)] = 1_000
    """Of the bootstrap."""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class CompletionQuestions:
    """The samples and their graphs, the same for every system. N samples."""

    examples: Dataset
    facts: Facts
    train: TrainGraphs
    samples: list[Sample]
    graphs: list[Graph]
    """The first triple is the one that is asked for."""
    hidden: list[Bool[np.ndarray, " A"]]
    """Which anchors of each graph show the mask symbol."""
    inductive: Bool[np.ndarray, " N"]
    settings: GraphCompletionSettings
    protocol: dict[str, Any]

    @property
    def triples(self) -> Int64[np.ndarray, "N 3"]:
        """Head, relation and tail of each sample."""
        return triples_of(self.samples)

    def known(self, rows: slice) -> tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]:
        """(row, relation) of everything that the dataset or a sample says of the pairs: the filter."""
        said, by_pair = self._said
        which, found = by_pair.find(_pairs(self.triples[rows], self.facts))
        return torch.from_numpy(which), torch.from_numpy(said[found, 1])

    @functools.cached_property
    def _said(self) -> tuple[Int64[np.ndarray, "K 3"], Groups]:
        """Every fact that is known to anybody, and the rows of each pair."""
        said = np.unique(np.concatenate([self.facts.triples(*SPLITS), self.triples]), axis=0)
        return said, Groups(_pairs(said, self.facts))


def prepare(
    dataset: Dataset, split: str, settings: GraphCompletionSettings, tokens: Dataset | None = None
) -> CompletionQuestions:
    """Read the split's samples and lay out their graphs (without words where there are no `tokens`: for systems that
    read none); DataError where no sample is left."""
    require_split("graph-completion", split)
    facts, train = read_facts(dataset), read_train_graphs(dataset)
    seen = Seen.of(facts, train)
    examples = Dataset(settings.examples) if settings.examples else dataset
    samples, left_out = read_samples(dataset, examples, split)
    read, unseen, units = len(samples) + left_out.total(), partition(samples, seen), _units(samples, tokens)
    chosen = _asked(unseen, units, left_out, settings)
    if not len(chosen):
        raise DataError(
            f"{examples.folder} has no sample for graph-completion in the {read} examples of split {split} (left out: "
            f"{_said(left_out)}). It takes examples with a head, a tail and a relation of the graph: wikiloom weave."
        )
    layout = _Layout(facts, seen, settings)
    graphs = [layout.graph(samples[place], units[place]) for place in chosen]
    inductive = unseen[chosen] > 0
    alone = [len(graph.triples) == 1 for graph, own in zip(graphs, inductive, strict=True) if own]
    counts = {"transductive": int((~inductive).sum()), "inductive": len(alone), "without_neighbours": sum(alone)}
    asked = {"split": split, "graph": dataset.digest, "examples": read, "samples": counts}
    return CompletionQuestions(
        examples=examples,
        facts=facts,
        train=dataclasses.replace(train, facts=facts.splits["train"]),
        samples=[samples[place] for place in chosen],
        graphs=graphs,
        hidden=[layout.hidden(samples[place]) for place in chosen],
        inductive=inductive,
        settings=settings,
        protocol=_protocol(settings, facts, asked, left_out),
    )


def sample_ranks(system: GraphReader | RelationScorer, questions: CompletionQuestions) -> Ranks:
    """The rank of each sample's relation."""
    triples, parts = questions.triples, []
    size = max(1, ranking.SCORES_AT_ONCE // max(1, questions.facts.relations))
    for start in range(0, len(triples), size):
        rows = slice(start, start + size)
        if isinstance(system, RelationScorer):
            heads, gold, tails = torch.from_numpy(triples[rows].copy()).unbind(dim=1)
            scores = system.relations(heads, tails)
        else:
            graphs, gold = questions.graphs[rows], torch.from_numpy(triples[rows, 1].copy())
            scores = system.relation_logits(graphs, np.zeros(len(graphs), dtype=np.int64), questions.hidden[rows])
        parts.append(rank_by_counting(scores, gold, questions.known(rows)))
    return join(parts)


def graph_completion(system: GraphReader | RelationScorer, questions: CompletionQuestions) -> dict[str, Any]:
    """The metrics: {"transductive": {...}, "inductive": {...}, "intervals": {...}}.

    Each part has samples, relations, the metrics over its samples, and as macro_* the means over its relations of
    their samples' means; "intervals" has low and high of each.
    """
    values = metric_values(sample_ranks(system, questions).by("realistic"))
    relations = questions.triples[:, 1]
    parts: dict[str, Any] = {part: {"samples": 0} for part in PARTS}
    intervals = {}
    for part, chosen in zip(PARTS, (~questions.inductive, questions.inductive), strict=True):
        if chosen.any():
            parts[part], intervals[part] = _metrics(values[chosen], relations[chosen], questions.settings)
    return parts | {"intervals": intervals}


def metric_values(ranks: Float64[Tensor, " N"]) -> Float64[np.ndarray, "N K"]:
    """METRICS of each sample alone."""
    columns = [ranks, ranks.reciprocal(), *((ranks <= k).double() for k in HITS)]
    return torch.stack(columns, dim=1).numpy()


def _metrics(
    values: Float64[np.ndarray, "N K"], relations: Int64[np.ndarray, " N"], settings: GraphCompletionSettings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(metrics, their intervals) of one part."""
    names = [*METRICS, *(f"macro_{name}" for name in METRICS)]
    drawn = bootstrap.resampled(values, relations, seed=settings.seed, resamples=settings.resamples)
    low, high = bootstrap.interval(drawn).reshape(2, -1).tolist()
    counts = {"samples": len(values), "relations": len(np.unique(relations))}
    found = dict(zip(names, bootstrap.means(values, relations).ravel().tolist(), strict=True))
    ends = {name: {"low": low[place], "high": high[place]} for place, name in enumerate(names)}
    return counts | found, ends


def _asked(
    unseen: Int64[np.ndarray, " N"],
    units: Sequence[Sequence[int]],
    left_out: Counter[str],
    settings: GraphCompletionSettings,
) -> Int64[np.ndarray, " K"]:
    """Places of the samples that are asked; the others are counted in `left_out` by reason."""
    most = 2 if settings.both_unseen == "keep" else 1
    fits = (unseen >= 0) & (unseen <= most)
    long = np.array([len(one) > settings.max_units for one in units], dtype=bool)
    left_out["known_in_train"] += int((unseen == KNOWN).sum())
    left_out["relation_unseen"] += int((unseen == NO_RELATION).sum())
    left_out["both_unseen"] += int((unseen > most).sum())
    left_out["too_long"] += int((fits & long).sum())
    return np.flatnonzero(fits & ~long)


class _Layout:
    """Samples as word-knowledge graphs."""

    def __init__(self, facts: Facts, seen: Seen, settings: GraphCompletionSettings) -> None:
        self._seen, self._settings = seen, settings
        self._triples = facts.triples(*SPLITS)
        self._by_head = Groups(self._triples[:, 0])

    def graph(self, sample: Sample, units: list[int]) -> Graph:
        """Both anchors, the triple that is asked for, and the neighbours of an unseen anchor."""
        anchors = self._anchors(sample)
        triples = [(anchors.index(sample.head), sample.relation, sample.tail)]
        for anchor in np.flatnonzero(~self._seen.entities[anchors]).tolist():
            triples += [(anchor, relation, tail) for _, relation, tail in self._neighbours(sample, anchors, anchor)]
        return Graph(
            np.array(units, dtype=np.int32), np.array(anchors, dtype=np.int32), np.array(triples, dtype=np.int32)
        )

    def hidden(self, sample: Sample) -> Bool[np.ndarray, " A"]:
        """Which of the anchors are masked."""
        unseen = ~self._seen.entities[self._anchors(sample)]
        return unseen if self._settings.unseen_input == "mask" else np.zeros_like(unseen)

    @staticmethod
    def _anchors(sample: Sample) -> list[int]:
        """Head and tail in text order."""
        head_first = sample.spans[0] < sample.spans[1]
        return [sample.head, sample.tail] if head_first else [sample.tail, sample.head]

    def _neighbours(self, sample: Sample, anchors: list[int], anchor: int) -> list[list[int]]:
        _, rows = self._by_head.find(np.array([anchors[anchor]]))
        found = self._triples[rows]
        found = found[found[:, 2] != anchors[1 - anchor]]
        key = hash_string(sample.example_id)
        hashes = random_u64(self._settings.seed, "graph-completion/neighbours", key, found[:, 1], found[:, 2])
        return found[np.argsort(hashes, kind="stable")[: self._settings.neighbours]].tolist()


def _units(samples: Sequence[Sample], tokens: Dataset | None) -> list[list[int]]:
    if tokens is None:
        return [[-1, -2]] * len(samples)
    tokenizer = MentionTokenizer(load_tokenizer(tokens))
    return [tokenizer.units(sample.text, sorted(sample.spans)) for sample in samples]


def _pairs(triples: Int64[np.ndarray, "N 3"], facts: Facts) -> Int64[np.ndarray, " N"]:
    return triples[:, 0] * facts.entities + triples[:, 2]


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "none"


def _protocol(
    settings: GraphCompletionSettings, facts: Facts, asked: dict[str, Any], left_out: Counter[str]
) -> dict[str, Any]:
    return {
        **asked,
        "left_out": {name: count for name, count in sorted(left_out.items()) if count},
        "candidates": facts.relations,
        "filtered": "other relations that a fact of any split, or a sample, states of the pair",
        "ties": "realistic",
        "seen": "in a train triple, or a node of a train graph",
        "unseen": {
            "input": settings.unseen_input,
            "both_unseen": settings.both_unseen,
            "neighbours": settings.neighbours,
        },
        "macro": "mean over the relations of a part of the mean over their samples",
        "intervals": f"95 % percentile bootstrap over samples, {settings.resamples} resamples; a relation that a "
        "resample lacks is left out of its macro mean",
        "max_units": settings.max_units,
        "seed": settings.seed,
    }
