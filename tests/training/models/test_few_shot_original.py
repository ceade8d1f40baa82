"""Our prototypical networks and PAIR give the logits of FewRel's authors' for the same vectors; episodes are as theirs.

golden/few_shot.json holds what theirs said; golden/make_few_shot.py wrote it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.episodes import Shape, draw, pool_of
from training.models.pair import pair_logits
from training.models.proto import proto_logits

GOLDEN = json.loads((Path(__file__).parent / "golden" / "few_shot.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("distance", ["euclidean", "dot"])
def test_proto(distance):
    ours = proto_logits(torch.tensor(GOLDEN["support"]), torch.tensor(GOLDEN["query"]), distance)
    torch.testing.assert_close(ours, torch.tensor(GOLDEN[distance]), rtol=1e-5, atol=2e-6)


def test_pair():
    ours = pair_logits(torch.tensor(GOLDEN["pairs"]))
    torch.testing.assert_close(ours, torch.tensor(GOLDEN["pair"]), rtol=1e-5, atol=2e-6)


def test_an_episode_has_their_sizes_and_answers():
    rows = [{"example_id": f"P{number % 5}/{number}", "label": f"P{number % 5}"} for number in range(30)]
    episodes = draw(pool_of(rows), Shape(ways=3, shots=2, queries=2, none=2), 0, "train", [0])
    theirs = GOLDEN["episode"]
    assert episodes.answers.tolist() == [theirs["answers"]]
    assert (np.prod(episodes.support.shape), episodes.queries.shape) == (theirs["support"], (1, theirs["queries"]))
