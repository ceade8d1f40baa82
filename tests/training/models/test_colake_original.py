"""Our CoLAKE and the authors' model class say the same of the same graphs, by the same weights.

golden/colake.json holds what theirs said; golden/make_colake.py wrote it.
"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.training.models.colake_case import SIZES, TERMS, make_batch, make_model
from training.data.collate import RELATION

GOLDEN = json.loads((Path(__file__).parent / "golden" / "colake.json").read_text(encoding="utf-8"))


def answers(model, batch):
    """(mean loss of each term, its logits at the labelled nodes with columns as the golden ones have them)."""
    with torch.no_grad():
        losses = {name: float(loss) / batch.counts[name] for name, loss in model.losses(batch).items()}
        rows = model.memory.weight[GOLDEN["candidates"]]
        states = [model.states(piece).flatten(0, 1) for piece in batch.pieces]
        logits = {}
        for name, kind in TERMS.items():
            asked = [own[piece.asked[kind]] for own, piece in zip(states, batch.pieces, strict=True)]
            logits[name] = model._logits(name, torch.cat(asked), rows)
    return losses, logits


def matches(found, golden):
    return all(torch.allclose(torch.as_tensor(found[name]), torch.tensor(golden[name]), atol=2e-5) for name in golden)


def test_logits_and_losses_are_the_originals(tmp_path):
    losses, logits = answers(make_model(tmp_path), make_batch(GOLDEN["candidates"]))
    assert {name: len(rows) for name, rows in logits.items()} == {"word": 4, "entity": 8, "relation": 3}
    assert matches(logits, GOLDEN["logits"])
    assert matches(losses, GOLDEN["losses"])


def changed(batch, change):
    return dataclasses.replace(batch, pieces=[change(piece) for piece in batch.pieces])


def retyped(piece):
    return dataclasses.replace(piece, types=torch.where(piece.types == RELATION, 1, piece.types))


def unplaced(piece):
    return dataclasses.replace(piece, positions=torch.where(piece.types == RELATION, 0, piece.positions))


def unjoined(piece):
    return dataclasses.replace(piece, edges=piece.edges[1:])


@pytest.mark.parametrize("change", [retyped, unplaced, unjoined])
def test_the_comparison_sees_types_positions_and_edges(tmp_path, change):
    batch = changed(make_batch(GOLDEN["candidates"]), change)
    losses, logits = answers(make_model(tmp_path), batch)
    assert not matches(logits, GOLDEN["logits"]) and not matches(losses, GOLDEN["losses"])


def test_the_comparison_sees_a_table_of_positions_that_is_not_moved_and_other_candidates(tmp_path):
    batch = make_batch(GOLDEN["candidates"])
    losses, logits = answers(make_model(tmp_path, compat=False), batch)
    assert not matches(logits, GOLDEN["logits"]) and not matches(losses, GOLDEN["losses"])
    fewer = make_batch(GOLDEN["candidates"][:-1])
    assert answers(make_model(tmp_path), fewer)[0]["entity"] < GOLDEN["losses"]["entity"] - 1e-3


def test_pads_and_a_rest_of_graphs_of_another_size_are_in_it():
    batch = make_batch(GOLDEN["candidates"])
    assert [piece.ids.shape[0] for piece in batch.pieces] == [2, 1] and len(set(batch.lengths.tolist())) == 3
    assert SIZES.entities not in GOLDEN["candidates"] and len(GOLDEN["candidates"]) > batch.gold
