"""KEPLER's facts compared: every option by loops, the authors' numbers, and pieces that change nothing."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import ROOT
from tests.training.models import kepler_case as case
from training import comparison as module
from training.comparison import Comparison, Queries
from training.config import KeplerConfig
from training.data.negatives import known_facts
from training.data.triples import FactBatch, Negatives
from training.objectives import info_nce_sum

GOLDEN = json.loads((ROOT / "tests/training/models/golden/kepler.json").read_text(encoding="utf-8"))
ENTITIES, RELATIONS, HIDDEN = 14, 2, case.HIDDEN
TRIPLES = [(0, 0, 1), (0, 0, 2), (3, 1, 1), (4, 1, 4), (5, 0, 3), (2, 1, 0)]
TRAIN = [*TRIPLES, (0, 0, 7), (6, 0, 1), (3, 1, 3), (9, 1, 1), (0, 0, 5), (5, 0, 5), (2, 1, 8)]


def facts_of(triples, train, drawn=((), ()), entities=ENTITIES, relations=RELATIONS):
    """The triples as a micro-batch over the entities that they and the drawn ones name, the last one first."""
    triples, known = np.array(triples), known_facts(np.array(train), entities, relations)
    drawn = [np.array(side, dtype=np.int64).reshape(len(triples), -1) for side in drawn]
    distinct = np.unique(np.concatenate([triples[:, 0], triples[:, 2], *(side.ravel() for side in drawn)]))
    order = distinct[::-1].copy()
    number = {entity: place for place, entity in enumerate(order.tolist())}
    place = np.vectorize(number.__getitem__, otypes=[np.int64])
    negatives = []
    for side, heads in zip(drawn, (True, False), strict=True):
        pairs = known.among(triples, distinct, heads=heads)
        pairs[:, 1] = len(distinct) - 1 - pairs[:, 1]
        shown = place(side) if side.size else side
        negatives.append(Negatives(torch.from_numpy(shown), torch.from_numpy(pairs)))
    heads, relations, tails = (
        torch.from_numpy(own) for own in (place(triples[:, 0]), triples[:, 1].copy(), place(triples[:, 2]))
    )
    return FactBatch(
        texts=[],
        rows=torch.arange(len(order)),
        entities=torch.from_numpy(order),
        triples=torch.from_numpy(triples),
        heads=heads,
        relations=relations,
        tails=tails,
        given_heads=heads,
        given_tails=tails,
        head_negatives=negatives[0],
        tail_negatives=negatives[1],
        known=known,
    )


def slow_loss(config, queries, vectors, facts, before):
    """The loss by loops over triples and candidates; `before` has the vectors of entities of other micro-batches."""
    ids = facts.entities.tolist()
    train = {tuple(row) for row in TRAIN}
    at = dict(zip(ids, vectors, strict=True))

    def score(query, entity):
        if config.score == "cosine":
            return torch.nn.functional.cosine_similarity(query, entity, dim=0)
        return -((query - entity).abs().pow(config.norm).sum() ** (1 / config.norm))

    def is_negative(entity, answer, fact, other, told_apart=True):
        return entity != answer and fact not in train and (config.self_negatives or not told_apart or entity != other)

    asked = []
    for b in range(len(facts.heads)):
        head, relation, tail = ids[facts.heads[b]], int(facts.relations[b]), ids[facts.tails[b]]
        drawn = [[ids[place] for place in n.drawn[b]] for n in (facts.head_negatives, facts.tail_negatives)]
        asked.append((queries.heads[b], head, tail, lambda e, r=relation, t=tail: (e, r, t), drawn[0]))
        asked.append((queries.tails[b], tail, head, lambda e, r=relation, h=head: (h, r, e), drawn[1]))
    total = torch.zeros(())
    for number, (query, answer, other, fact, drawn) in enumerate(asked):
        if config.in_batch:
            own = [e for e in ids if is_negative(e, answer, fact(e), other)]
        else:
            own = [e for e in drawn if is_negative(e, answer, fact(e), other, told_apart=False)]
            own += [other] if config.self_negatives and is_negative(other, answer, fact(other), other) else []
        more = [e for e in before if is_negative(e, answer, fact(e), other) and not (config.in_batch and e in ids)]
        near, far = score(query, at[answer]), [score(query, at[e]) for e in own]
        late = [score(query, before[e]) for e in more]
        if config.loss == "margin":
            weights = [1.0] * len(far) + [config.pre_batch_weight] * len(late)
            each = [-torch.nn.functional.logsigmoid(-gap - config.gamma) for gap in far + late]
            push = sum((w * x for w, x in zip(weights, each, strict=True)), torch.zeros(())) / max(sum(weights), 1e-9)
            # The positive's distance is the mean of both sides'.
            sides = [score(q, at[a]) for q, a, *_ in asked[number - number % 2 : number - number % 2 + 2]]
            total = total + (-torch.nn.functional.logsigmoid(config.gamma + sum(sides) / 2) + push) / 2
            continue
        scaled = torch.stack([near - config.additive_margin, *far, *(config.pre_batch_weight * s for s in late)])
        total = total - torch.log_softmax(scaled / config.temperature, dim=0)[0] / 2
        if config.two_way:
            others = [q for q, a, o, f, _ in asked if is_negative(answer, a, f(answer), o)]
            scaled = torch.stack([near - config.additive_margin, *(score(q, at[answer]) for q in others)])
            total = total - torch.log_softmax(scaled / config.temperature, dim=0)[0] / 2
    return total / (2 if config.halved and config.loss == "margin" else 1)


OPTIONS = [
    {"in_batch": in_batch, "self_negatives": self_negatives, "pre_batch": pre_batch, **loss}
    for in_batch, self_negatives, pre_batch in itertools.product((False, True), (False, True), (0, 2))
    for loss in (
        {"norm": 1},
        {"norm": 2, "halved": True},
        {"loss": "infonce", "temperature": 0.7, "norm": 2, "additive_margin": 0.1},
        {"loss": "infonce", "score": "cosine", "two_way": True, "additive_margin": 0.02, "learn_temperature": True},
    )
]
DRAWN = [[(7, 9), (7, 7), (8, 2), (10, 11), (2, 12), (11, 9)], [(3, 9), (8, 8), (7, 6), (10, 11), (2, 12), (4, 9)]]


def compared(config, facts, number=0):
    """(queries, vectors, comparison that has seen two micro-batches, what those left) as the options say."""
    comparison = Comparison(config, HIDDEN, len(facts.heads))
    for step, entities in enumerate(([1, 6, 9, 13], [13, 7, 8, 3, 0]) if config.pre_batch else ()):
        comparison.pre_batch.push(case.vectors(len(entities), 30 + step), torch.tensor(entities))
    before = {}
    if config.pre_batch:
        before = dict(zip([1, 6, 9, 13], case.vectors(4, 30), strict=True))
        before |= dict(zip([13, 7, 8, 3, 0], case.vectors(5, 31), strict=True))
    queries = Queries(*(case.vectors(len(facts.heads), number + n).requires_grad_() for n in (40, 41)))
    return queries, case.vectors(len(facts.entities), number + 50).requires_grad_(), comparison, before


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: " ".join(f"{k}={v}" for k, v in o.items() if v))
def test_the_loss_of_every_option_is_that_of_loops(options):
    config = KeplerConfig(gamma=3.0, pre_batch_weight=0.5, **options)
    facts = facts_of(TRIPLES, TRAIN, ((), ()) if config.in_batch else DRAWN)
    queries, vectors, comparison, before = compared(config, facts)
    expected = slow_loss(config, queries, vectors, facts, before)
    assert comparison(queries, vectors, facts).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("options", [o for o in OPTIONS if o["self_negatives"] and o["pre_batch"]])
def test_pieces_change_neither_the_loss_nor_its_gradients(options, monkeypatch):
    config = KeplerConfig(gamma=3.0, self_adversarial=1.0 if "loss" not in options else 0.0, **options)
    facts, found = facts_of(TRIPLES, TRAIN, ((), ()) if config.in_batch else DRAWN), []
    for size in (module.PIECE, 30):
        monkeypatch.setattr(module, "PIECE", size)
        queries, vectors, comparison, _ = compared(config, facts)
        loss = comparison(queries, vectors, facts)
        loss.backward()
        found.append([loss, queries.heads.grad, queries.tails.grad, vectors.grad])
        found[-1] += [p.grad for p in comparison.parameters()]
    assert all(torch.allclose(whole, cut, rtol=1e-5, atol=1e-6) for whole, cut in zip(*found, strict=True))


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = (part.numel() for part in pytree.tree_leaves(made) if isinstance(part, torch.Tensor))
        self.numbers = max(self.numbers, *sizes, 0)
        return made


@pytest.mark.parametrize("options", [{}, {"loss": "infonce", "score": "cosine", "two_way": True}])
def test_a_large_micro_batch_holds_no_more_than_a_piece_of_its_pairs(options, monkeypatch):
    triples, entities, piece = 300, 600, 20_000
    monkeypatch.setattr(module, "PIECE", piece)
    ends = np.arange(triples)
    facts = facts_of(np.stack([ends, ends % RELATIONS, ends + triples], axis=1), TRAIN, entities=entities)
    comparison = Comparison(KeplerConfig(in_batch=True, self_negatives=True, **options), HIDDEN, triples)
    queries, vectors, _, _ = compared(comparison.config, facts)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        with Largest() as largest:
            loss = comparison(queries, vectors, facts)
        assert sum(kept) < triples * entities / 50
    with largest:
        loss.backward()
    assert triples * entities > 8 * piece and largest.numbers <= piece


def test_a_mirrored_positive_is_computed_once_and_is_the_same():
    facts, config = facts_of(TRIPLES, TRAIN), KeplerConfig(in_batch=True)
    vectors, relations = case.vectors(len(facts.entities), 50), case.vectors(len(TRIPLES), 60)
    heads, tails = vectors[facts.tails] - relations, vectors[facts.heads] + relations
    losses = [
        Comparison(config, HIDDEN, 6)(Queries(heads, tails, mirrored), vectors, facts) for mirrored in (True, False)
    ]
    assert torch.isclose(*losses, rtol=1e-6)


def test_the_loss_may_fall_by_the_temperature():
    facts = facts_of(TRIPLES, TRAIN)
    config = KeplerConfig(in_batch=True, loss="infonce", score="cosine", learn_temperature=True, temperature=0.25)
    queries, vectors, comparison, _ = compared(config, facts)
    assert math.isclose(comparison.log_scale.exp().item(), 4.0, rel_tol=1e-6)
    first = comparison(queries, vectors, facts)
    first.backward()
    with torch.no_grad():
        comparison.log_scale -= 0.1 * comparison.log_scale.grad
    assert comparison(queries, vectors, facts) < first
    fixed = Comparison(dataclasses.replace(config, learn_temperature=False), HIDDEN, 6)
    assert torch.isclose(fixed(queries, vectors, facts), first) and not list(fixed.parameters())


def test_what_went_before_is_kept_while_training_newest_first_and_not_validated_with():
    config = KeplerConfig(in_batch=True, pre_batch=2)
    facts, others = facts_of(TRIPLES, TRAIN), facts_of([(7, 0, 8), (9, 1, 7)], TRAIN)
    queries, vectors, comparison, _ = compared(dataclasses.replace(config, pre_batch=0), facts)
    alone = comparison(queries, vectors, facts)
    comparison = Comparison(config, HIDDEN, 6)
    assert torch.equal(comparison(queries, vectors, facts), alone)  # nothing went before
    for number in (0, 1):
        comparison(*compared(config, others, number)[:2], others)
    found, entities = comparison.pre_batch.newest(torch.tensor([9]))
    assert entities.tolist() == [7, 8]
    assert torch.equal(found, case.vectors(3, 51)[[2, 1]])
    assert not found.requires_grad
    state = {name: value.clone() for name, value in comparison.state_dict().items()}
    with_them, without = comparison(queries, vectors, facts), comparison.eval()(queries, vectors, facts)
    assert with_them != alone and torch.equal(without, alone)
    comparison.load_state_dict(state)
    assert torch.equal(comparison.train()(queries, vectors, facts), with_them)


@pytest.mark.parametrize("negatives", [1, 3])
@pytest.mark.parametrize("conditioned", [False, True])
def test_the_loss_is_the_authors(negatives, conditioned):
    heads, tails, *corrupted, asked_heads, asked_tails, relations = case.kepler_inputs(negatives, conditioned)
    size, drawn = case.TRIPLES, np.arange(case.TRIPLES * negatives).reshape(case.TRIPLES, negatives)
    triples = np.stack([np.arange(size), np.arange(size), np.arange(size) + size], axis=1)
    many = 2 * size + 2 * drawn.size
    facts = facts_of(triples, triples, (drawn + 2 * size, drawn + 2 * size + drawn.size), many, size)
    vectors = torch.cat([heads, tails, *corrupted]).flip(0)
    config = KeplerConfig(norm=2, halved=True, gamma=case.GAMMA, negatives=negatives)
    queries = Queries(heads=asked_tails - relations, tails=asked_heads + relations, mirrored=not conditioned)
    loss = Comparison(config, HIDDEN, size)(queries, vectors, facts) / size
    expected = GOLDEN[f"{negatives} negatives{', conditioned' if conditioned else ''}"]
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def numbered(triples):
    """The same with numbers for names, in the direction in which they are known."""
    return [
        (ord(h) - ord("a"), "rs".index(r[-1]), ord(t) - ord("a")) for h, r, t in triples if not r.startswith("inverse")
    ]


def test_the_loss_is_simkgcs_from_the_queries_on():
    """A batch with each triple in both directions; its entities are distinct, so none is counted twice there."""
    queries, tails, heads = case.simkgc_inputs(case.BOTH_WAYS, 10)
    facts = facts_of(numbered(case.BOTH_WAYS), numbered(case.KNOWN), entities=26)
    size = len(facts.heads)
    vectors = torch.empty(len(facts.entities), HIDDEN)
    vectors[facts.heads], vectors[facts.tails] = heads[:size], tails[:size]
    config = KeplerConfig(
        loss="infonce", score="cosine", temperature=case.TEMPERATURE, learn_temperature=True, two_way=True,
        additive_margin=case.MARGIN, in_batch=True, self_negatives=True, pre_batch=1,
        pre_batch_weight=case.PRE_BATCH_WEIGHT,
    )  # fmt: skip
    comparison = Comparison(config, HIDDEN, size)
    before = case.BEFORE["both ways"]
    comparison.pre_batch.push(case.simkgc_inputs(before, 10)[1], torch.tensor([ord(t) - ord("a") for *_, t in before]))
    loss = comparison(Queries(queries[size:], queries[:size]), vectors, facts) / size
    assert loss.item() == pytest.approx(GOLDEN["both ways"]["loss"], rel=1e-6)


def test_a_sum_of_softmaxes_is_simkgcs_with_self_negatives_and_entities_that_recur():
    golden, size, scale = GOLDEN["one way"], len(case.ONE_WAY), 1 / case.TEMPERATURE
    queries, tails, heads = case.simkgc_inputs(case.ONE_WAY, 20)
    before = case.simkgc_inputs(case.BEFORE["one way"], 20)[1]
    counts, own = torch.tensor(golden["kept"], dtype=torch.float32), torch.eye(size)
    counts[:, :size] -= own
    logits = [queries @ tails.T, case.PRE_BATCH_WEIGHT * queries @ before.T, (queries * heads).sum(dim=1)[:, None]]
    answers = ((queries * tails).sum(dim=1) - case.MARGIN) * scale
    loss = info_nce_sum(answers, torch.cat(logits, dim=1) * scale, counts)
    loss = loss + info_nce_sum(answers, logits[0].T * scale, counts[:, :size].T)
    assert loss.item() / size == pytest.approx(golden["loss"], rel=1e-6)
