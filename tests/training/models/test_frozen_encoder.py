"""A frozen encoder with a table of relations: KEPLER's loss by loops, vectors that stay, both settings."""

import json

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.models.test_dkrl import KINDS, SPECIAL, texts_of
from tests.training.synthetic import World, make_dataset
from training.baselines import load_baseline, run_baseline
from training.data.negatives import known_facts
from training.evaluation.facts import Facts, read_facts
from training.evaluation.run import evaluate
from training.models.frozen_encoder import (
    FactBatch,
    FrozenEncoder,
    FrozenEncoderScorer,
    FrozenEncoderSettings,
    batches,
    hidden_size,
    knowledge_sum,
    text_vectors,
    train_frozen_encoder,
)
from training.predict import predict

WORDS = 400


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A small encoder's folder, random weights."""
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=WORDS, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, **sizes)
    model = RobertaModel(config).eval()
    folder = tmp_path_factory.mktemp("roberta")
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """The made-up world; the last country with its cities and their people is test's."""
    world = World()
    cities = [6 + 4 * 5 + i for i in range(4)]
    people = [h for h, r, t in world.facts if r == 1 and t in cities]
    sides = dict.fromkeys([5, *cities, *people], "test")
    return make_dataset(tmp_path_factory.mktemp("held-out") / "dataset", world, pages=False, sides=sides)


def quick(roberta, **changes):
    told = {"encoder": str(roberta[0]), "tokens": "tiny", "max_length": "64", "epochs": "2", "batch": "32"}
    return told | {name: str(value) for name, value in changes.items()}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_texts_vector_is_the_first_state_or_the_mean(roberta, pooling):
    folder, model = roberta
    rows = [[5, 6, 7, 8], [9], [10, 11]]
    settings = FrozenEncoderSettings(encoder=str(folder), pooling=pooling, max_length=64)
    found = text_vectors(settings, texts_of(rows), WORDS)
    for row, vector in zip(rows, found, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([[SPECIAL.bos, *row, SPECIAL.eos]])).last_hidden_state[0]
        alone = states[0] if pooling == "cls" else states.mean(dim=0)
        assert torch.allclose(vector, alone, atol=1e-5)


def slow_loss(model, batch, known, settings):
    """eq. 2, one triple and one negative at a time, self-adversarial weights left out."""
    vectors, total = model.entities, torch.zeros(())

    def distance(head, relation, tail):
        return torch.linalg.vector_norm(vectors[head] + model.relation.weight[relation] - vectors[tail], settings.norm)

    everything = sorted({*batch.triples[:, [0, 2]].flat, *batch.heads.flat, *batch.tails.flat})
    for row, (head, relation, tail) in enumerate(batch.triples.tolist()):
        total = total - torch.nn.functional.logsigmoid(settings.gamma - distance(head, relation, tail))
        as_heads, as_tails = batch.heads[row].tolist(), batch.tails[row].tolist()
        if settings.in_batch:
            as_heads = [e for e in everything if (e, relation, tail) not in known]
            as_tails = [e for e in everything if (head, relation, e) not in known]
        for e in as_heads:
            gap = distance(e, relation, tail) - settings.gamma
            total = total - torch.nn.functional.logsigmoid(gap) / len(as_heads) / 2
        for e in as_tails:
            gap = distance(head, relation, e) - settings.gamma
            total = total - torch.nn.functional.logsigmoid(gap) / len(as_tails) / 2
    return total


@pytest.mark.parametrize(("in_batch", "negatives"), [(True, 0), (True, 2), (False, 3)])
@pytest.mark.parametrize("norm", [1, 2])
def test_the_loss_equals_eq_2_by_loops(in_batch, negatives, norm):
    rng = np.random.default_rng(0)
    triples = np.unique(rng.integers(0, (9, 2, 9), size=(14, 3)), axis=0)
    settings = FrozenEncoderSettings(
        norm=norm, in_batch=in_batch, negatives=negatives, self_adversarial=0.0, gamma=2.0, batch=5
    )
    facts = Facts(9, 2, {"train": triples})
    known = known_facts(triples, 9, 2)
    torch.manual_seed(0)
    model = FrozenEncoder(settings, torch.randn(9, 4), 2)
    true = set(map(tuple, triples.tolist()))
    for batch in batches(settings, known, facts, 0):
        assert isinstance(batch, FactBatch) and batch.heads.shape == (len(batch.triples), negatives)
        assert torch.isclose(knowledge_sum(model, batch, known), slow_loss(model, batch, true, settings), rtol=1e-4)


@pytest.mark.parametrize(("in_batch", "negatives"), [(True, 0), (False, 3)])
@pytest.mark.parametrize("score", ["distance", "cosine"])
def test_info_nce_equals_cross_entropies_by_loops(in_batch, negatives, score):
    rng = np.random.default_rng(0)
    triples = np.unique(rng.integers(0, (9, 2, 9), size=(14, 3)), axis=0)
    settings = FrozenEncoderSettings(
        loss="infonce", score=score, temperature=0.5, in_batch=in_batch, negatives=negatives, batch=5
    )
    known, true = known_facts(triples, 9, 2), set(map(tuple, triples.tolist()))
    torch.manual_seed(0)
    model = FrozenEncoder(settings, torch.randn(9, 4), 2)
    scorer = FrozenEncoderScorer(model)
    for batch in batches(settings, known, Facts(9, 2, {"train": triples}), 0):
        everything, expected = sorted({*batch.triples[:, [0, 2]].flat}), 0.0
        for row, (h, r, t) in enumerate(batch.triples.tolist()):
            as_heads, as_tails = batch.heads[row].tolist(), batch.tails[row].tolist()
            if in_batch:
                as_heads = [e for e in everything if (e, r, t) not in true]
                as_tails = [e for e in everything if (h, r, e) not in true]
            head, relation, tail = (torch.tensor([one]) for one in (h, r, t))
            for scores, own, others in (
                (scorer.heads(relation, tail)[0], h, as_heads),
                (scorer.tails(head, relation)[0], t, as_tails),
            ):
                logits = scores[[own, *others]] / 0.5
                expected += (torch.logsumexp(logits, dim=0) - logits[0]).item() / 2
        assert knowledge_sum(model, batch, known).item() == pytest.approx(expected, rel=1e-4)
    form, ends, relations = scorer.vector_form(), torch.tensor([0, 8]), torch.tensor([1, 0])
    if score == "cosine":
        assert torch.allclose(form.tails(ends, relations) @ form.entities.T, scorer.tails(ends, relations), atol=1e-6)
        assert torch.allclose(form.heads(relations, ends) @ form.entities.T, scorer.heads(relations, ends), atol=1e-6)


def test_an_epoch_has_every_triple_once_and_no_negative_is_an_entity_that_train_lacks():
    triples = np.array([(2 * i, 0, 2 * i + 2) for i in range(20)])
    facts = Facts(60, 1, {"train": triples, "valid": triples[:0], "test": triples[:0]}, "inductive")
    settings = FrozenEncoderSettings(batch=6, negatives=9, in_batch=False)
    known = known_facts(triples, 60, 1, facts.learnable)
    for epoch in range(2):
        found = list(batches(settings, known, facts, epoch))
        assert sorted(map(tuple, np.concatenate([batch.triples for batch in found]).tolist())) == sorted(
            map(tuple, triples.tolist())
        )
        drawn = np.unique(np.concatenate([side for batch in found for side in (batch.heads, batch.tails)]))
        assert set(drawn.tolist()) == set(range(0, 42, 2))


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_a_run_trains_relations_alone_and_evaluates_again_to_the_same_numbers(held_out, roberta, tmp_path, setting):
    told = quick(roberta, setting=setting)
    folder = run_baseline("frozen-encoder", held_out, None, tmp_path / "run", told)
    (path,) = (folder / "results").glob("link-prediction-*.json")
    first = json.loads(path.read_text(encoding="utf-8"))
    assert first["protocol"]["setting"] == setting
    assert evaluate(folder, "link-prediction")["metrics"] == first["metrics"]
    opened = load_baseline(folder)
    vectors = opened.scorer().vector_form().entities
    assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-5)
    assert opened.settings["dim"] == hidden_size(str(roberta[0])) == 16 and opened.split == setting


def test_cosine_answers_by_likeness_alone(held_out, roberta, tmp_path):
    told = {"encoder": str(roberta[0]), "tokens": "tiny", "max_length": "64", "own_entity": "remove"}
    folder = run_baseline("cosine", held_out, None, tmp_path / "run", told)
    (path,) = (folder / "results").glob("link-prediction-*.json")
    found = json.loads(path.read_text(encoding="utf-8"))["metrics"]["both"]["mrr"]
    assert evaluate(folder, "link-prediction", settings={"own_entity": "remove"})["metrics"]["both"]["mrr"] == found
    facts, vectors = read_facts(Dataset(held_out)), load_baseline(folder).scorer().vector_form().entities.double()
    known = {tuple(triple) for triple in facts.triples("train", "valid", "test").tolist()}
    ranks = []
    for head, relation, tail in facts.splits["test"].tolist():
        for given, gold, places in ((head, tail, (head, relation, None)), (tail, head, (None, relation, tail))):
            scores = vectors @ vectors[given]
            others = [
                other
                for other in range(facts.entities)
                if other not in (gold, given) and tuple(other if p is None else p for p in places) not in known
            ]
            better, equal = ((scores[others] > scores[gold]).sum(), (scores[others] == scores[gold]).sum())
            ranks.append(1 + int(better) + int(equal) / 2)
    assert found == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks), rel=1e-6)
    with pytest.raises(DataError, match="does not say which relation joins"):
        predict(folder, head="Q1", tail="Q2")


@pytest.mark.slow
def test_it_finds_the_translation_that_joins_the_vectors_and_with_it_facts_of_entities_that_train_lacks(monkeypatch):
    rng = np.random.default_rng(0)
    first, moved = rng.normal(size=(40, 8)), rng.normal(size=8)
    vectors = torch.from_numpy(np.concatenate([first, first + moved])).float()
    monkeypatch.setattr("training.models.frozen_encoder.text_vectors", lambda settings, texts, words: vectors)
    facts = np.array([(i, 0, i + 40) for i in range(40)])
    known = Facts(80, 1, {"train": facts[:30], "valid": facts[:0], "test": facts[30:]}, "inductive")
    settings = FrozenEncoderSettings(gamma=4.0, epochs=60, batch=10, lr=0.1)
    model = train_frozen_encoder(settings, known, texts_of([[5]] * 80), WORDS)
    assert torch.equal(model.entities, vectors)
    assert torch.cosine_similarity(model.relation.weight[0], torch.from_numpy(moved).float(), dim=0) > 0.95
    unseen = torch.cat([torch.arange(30, 40), torch.arange(70, 80)])
    scores = FrozenEncoderScorer(model).among(unseen).tails(torch.arange(30, 40), torch.zeros(10, dtype=torch.int64))
    assert scores.argmax(dim=1).tolist() == list(range(10, 20))


def test_a_narrow_scorer_gives_the_wide_ones_scores():
    torch.manual_seed(0)
    wide = FrozenEncoderScorer(FrozenEncoder(FrozenEncoderSettings(), torch.randn(9, 4), KINDS))
    chosen, ends, relations = torch.tensor([1, 5, 8]), torch.tensor([0, 8]), torch.tensor([2, 0])
    assert torch.equal(wide.among(chosen).tails(ends, relations), wide.tails(ends, relations)[:, chosen])
    assert torch.equal(wide.among(chosen).heads(relations, ends), wide.heads(relations, ends)[:, chosen])
    assert wide.relations(ends, ends.flip(0)).argmax(dim=1).shape == (2,)
    triples = wide.triples(ends, relations, ends.flip(0))
    assert torch.allclose(triples, wide.tails(ends, relations)[torch.arange(2), ends.flip(0)], rtol=1e-5)


def test_what_can_not_be_is_one_line(held_out, tmp_path):
    with pytest.raises(UsageError, match="leaves no negatives"):
        FrozenEncoderSettings(negatives=0, in_batch=False)
    with pytest.raises(UsageError, match=r"score=cosine .* loss=infonce"):
        FrozenEncoderSettings(score="cosine")
    with pytest.raises(DataError, match="can't be loaded") as raised:
        run_baseline("frozen-encoder", held_out, None, tmp_path / "run", {"encoder": str(tmp_path), "tokens": "tiny"})
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()
