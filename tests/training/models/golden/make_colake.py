"""Write colake.json: what the authors' model class says of tests/training/models/colake_case.py.

    python -m tests.training.models.golden.make_colake --original FOLDER

FOLDER is a checkout of github.com/txsun1997/CoLAKE at c9874bc, whose model class and collate function run as they are
(benchmarks/colake_original.py says on what), with our weights and our masked graphs. Kept are its three losses, its
logits at the labelled nodes, graph by graph, and the entities that it chose as candidates, by our numbers.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from benchmarks.colake_original import Original
from tests.training.models import colake_case as case
from training.data.collate import ENTITY

RESULT = Path(__file__).parent / "colake.json"
DIGITS = 6
NEGATIVES = 2
"""That the authors' collate function draws for each gold entity."""


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True)
    with tempfile.TemporaryDirectory() as folder:
        original = Original(parser.parse_args().original, case.make_model(folder))
    torch.manual_seed(0)
    alike = torch.ones(case.SIZES.entities + 1)
    alike[-3:] = 0  # the authors' <unk> and <pad>, and the mask symbol
    batch = original.batch(case.make_batch(), NEGATIVES, alike)
    losses, logits = original.outputs(original.model(), batch)
    candidates = original.ours(batch["ent_index"][0], ENTITY).tolist()
    rounded = {name: [[round(value, DIGITS) for value in row] for row in rows] for name, rows in logits.items()}
    text = json.dumps({"candidates": candidates, "losses": losses, "logits": rounded})
    # A line for each node.
    RESULT.write_text(text.replace("], [", "],\n[").replace('], "', '],\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
