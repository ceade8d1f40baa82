"""DKRL: the energy of its paper, descriptions that padding does not change, and entities that train has not."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from schemas.errors import DataError
from training.baselines import load_baseline, run_baseline
from training.data.batch import Ragged, offsets
from training.data.special import SpecialTokens
from training.data.triples import descriptions
from training.evaluation.facts import Facts
from training.evaluation.run import evaluate
from training.models.dkrl import Dkrl, DkrlScorer, DkrlSettings, batches, train_dkrl

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
KINDS, EACH = 3, 8
WORDS = 5 + 2 * KINDS + 4


def texts_of(rows):
    ids = Ragged(np.array([word for row in rows for word in row], np.int32), offsets(np.array(list(map(len, rows)))))
    none = Ragged(np.empty(0, np.int32), np.zeros(len(rows) + 1, np.int64))
    return descriptions(ids, none, SPECIAL, max_length=16, encode_tokens=64)


def kinds():
    """Relation k joins entities that are described by word 2k with such as are described by word 2k + 1.

    The last head and tail of each kind are in no train triple. Returns (facts, texts, held-out triples).
    """
    rows, ends = [], {}
    for kind in range(KINDS):
        for side in range(2):
            for number in range(EACH):
                ends[kind, side, number] = len(rows)
                noise = [5 + 2 * KINDS + (number + side) % 4, 5 + 2 * KINDS + number % 3]
                rows.append([noise[0], 5 + 2 * kind + side, *noise[1:] * (number % 5)])
    pairs = [(k, i, j) for k in range(KINDS) for i in range(EACH - 1) for j in range(EACH - 1) if (i + j) % 3]
    train = np.array([(ends[k, 0, i], k, ends[k, 1, j]) for k, i, j in pairs])
    held = np.array([(ends[k, 0, EACH - 1], k, ends[k, 1, 0]) for k in range(KINDS)])
    empty = np.empty((0, 3), np.int64)
    return Facts(len(rows), KINDS, {"train": train, "valid": empty, "test": held}), texts_of(rows), held


@pytest.mark.slow
def test_it_learns_a_made_up_graph_and_places_an_entity_that_train_lacks():
    facts, texts, held = kinds()
    settings = DkrlSettings(dim=16, epochs=30, batch=64, lr=0.02, drawn=16)
    scorer = DkrlScorer(train_dkrl(settings, facts, texts, WORDS), texts, facts)
    heads, relations, tails = torch.from_numpy(facts.splits["train"].copy()).unbind(dim=1)
    assert (scorer.relations(heads, tails).argmax(dim=1) == relations).double().mean() > 0.95
    heads, relations, tails = torch.from_numpy(held).unbind(dim=1)
    assert facts.unseen(held).all()
    assert (scorer.relations(heads, tails).argmax(dim=1) == relations).all()
    of_kind = scorer.tails(heads, relations).topk(EACH // 2).indices // EACH
    assert (of_kind == 2 * relations[:, None] + 1).double().mean() > 0.8


def test_the_energy_is_the_sum_over_both_vectors_of_both_ends():
    facts, texts, _ = kinds()
    model = Dkrl(DkrlSettings(dim=4), WORDS, facts.entities, facts.relations)
    scorer = DkrlScorer(model, texts, facts)
    described = torch.cat([model.describe(piece) for piece in texts.pieces(np.arange(facts.entities))])
    head, tail, unseen = 0, EACH + 2, EACH - 1
    for first in (head, unseen):
        both = [[described[e] if e == unseen else model.entity.weight[e], described[e]] for e in (first, tail)]
        for relation in range(KINDS):
            slow = sum((h + model.relation.weight[relation] - t).abs().sum() for h in both[0] for t in both[1])
            one, other, between = (torch.tensor([n]) for n in (first, tail, relation))
            found = [
                scorer.relations(one, other)[0, relation],
                scorer.tails(one, between)[0, tail],
                scorer.heads(between, other)[0, first],
                scorer.triples(one, between, other)[0],
            ]
            assert torch.stack(found).tolist() == pytest.approx([-slow.item()] * 4, rel=1e-5)


def test_a_description_is_the_same_whatever_it_is_padded_with():
    rows = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [5], [6, 7, 8, 9]]
    model = Dkrl(DkrlSettings(dim=8), WORDS, len(rows), 1)
    together = model.describe(texts_of(rows).pieces(np.arange(3))[0])
    alone = torch.cat([model.describe(texts_of([row]).pieces(np.arange(1))[0]) for row in rows])
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(alone[1], alone[2], atol=1e-3)


def test_an_epoch_has_every_triple_once_and_is_another_each_time():
    facts, _, _ = kinds()
    settings = DkrlSettings(batch=50, negatives=2, drawn=8)
    triples = facts.splits["train"]
    orders = []
    for epoch in (0, 0, 1):
        rows = []
        for batch in batches(triples, facts, settings, epoch):
            heads, tails = (batch.entities[part.numpy()] for part in (batch.heads, batch.tails))
            rows += list(zip(heads.tolist(), batch.relations.tolist(), tails.tolist(), strict=True))
            assert len(batch.others) == 4 and len(batch.wrong) == 2
            assert len(np.unique(batch.entities)) == len(batch.entities)
        assert sorted(rows) == sorted(map(tuple, triples.tolist()))
        orders.append(rows)
    assert orders[0] == orders[1] != orders[2]


def test_a_run_evaluates_again_to_the_same_numbers_and_names_missing_tokens(made_up, tmp_path):
    settings = {"dim": "8", "epochs": "1", "batch": "64"}
    folder = run_baseline("dkrl", made_up, None, tmp_path / "run", settings)
    (path,) = (folder / "results").glob("link-prediction-*.json")
    first = json.loads(path.read_text(encoding="utf-8"))
    assert evaluate(folder, "link-prediction")["metrics"] == first["metrics"]
    assert load_baseline(folder).settings["batch"] == 64
    with pytest.raises(DataError, match="has no tokens/other"):
        run_baseline("dkrl", made_up, None, tmp_path / "other", {**settings, "tokens": "other"})


def test_with_many_entities_a_step_is_adams_and_touches_the_rows_of_its_own_alone(monkeypatch):
    facts, texts, _ = kinds()
    learned = dataclasses.replace(facts, setting="inductive")
    settings, tables = DkrlSettings(dim=8, epochs=1, batch=1_000, drawn=16), []
    for least in (10, 1_000):
        monkeypatch.setattr("training.models.dkrl.SPARSE_FROM", least)
        model = train_dkrl(settings, learned, texts, WORDS)
        assert model.entity.sparse == (least == 10)
        tables.append(model.entity.weight.detach())
    torch.manual_seed(settings.seed)
    before = Dkrl(settings, WORDS, facts.entities, facts.relations).entity.weight.detach()
    moved = (tables[0] != before).any(dim=1).nonzero().flatten()
    assert moved.tolist() == learned.learnable.tolist() != list(range(facts.entities))
    # The two place eps differently, which shows where a gradient is next to nothing.
    apart = (tables[0] - tables[1]).abs()
    assert (apart < 1e-6).double().mean() > 0.95 and apart.max() < settings.lr / 5
