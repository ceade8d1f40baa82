"""GraphVite's settings: its gradient of a triple by hand, its learning rates, its presets."""

import dataclasses

import numpy as np
import pytest
import torch

from schemas.errors import UsageError
from training.embeddings import EmbeddingSettings, new_embedding, train_embedding
from training.evaluation.facts import Facts
from training.evaluation.settings import read_settings
from training.graphvite import WIKIDATA5M, linear_rate, preset, self_adversarial_loss, slow_relations, with_preset

pytest.importorskip("pykeen")

SGD = EmbeddingSettings(dim=4, epochs=1, batch=2, lr=0.1, loss="self-adversarial", optimizer="sgd", decay=0.0)


def facts():
    triples = np.array([(i, i % 2, (i * 3 + 1) % 9) for i in range(9)])
    return Facts(9, 2, {"train": triples, "valid": triples[:0], "test": triples[:0]})


def test_the_loss_is_graphvites_sum_over_triples():
    torch.manual_seed(0)
    positive, negative = torch.randn(3), torch.randn(3, 5)
    slow = torch.zeros(())
    for one, others in zip(positive, negative, strict=True):
        weights = torch.exp(others / 0.2) / torch.exp(others / 0.2).sum()
        slow = slow - torch.log(torch.sigmoid(6.0 + one))
        slow = slow - sum(
            w * torch.log(1 - torch.sigmoid(6.0 + other)) for w, other in zip(weights, others, strict=True)
        )
    summed = self_adversarial_loss(6.0, 0.2, "sum").process_slcwa_scores(positive[:, None], negative)
    assert summed.item() == pytest.approx(slow.item(), rel=1e-4)
    mean = self_adversarial_loss(6.0, 0.2, "mean").process_slcwa_scores(positive[:, None], negative)
    assert mean.item() == pytest.approx(slow.item() / 6, rel=1e-4)  # Sun et al.: the mean of both terms


@pytest.mark.parametrize("name", ["distmult", "simple"])
def test_l3_adds_the_cubes_of_what_a_triple_uses(name):
    from training.graphvite import add_l3

    model = new_embedding(name, SGD, facts())
    add_l3(model, 0.5 * 2)  # PyKEEN takes the mean over the rows
    triples = torch.tensor([[0, 0, 1], [2, 1, 3]])
    model.score_hrt(triples)
    found = model.collect_regularization_term()
    slow = torch.zeros(())
    for head, relation, tail in triples.tolist():
        entities = [table()[[head, tail]] for table in model.entity_representations]
        if name == "simple":  # of each pair a score uses head and tail once
            entities = [torch.stack([entities[0][0], entities[1][1]]), torch.stack([entities[0][1], entities[1][0]])]
        relations = [table()[relation] for table in model.relation_representations]
        slow = slow + sum(part.abs().pow(3).sum() for part in (*entities, *relations)) * 0.5
    assert found.item() == pytest.approx(slow.item(), rel=1e-4)


def test_relations_move_more_slowly_by_the_factor():
    moved = []
    for factor in (1.0, 0.25):
        torch.manual_seed(0)
        model = new_embedding("distmult", SGD, facts())
        slow_relations(model, factor)
        before = [
            table().detach().clone() for table in (*model.relation_representations, *model.entity_representations)
        ]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model.score_hrt(torch.tensor([[0, 1, 2]])).sum().backward()
        optimizer.step()
        after = [table().detach() for table in (*model.relation_representations, *model.entity_representations)]
        moved.append([new - old for new, old in zip(after, before, strict=True)])
    assert torch.allclose(moved[1][0], moved[0][0] / 4, atol=1e-7) and torch.equal(moved[1][1], moved[0][1])


def test_simple_crosses_the_vectors_of_head_and_tail():
    """PyKEEN 1.11.1 does not, so that a triple and its reverse have one score."""
    torch.manual_seed(0)
    model = new_embedding("simple", SGD, facts())
    (first, second), (relation, inverse) = (
        [table().detach() for table in side] for side in (model.entity_representations, model.relation_representations)
    )
    for h, r, t in ((0, 0, 1), (1, 0, 0), (2, 1, 3)):
        slow = ((first[h] * relation[r] * second[t]).sum() + (first[t] * inverse[r] * second[h]).sum()) / 2
        assert model.score_hrt(torch.tensor([[h, r, t]])).item() == pytest.approx(slow.item(), rel=1e-5)
        assert model.score_t(torch.tensor([[h, r]]))[0, t].item() == pytest.approx(slow.item(), rel=1e-5)
        assert model.score_h(torch.tensor([[r, t]]))[0, h].item() == pytest.approx(slow.item(), rel=1e-5)
    there, back = (model.score_hrt(torch.tensor([triple])).item() for triple in ([0, 0, 1], [1, 0, 0]))
    assert there != pytest.approx(back)


def test_the_rate_falls_to_nothing():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    for done, rate in ((0.25, 0.375), (0.5, 0.25), (1.0, 0.5e-4)):
        linear_rate(optimizer, 0.5, done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize("name", sorted(WIKIDATA5M))
def test_a_preset_is_the_published_settings_but_for_what_is_told(name):
    few = {"preset": "wikidata5m", "dim": "8", "epochs": "2", "batch": "4"}
    chosen = read_settings(EmbeddingSettings, with_preset(name, few), name).resolved(name, 9)
    assert (chosen.dim, chosen.epochs, chosen.batch, chosen.negatives) == (8, 2, 4, 64)
    assert (chosen.loss, chosen.optimizer, chosen.lr, chosen.decay) == (
        "self-adversarial", "sgd", WIKIDATA5M[name]["lr"], 0.0,
    )  # fmt: skip
    whole = read_settings(EmbeddingSettings, with_preset(name, {"preset": "wikidata5m"}), name)
    assert {key: getattr(whole.resolved(name, 20_000_000), key) for key in preset(name)} == preset(name)
    usual = {"negatives": "16", "optimizer": "adam", "relation_lr": "1.0", "loss": "infonce"}
    assert with_preset(name, {"preset": "wikidata5m", **usual}).items() >= usual.items()
    model = train_embedding(name, chosen, facts())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    new_embedding(name, chosen, facts()).load_state_dict(model.state_dict())


def test_a_batch_that_is_cut_gives_the_same_weights(monkeypatch):
    settings = dataclasses.replace(SGD, epochs=2, batch=9, negatives=3, margin=2.0)
    whole = train_embedding("transe", settings, facts()).state_dict()
    monkeypatch.setattr("training.embeddings.TRAINED_AT_ONCE", 4 * settings.dim * 4)
    cut = train_embedding("transe", settings, facts()).state_dict()
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        assert value.isfinite().all() and torch.allclose(value, cut[name], atol=1e-5), name


@pytest.mark.parametrize("negatives", [1, 64])
def test_a_triple_has_so_many_negatives_heads_and_tails_alike(negatives, monkeypatch):
    from pykeen.sampling import BasicNegativeSampler

    drawn, sample = [], BasicNegativeSampler.sample

    def spy(self, positive_batch):
        found = sample(self, positive_batch)
        drawn.append((positive_batch, found[0]))
        return found

    monkeypatch.setattr(BasicNegativeSampler, "sample", spy)
    train_embedding("transe", EmbeddingSettings(dim=4, epochs=8, batch=8, lr=0.01, negatives=negatives), facts())
    changed = torch.zeros(3)
    for positive, negative in drawn:
        assert negative.shape == (len(positive), negatives, 3)
        changed += (negative != positive[:, None]).flatten(0, 1).sum(dim=0)
    heads, relations, tails = changed.tolist()
    assert relations == 0 and 0.6 < heads / tails < 1.6


def test_a_rate_of_relations_needs_sgd():
    with pytest.raises(UsageError, match="optimizer=sgd"):
        EmbeddingSettings(relation_lr=0.1)


def test_a_preset_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="preset=wikidata5m has no settings for transh"):
        with_preset("transh", {"preset": "wikidata5m"})
