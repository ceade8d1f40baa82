"""Write hake.json: what HAKE's authors' score says of fixed vectors.

    python -m tests.training.models.golden.make_hake --original FOLDER

FOLDER is a checkout of github.com/MIRALab-USTC/KGE-HAKE. Its model runs as it is on a CPU. Kept are the vectors, the
learned weights and the score less the authors' gamma; their phases are in shares of the range that they begin in, and
are kept in radians. One bias is above 1 and one below -|modulus|, where they are held.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch

RESULT = Path(__file__).parent / "hake.json"
DIM, TRIPLES, GAMMA = 3, 4, 6.0


def main() -> None:
    """Run theirs and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--original", type=Path, required=True)
    sys.path.insert(0, str(parser.parse_args().original / "codes"))
    from models import HAKE, BatchType

    torch.manual_seed(0)
    model = HAKE(2 * TRIPLES, TRIPLES, DIM, GAMMA)
    with torch.no_grad():
        model.relation_embedding[:, DIM:] = torch.randn(TRIPLES, 2 * DIM)
        model.relation_embedding[0, -1], model.relation_embedding[1, -1] = 1.5, -5.0
    heads, tails = model.entity_embedding[:TRIPLES, None], model.entity_embedding[TRIPLES:, None]
    # Theirs holds the biases in place.
    relations = model.relation_embedding.detach().clone()[:, None]
    with torch.no_grad():
        scores = model.func(heads, relations.clone(), tails, BatchType.SINGLE)[:, 0] - GAMMA
    turn = math.pi / model.embedding_range.item()

    def parts(rows: torch.Tensor) -> list:
        phase, *others = rows[:, 0].chunk(rows.shape[-1] // DIM, dim=-1)
        return [(phase * turn).tolist(), *(other.tolist() for other in others)]

    kept = {
        "heads": parts(heads),
        "relations": parts(relations),
        "tails": parts(tails),
        "phase_weight": model.phase_weight.item(),
        "modulus_weight": model.modulus_weight.item(),
        "gamma": GAMMA,
        "scores": scores.tolist(),
    }
    RESULT.write_text(json.dumps(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
