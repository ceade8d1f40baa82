"""KEPLER: eq. 2 to the letter, one norm everywhere, every text encoded once."""

import dataclasses

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from tests.training.steps import ALONE, step_of
from training.comparison import Comparison, Queries
from training.config import KeplerConfig
from training.config_file import load_config
from training.data.batch import Columns, Ragged, offsets
from training.data.negatives import known_facts
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.triples import TripleFeed, descriptions
from training.feeds.kepler import entity_descriptions, kepler_feeds
from training.models.kepler import KeplerScorer
from training.sources import open_source
from training.step import LABELS, learner, part, train_step, validate, whole_batch
from training.systems import build_system

SMALL = {"encoder.hidden_size": "16", "encoder.intermediate_size": "32", "kepler.blocks": "4", "train.batch_size": "16"}


def make(made_up, **changes):
    settings = SMALL | {"train.valid_batches": "2"} | {key.replace("_", ".", 1): str(v) for key, v in changes.items()}
    dataset = Dataset(made_up)
    config = load_config("kepler-tiny", settings)
    source = open_source(dataset, dataset.tokens("tiny"))
    torch.manual_seed(0)
    return config, source, build_system(config, source)


def batches_of(system, step):
    return system.build(step, system.loader.take(step))


def weights_of(model, facts):
    """What each entity weighs as a head and as a tail of each triple."""
    size = model.encoder.config.hidden_size
    nothing, entities = torch.zeros(len(facts.heads), size), torch.zeros(len(facts.entities), size)
    comparison = model.comparisons["ke"]
    task = comparison._task(Queries(nothing, nothing), entities, facts)
    every = slice(0, len(facts.heads))
    return [comparison._weights(task, comparison._counts(task, side, every)) for side in task.sides]


def slow_knowledge_loss(config, source, model, batch):
    """eq. 2, one triple and one negative at a time."""
    vectors = torch.cat([model.embed(piece) for piece in batch.texts])

    def distance(head, relation, tail):
        difference = vectors[head] + model.relation.weight[relation] - vectors[tail]
        return difference.abs().sum() if config.norm == 1 else difference.square().sum().sqrt()

    head_weights, tail_weights = weights_of(model, batch)
    total = torch.zeros(())
    for b in range(len(batch.heads)):
        head, relation, tail = (int(column[b]) for column in (batch.heads, batch.relations, batch.tails))
        total = total - torch.nn.functional.logsigmoid(config.gamma - distance(head, relation, tail))
        for u in range(len(vectors)):
            as_head, as_tail = distance(u, relation, tail), distance(head, relation, u)
            for weight, far in ((head_weights[b, u], as_head), (tail_weights[b, u], as_tail)):
                total = total - weight * torch.nn.functional.logsigmoid(far - config.gamma)
    return total / 2 if config.halved else total


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize("halved", [False, True])
def test_the_knowledge_loss_equals_eq_2_by_loops(made_up, norm, in_batch, halved):
    config, source, system = make(
        made_up, kepler_norm=norm, kepler_in_batch=str(in_batch), kepler_halved=str(halved), kepler_negatives=2,
        kepler_self_adversarial=0.0,
    )  # fmt: skip
    batch = batches_of(system, 0)[0]
    slow = slow_knowledge_loss(config.kepler, source, system.model, batch.facts)
    assert torch.isclose(system.model.losses(batch)["ke"], slow, rtol=1e-4)


def test_recomputed_pieces_have_the_same_gradients_dropout_included(made_up):
    gradients = []
    for recompute in ("false", "true"):
        changes = {"kepler_recompute": recompute, "kepler_encode_tokens": 256, "encoder_dropout": 0.1}
        _, _, system = make(made_up, **changes)
        batch = batches_of(system, 0)[0]
        assert len(batch.facts.texts) > 2
        torch.manual_seed(1)
        system.model.train()
        system.model.losses(batch)["ke"].backward()
        gradients.append([p.grad for p in system.model.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, rtol=1e-4, atol=1e-6)


def test_recomputing_keeps_no_more_for_many_pieces_than_for_one(made_up):
    kept = []
    for recompute in ("false", "true"):
        _, _, system = make(made_up, kepler_recompute=recompute, kepler_encode_tokens=256)
        batch, saved = batches_of(system, 0)[0], []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, into=saved: into.append(t.numel()) or t, lambda t: t):
            system.model.losses(dataclasses.replace(batch, blocks=None))
        kept.append(sum(saved))
    assert kept[1] < kept[0] / 4, kept


@pytest.mark.parametrize("in_batch", [False, True])
def test_negatives_weigh_one_per_triple_and_make_no_known_fact(made_up, in_batch):
    _, source, system = make(made_up, kepler_in_batch=str(in_batch), kepler_negatives=1)
    train = source.dataset.read("triples", "train")
    known = set(zip(*(train[f"{c}_index"].to_pylist() for c in ("head", "relation", "tail")), strict=True))
    described = entity_descriptions(*(make(made_up)[:2]))
    texts = [tuple(described.tokens.take(np.array([e])).values.tolist()) for e in range(source.sizes.entities)]
    for step in range(3):
        batch = batches_of(system, step)[0].facts
        rows = [
            tuple(row[real].tolist()) for piece in batch.texts for row, real in zip(piece.ids, piece.real, strict=True)
        ]
        assert len(rows) == len(set(rows))  # made-up texts all differ: each is encoded once
        entity = [texts.index(row) for row in rows]
        assert [texts.index(row) for row in rows] == batch.entities.tolist()
        head_weights, tail_weights = weights_of(system.model, batch)
        sums = (head_weights + tail_weights).sum(dim=1)
        assert torch.allclose(sums, torch.ones_like(sums))
        for b, u in tail_weights.nonzero().tolist():
            fact = (entity[batch.heads[b]], int(batch.relations[b]), entity[u])
            assert fact not in known
        for b, u in head_weights.nonzero().tolist():
            assert (entity[u], int(batch.relations[b]), entity[batch.tails[b]]) not in known


@pytest.mark.parametrize("norm", [1, 2])
def test_ranking_uses_the_trained_norm(made_up, norm):
    config, source, system = make(made_up, kepler_norm=norm)
    scorer = KeplerScorer(system.model, entity_descriptions(config, source))
    heads, relations, tails = torch.tensor([3, 9]), torch.tensor([0, 2]), torch.tensor([7, 1])
    relation = system.model.relation(relations)
    for b in range(2):
        for entity in (0, 5, 40):
            forward = scorer.entities[heads[b]] + relation[b] - scorer.entities[entity]
            backward = scorer.entities[entity] + relation[b] - scorer.entities[tails[b]]
            assert torch.isclose(scorer.tails(heads, relations)[b, entity], -forward.norm(p=norm), atol=1e-5)
            assert torch.isclose(scorer.heads(relations, tails)[b, entity], -backward.norm(p=norm), atol=1e-5)
    alone = scorer.triples(heads, relations, tails)
    assert torch.allclose(alone, scorer.tails(heads, relations)[torch.arange(2), tails], atol=1e-5)


def test_ranking_uses_the_trained_cosine(made_up):
    objective = {"kepler_loss": "infonce", "kepler_score": "cosine", "kepler_self_adversarial": 0}
    config, source, system = make(made_up, **objective)
    scorer, relation = KeplerScorer(system.model, entity_descriptions(config, source)), system.model.relation.weight
    vectors, heads, relations, tails = scorer.entities, torch.tensor([3]), torch.tensor([2]), torch.tensor([7])
    as_tails = torch.cosine_similarity(vectors[3] + relation[2], vectors)
    as_heads = torch.cosine_similarity(vectors[7] - relation[2], vectors)
    assert torch.allclose(scorer.tails(heads, relations)[0], as_tails, atol=1e-6)
    assert torch.allclose(scorer.heads(relations, tails)[0], as_heads, atol=1e-6)
    among = scorer.relations_of(3, 7)
    assert torch.allclose(scorer.relations(heads, tails)[0], among, atol=1e-6)
    assert torch.isclose(among[2], (as_tails[7] + as_heads[3]) / 2, atol=1e-6)
    assert torch.isclose(among[2], scorer.triples(heads, relations, tails)[0], atol=1e-6)


def test_the_scorer_holds_every_entitys_vector_at_its_own_index(made_up):
    config, source, system = make(made_up)
    described = entity_descriptions(config, source)
    scorer = KeplerScorer(system.model, described)
    assert len(scorer.entities) == source.sizes.entities
    for entity in (0, 17, 60):
        with torch.no_grad():
            alone = system.model.embed(described.pieces(np.array([entity]))[0])[0]
        assert torch.allclose(scorer.entities[entity], alone, atol=1e-5)


def test_one_step_moves_relations_and_encoder(made_up):
    config, _, system = make(made_up)
    before = {name: value.clone() for name, value in system.model.state_dict().items()}
    step_of(config, system.model, batches_of(system, 0))
    moved = {name for name, value in system.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"relation.weight", "word_head.bias", "encoder.embeddings.word_embeddings.weight"} <= moved


def test_relations_begin_within_their_bound(made_up):
    config, _, system = make(made_up)
    bound = (config.kepler.gamma + 2) / config.encoder.hidden_size
    weight = system.model.relation.weight
    assert weight.abs().max() <= bound and weight.abs().max() > 0.9 * bound


def test_micro_batches_without_in_batch_negatives_add_up_to_the_batch(made_up):
    gradients = []
    for micro in (0, 4):
        config, _, system = make(made_up, kepler_in_batch="false", kepler_negatives=1, train_micro_batch=micro)
        config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, clip_norm=0.0))
        batches = batches_of(system, 0)
        assert len(batches) == (4 if micro else 1)
        step_of(config, system.model, batches)
        gradients.append({name: p.grad for name, p in system.model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-4, rtol=1e-3), name


OBJECTIVES = {
    "margin, p = 1": {},
    "margin, p = 2, halved": {"norm": 2, "halved": "true"},
    "drawn": {"in_batch": "false", "self_negatives": "false", "self_adversarial": 0, "negatives": 3},
    "drawn, self negatives": {"in_batch": "false", "negatives": 1},
    "without self negatives": {"self_negatives": "false"},
    "pre-batch": {"pre_batch": 2, "pre_batch_weight": 0.5},
    "drawn, pre-batch": {"in_batch": "false", "negatives": 1, "pre_batch": 4, "self_negatives": "false"},
    "infonce": {"loss": "infonce", "temperature": 1, "self_adversarial": 0},
    "simkgc": {
        "loss": "infonce", "score": "cosine", "self_adversarial": 0, "learn_temperature": "true", "two_way": "true",
        "additive_margin": 0.02, "pre_batch": 1, "pre_batch_weight": 0.5,
    },
}  # fmt: skip


QUICK = ("margin, p = 1", "drawn")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES if name not in QUICK)]
)
def test_fifty_steps_of_every_objective_lower_the_loss_of_facts_held_out(name, made_up):
    options = {f"kepler_{key}": value for key, value in OBJECTIVES[name].items()}
    config, _, system = make(made_up, kepler_blocks=0, train_batch_size=8, encoder_layers=1, **options)
    learning = learner(config, system.model, ALONE)
    before = validate(learning, system.valid)["valid/ke"]
    for step in range(50):
        batches = batches_of(system, step)
        train_step(learning, batches, part(whole_batch(batches, system.model, ALONE), LABELS), step, 0.01)
    assert validate(learning, system.valid)["valid/ke"] < 0.95 * before


def test_two_entities_of_one_text_are_two_candidates():
    special = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
    texts = Ragged(np.array([5, 6, 5, 6, 7, 8], np.int32), offsets(np.array([2, 2, 1, 1])))
    described = descriptions(texts, texts, special, max_length=8, encode_tokens=64)
    triples = np.array([[0, 0, 2], [1, 0, 3]])
    numbers = dict(zip(TRIPLE, triples.T, strict=True)) | {"row": np.arange(2)}
    config = KeplerConfig(in_batch=True, negatives=0)
    feed = TripleFeed(described, None, known_facts(triples, 4, 1), config, 0, "triples/train")
    facts = feed.batch(Part(Columns(2, numbers, {}), np.zeros(2, np.int64)))
    assert sum(len(piece.ids) for piece in facts.texts) == 3 and sorted(facts.entities.tolist()) == [0, 1, 2, 3]
    comparison, queries = Comparison(config, 2, 2), torch.zeros(2, 2)
    task = comparison._task(Queries(queries, queries), torch.zeros(4, 2), facts)
    heads = comparison._counts(task, task.sides[0], slice(0, 2))
    # Of (?, r, 2) the head is 0: 1, which reads alike, is a negative.
    negatives = [{int(facts.entities[place]) for place in row.nonzero()} for row in heads]
    assert negatives == [{1, 3}, {0, 2}]


@pytest.mark.slow
def test_12_288_triples_in_micro_batches_of_32_have_the_gradient_of_the_batch_at_once(made_up):
    gradients, size = [], 12_288
    for micro in (32, size):
        # The gradient of a 1-norm is a sign, which rounding can turn.
        changes = {"kepler_in_batch": "false", "kepler_negatives": 1, "kepler_norm": 2}
        config, source, system = make(made_up, kepler_blocks=0, encoder_layers=1, **changes)
        config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, clip_norm=0.0))
        few = source.dataset.read("triples", "train").select([*TRIPLE])
        numbers = {name: few[name].to_numpy()[np.arange(size) % len(few)] for name in TRIPLE} | {"row": np.arange(size)}
        rows = Part(Columns(size, numbers, {}), np.zeros(size, np.int64))
        _, build, _ = kepler_feeds(config, source)
        batches = build("train", 0, [{"triples": part} for part in rows.cut(size // micro)])
        assert {len(batch.facts.heads) for batch in batches} == {micro}
        step_of(config, system.model, batches)
        gradients.append({name: p.grad for name, p in system.model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) > 10
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5, rtol=1e-3), name


def test_descriptions_are_framed_cut_and_fall_back_on_the_name():
    special = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
    ids = Ragged(np.array([10, 11, 12, 13, 14], np.int32), offsets(np.array([4, 0, 1])))
    names = Ragged(np.array([20, 21, 22], np.int32), offsets(np.array([1, 1, 1])))
    found = descriptions(ids, names, special, max_length=5, encode_tokens=10)
    assert found.tokens.padded(1).tolist() == [[0, 10, 11, 12, 2], [0, 21, 2, 1, 1], [0, 14, 2, 1, 1]]
    assert found.rows_per_piece == 2
    assert [len(piece.ids) for piece in found.pieces(np.array([0, 1, 2]))] == [1, 2]
    assert found.by_length(np.array([0, 1, 2])).tolist() == [1, 2, 0]


def test_text_blocks_hold_every_token_once_and_mask_fifteen_per_cent(made_up):
    _, _, system = make(made_up, kepler_mask_share=0.15)
    labels = tokens = 0
    for step in range(40):
        blocks = batches_of(system, step)[0].blocks
        real = blocks.real & ~torch.isin(blocks.ids, torch.tensor([0, 1, 2]))
        labels, tokens = labels + int((blocks.labels >= 0).sum()), tokens + int(real.sum())
        assert (blocks.ids[:, 0] == 0).all() and (blocks.labels[:, 0] == -1).all()
    assert abs(labels / tokens - 0.15) < 0.02
