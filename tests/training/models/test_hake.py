"""HAKE's score is its authors'.

golden/hake.json holds what theirs said; golden/make_hake.py wrote it.
"""

import json
from pathlib import Path

import pytest
import torch

from training.models.hake import hake_interaction

GOLDEN = json.loads((Path(__file__).parent / "golden" / "hake.json").read_text(encoding="utf-8"))


def test_the_score_is_the_authors():
    pytest.importorskip("pykeen")
    sides = [tuple(map(torch.tensor, GOLDEN[side])) for side in ("heads", "relations", "tails")]
    interaction = hake_interaction(len(GOLDEN["heads"][0][0]), GOLDEN["gamma"])
    assert interaction.phase_weight.item() == pytest.approx(GOLDEN["phase_weight"])
    assert interaction.modulus_weight.item() == pytest.approx(GOLDEN["modulus_weight"])
    torch.testing.assert_close(interaction(*sides), torch.tensor(GOLDEN["scores"]), rtol=1e-5, atol=1e-6)
