"""Facts and their corruptions."""

import dataclasses

import numpy as np

from tests.training.models import lmke_case as case
from tests.training.models.test_matching import feed_of_case, indices, rows_of
from training.data.batch import ragged_rows
from training.data.false_facts import FactFeed
from training.data.negatives import known_facts
from training.data.stream import Part


def facts_of(feed, rows, epoch):
    batch = feed.batch(Part(rows.columns, np.full(len(rows.epochs), epoch)))
    return batch.facts.parts.view(len(rows.epochs), -1, 3).numpy(), batch.labels


def test_corrupted_facts_differ_in_one_end_and_are_drawn_anew_each_epoch():
    triples, drawn = indices(case.TRAIN), np.arange(0, 40, 3)
    texts = dataclasses.replace(feed_of_case().texts, entities=ragged_rows([[]] * 40))
    rows, known = rows_of(triples), known_facts(triples, 40, 2, drawn)
    feed = FactFeed(texts, known, 0, "triples/train", 3)
    sides, first = [], None
    for epoch in range(20):
        made, labels = facts_of(feed, rows, epoch)
        assert labels.view(-1, 4).tolist() == [[1, 0, 0, 0]] * len(triples)
        assert (made[:, 0] == triples).all()
        changed = made[:, 1:] != triples[:, None]
        assert (changed.sum(axis=-1) == 1).all() and not changed[..., 1].any()
        sides.append(changed[..., 0].mean())
        assert not known.holds(*made[:, 1:].reshape(-1, 3).T).any()
        assert np.isin(made[:, 1:][changed], drawn).all()
        first = made if first is None else first
        assert epoch == 0 or not (made == first).all()
    assert 0.4 < np.mean(sides) < 0.6
