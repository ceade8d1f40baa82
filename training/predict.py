"""`wikiloom predict`: ask a run about one fact or one text.

KEPLER, C-LMKE, LASS and the embedding baselines rank every entity by the score they were trained with; for (head, ?,
tail) every relation. CoLAKE reads a minimal word-knowledge graph: the names of the entities as words, the head (and,
when it is given, the tail) as an anchor, one relation node between head and tail; the node that is asked for is masked.

A text that CoLAKE fills masks in is a word-knowledge graph too: the entities that it names (training/linking/, by the
run's dataset and the run) are anchors in place of their mentions, with their train triples.
"""

import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.baselines import LEARNED, BaselineRun, is_baseline, load_baseline
from training.data.graphs import Graph
from training.data.setting import SPLITS
from training.data.triples import Descriptions
from training.encoders import encode_text
from training.evaluation.facts import Facts, read_facts
from training.evaluation.names import Names, entity_names, plain, relation_names
from training.feeds.kepler import DESCRIBED, described
from training.linking import Link, LinkSettings, open_linker
from training.linking.disambiguation import GraphContext
from training.runs import Run, load_run
from training.scoring import RelationScorer
from training.systems import SYSTEMS
from training.vectors import longest_text

MASK = "<mask>"


@dataclasses.dataclass(frozen=True)
class Question:
    """What is known of a fact; at most one part is missing. A text stands for an entity that is not in the data."""

    head: int | None = None
    relation: int | None = None
    tail: int | None = None
    head_text: str | None = None
    tail_text: str | None = None

    @property
    def asked(self) -> str:
        """The missing part: head, relation or tail."""
        if self.relation is None:
            return "relation"
        return "tail" if self.tail is None and self.tail_text is None else "head"


def predict(
    run: Path,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    head_text: str | None = None,
    tail_text: str | None = None,
    text: str | None = None,
    top: int = 10,
    data: Path | None = None,
) -> list[dict[str, Any]]:
    """The best answers as rows {rank, entity | relation | word, label, score, known}, best first.

    `known` is the split that states the fact: train, valid, test or None. For `text` the rows have `mask`, which mask
    of the text they are for, in place of `label` and `known`; before them come the entities that the text names, where
    the model reads them: {mention, entity, label, score}. Raises UsageError for a question that is not one, and
    for a name that is unknown or names several things; DataError for a run that can't answer it.
    """
    if top < 1:
        raise UsageError(f"--top is the number of answers, at least 1, not {top}.")
    if (head is not None and head_text is not None) or (tail is not None and tail_text is not None):
        raise UsageError("--head and --head-text (or --tail and --tail-text) are two names for one entity; give one.")
    given = [own if description is None else description for own, description in ((head, head_text), (tail, tail_text))]
    _require_question(given[0], relation, given[1], text)
    opened: Any = load_baseline(run, data) if is_baseline(run) else load_run(run, data)
    system = opened.name if isinstance(opened, BaselineRun) else opened.config.system
    for option, description in (("--head-text", head_text), ("--tail-text", tail_text)):
        if description is not None and system == "kepler":
            _require_words(opened, option, description)
    if text is not None:
        return _about_text(run, system, opened, text, top)
    entities, relations = entity_names(opened.dataset), relation_names(opened.dataset)
    question = Question(
        head=entities.find(head) if head is not None else None,
        relation=relations.find(relation) if relation is not None else None,
        tail=entities.find(tail) if tail is not None else None,
        head_text=head_text,
        tail_text=tail_text,
    )
    scores = _answer(run, system, opened, question)
    names = relations if question.asked == "relation" else entities
    setting = opened.split if isinstance(opened, BaselineRun) else opened.config.data.split
    return _rows(scores, question, names, read_facts(opened.dataset, setting), top)


def render(rows: Sequence[dict[str, Any]], as_json: bool = False) -> str:
    """The rows as JSON lines, or as aligned tables, one for each kind of row."""
    from training.metrics import table

    if as_json:
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    kinds = itertools.groupby(rows, key=list)
    tables = [table([columns, *([_cell(row[name]) for name in columns] for row in some)]) for columns, some in kinds]
    return "\n\n".join(tables) or "no answer"


def _require_question(head: str | None, relation: str | None, tail: str | None, text: str | None) -> None:
    given = [name for name, value in (("head", head), ("relation", relation), ("tail", tail)) if value is not None]
    if (text is not None and given) or (text is None and len(given) != 2):
        raise UsageError(
            "predict takes two of --head, --relation and --tail, or --text alone; "
            f"given: {', '.join([*given, *(['text'] if text is not None else [])]) or 'none'}."
        )


def _require_words(run: Run, option: str, description: str) -> None:
    """UsageError for a description that says nothing to the model; a note where it does not read all of it."""
    # As in the dataset's own descriptions, a <mask> in it is a word like others.
    run.tokenizer.encode_special_tokens = True
    ids, longest = run.tokenizer.encode(description, add_special_tokens=False).ids, longest_text(run) - 2
    if not ids:
        raise UsageError(f"{option} is empty. Give the description of an entity.")
    if set(ids[:longest]) == {run.source.special.unk}:
        raise UsageError(f"{option} has no word of the run's vocabulary. Give it in the language of the run's dataset.")
    if len(ids) > longest:
        print(f"note: {option} has {len(ids):,} tokens, of which the model reads the first {longest}", file=sys.stderr)


def _answer(run: Path, system: str, opened: Any, question: Question) -> Float[Tensor, " N"]:
    """Scores of every entity, or of every relation."""
    texts = question.head_text is not None or question.tail_text is not None
    if system == "colake":
        if texts:
            raise DataError(f"{run} is a CoLAKE run, which has no text encoder for new entities: use a KEPLER run.")
        return _from_graph(opened, question)
    if system == "kepler":
        return _from_vectors(opened, question)
    if system == "mlm-only":
        raise DataError(f"{run} is an mlm-only run, which knows no facts: give it a --text with {MASK} in it.")
    if system == "jaket":
        raise DataError(f"{run} is a JAKET run, which ranks no triples: give it a --text with {MASK} in it.")
    if system == "lmke":
        raise DataError(f"{run} is an LMKE run, which tells facts from others and ranks none: ask a c-lmke run.")
    if system not in LEARNED and not (isinstance(opened, Run) and SYSTEMS[system].scorer):
        raise DataError(f"{run} is the plain rule {system}, which is only evaluated. Ask a trained run.")
    if texts:
        raise DataError(
            f"{run} is a {system} run, which is asked about entities of its data alone: use a KEPLER run for others."
        )
    return _from_scorer(opened.scorer(), question)


def _from_scorer(scorer: Any, question: Question) -> Float[Tensor, " N"]:
    parts = (question.head, question.relation, question.tail)
    head, relation, tail = (torch.tensor([-1 if part is None else part]) for part in parts)
    if question.asked == "tail":
        return scorer.tails(head, relation)[0]
    if question.asked == "head":
        return scorer.heads(relation, tail)[0]
    if not isinstance(scorer, RelationScorer):
        raise DataError("This run does not say which relation joins two entities. Give --relation and one of the two.")
    return scorer.relations(head, tail)[0]


def _from_vectors(run: Run, question: Question) -> Float[Tensor, " N"]:
    """KEPLER's: minus the distance that was trained, where an entity may be given by a text."""
    scorer = run.scorer()
    texts = [_own_text(run, text) for text in (question.head_text, question.tail_text)]
    head, tail = question.head or 0, question.tail or 0
    if question.asked == "relation":
        return scorer.relations_of(head, tail, (texts[0], texts[1]))
    relation = torch.tensor([question.relation])
    if question.asked == "tail":
        return scorer.tails_of(scorer.given(torch.tensor([head]), relation, texts[0]), relation)[0]
    return scorer.heads_of(relation, scorer.given(torch.tensor([tail]), relation, texts[1]))[0]


def _own_text(run: Run, text: str | None) -> Descriptions | None:
    """The description of an entity outside the data, as that of entity 0."""
    if text is None:
        return None
    ids = pa.array([run.tokenizer.encode(text, add_special_tokens=False).ids], pa.list_(pa.int32()))
    return described(run.config, run.source, pa.table([ids, ids], names=list(DESCRIBED)))


def _from_graph(run: Run, question: Question) -> Float[Tensor, " N"]:
    """CoLAKE's: the masked node of a minimal graph. Which id stands at that node makes no difference."""
    # An entity is one node of a graph, so the place holder is any entity but the given one.
    other = int(question.head == 0 or question.tail == 0)
    head = other if question.head is None else question.head
    tail = other if question.tail is None else question.tail
    anchors = [head] if head == tail else [head, tail]
    entities = run.tokens.read("entities", columns=["name_ids"])["name_ids"]
    units: list[int] = []
    for place, anchor in enumerate(anchors):
        units += [] if anchor == other and question.asked != "relation" else entities[anchor].as_py()
        units.append(-1 - place)
    if question.relation is not None:
        units += run.tokens.read("relations", columns=["name_ids"])["name_ids"][question.relation].as_py()
    triple = np.array([[0, question.relation or 0, tail]], dtype=np.int32)
    graph = Graph(np.array(units, dtype=np.int32), np.array(anchors, dtype=np.int32), triple)
    if question.asked == "relation":
        return run.model.relation_logits([graph], np.array([0]))[0]
    return run.model.entity_logits([graph], np.array([anchors.index(other)]))[0]


def _about_text(run: Path, system: str, opened: Any, text: str, top: int) -> list[dict[str, Any]]:
    """The entities that a text names, where the system reads them, and the best words for each of its masks."""
    if not isinstance(opened, Run):
        raise DataError(f"{run} is a {system} run, which knows no text: use a CoLAKE or a KEPLER run.")
    if opened.word_head is None:
        raise DataError(
            f"{run} has not learned which words are masked: a {system} run of its kind trains without. Use a CoLAKE, "
            "an mlm-only or a KEPLER run with kepler.blocks above 0."
        )
    mask = opened.tokenizer.id_to_token(opened.source.special.mask)
    text = text.replace(MASK, mask)
    links, graph = _linked_graph(opened, text, mask) if system == "colake" else ([], _graph(opened, text))
    if mask not in text and not links:
        also = ", and none of its words is a known mention" if system == "colake" else ""
        raise UsageError(f"--text has no {MASK}{also}: put it where the word is missing.")
    longest = opened.config.encoder.max_positions - 2
    if len(graph.units) > longest:
        raise UsageError(f"--text has {len(graph.units)} tokens; the model reads {longest}. Give a shorter passage.")
    masks = np.flatnonzero(graph.units == opened.source.special.mask)
    words = _word_rows(opened, system, graph, masks, top) if len(masks) else []
    return [*_link_rows(opened.dataset, text, links), *words]


def _linked_graph(run: Run, text: str, mask: str) -> tuple[list[Link], Graph]:
    """No links where the dataset has none to build a dictionary of; a mask is no mention of what it is called."""
    if not run.dataset.rows("anchors"):
        return [], _graph(run, text)
    context = GraphContext(run)
    masks = [match.span() for match in re.finditer(re.escape(mask), text)]
    found = open_linker(run.dataset, LinkSettings(), context).link(text)
    links = [link for link in found if not any(start < link.end and link.start < end for start, end in masks)]
    return links, context.weaver.weave(text, links)


def _graph(run: Run, text: str) -> Graph:
    """A text without entities."""
    units = np.array(run.tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32)
    return Graph(units, np.empty(0, dtype=np.int32), np.empty((0, 3), dtype=np.int32))


def _link_rows(dataset: Dataset, text: str, links: Sequence[Link]) -> list[dict[str, Any]]:
    names = entity_names(dataset) if links else None
    return [
        {
            "mention": plain(text[link.start : link.end]),
            "entity": names.id(link.entity_index),
            "label": names.label(link.entity_index),
            "score": link.score,
        }
        for link in links
    ]


def _word_rows(
    run: Run, system: str, graph: Graph, masks: Int64[np.ndarray, " M"], top: int
) -> Iterator[dict[str, Any]]:
    special, tokenizer = run.source.special, run.tokenizer
    # An encoder may have more rows than there are tokens.
    logits = _word_logits(run, system, graph, masks)[:, : run.source.sizes.words]
    logits[:, [*special.never_masked.tolist(), special.mask]] = -torch.inf
    for number, scores in enumerate(logits.log_softmax(dim=1).exp(), start=1):
        best = scores.topk(min(top, len(scores)))
        for rank, (score, token) in enumerate(zip(*(part.tolist() for part in best), strict=True), start=1):
            word = tokenizer.decode([token]).strip() or tokenizer.id_to_token(token)
            yield {"mask": number, "rank": rank, "word": plain(word), "score": score}


@torch.no_grad()
def _word_logits(run: Run, system: str, graph: Graph, masks: Int64[np.ndarray, " M"]) -> Float[Tensor, "M V"]:
    if system == "colake":
        return run.model.word_logits([graph] * len(masks), masks)
    model, special = run.model, run.source.special
    words = model.encoder.get_input_embeddings().weight
    framed = torch.tensor([[special.bos, *graph.units.tolist(), special.eos]], device=words.device)
    states = encode_text(model.encoder, framed, torch.ones_like(framed, dtype=torch.bool))[0]
    return model.word_head(states[torch.from_numpy(masks) + 1], words)


def _rows(
    scores: Float[Tensor, " N"], question: Question, names: Names, facts: Facts, top: int
) -> list[dict[str, Any]]:
    """The `top` best, ties in the order of the index; without those that the system can't score."""
    if scores.isnan().any():
        raise DataError("The model's scores are NaN: its training has diverged. Train again with a smaller lr.")
    best = torch.sort(scores, descending=True, stable=True)
    top = min(top, int((scores > -torch.inf).sum()))
    return [
        {
            "rank": rank,
            names.kind: names.id(index),
            "label": names.label(index),
            "score": score,
            "known": _known(question, index, facts),
        }
        for rank, (score, index) in enumerate(
            zip(best.values[:top].tolist(), best.indices[:top].tolist(), strict=True), start=1
        )
    ]


def _known(question: Question, answer: int, facts: Facts) -> str | None:
    """The split that states the fact; None for an entity that is given by a text."""
    parts = dataclasses.replace(question, **{question.asked: answer})
    triple = np.array([-1 if part is None else part for part in (parts.head, parts.relation, parts.tail)])
    for split in SPLITS:
        if (facts.splits[split] == triple).all(axis=1).any():
            return split
    return None


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
