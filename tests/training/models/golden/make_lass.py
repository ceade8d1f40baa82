"""Write lass.json: what the authors' code makes of tests/training/models/lass_case.py.

    python -m tests.training.models.golden.make_lass --lass FOLDER

The folder is a checkout of github.com/pkusjh/LASS at 43f4c5e. Its model, its way of cutting facts and its collator run
as they are (benchmarks/lass_original.py).
"""

import argparse
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.lass_original import features, modules
from tests.training.models import lass_case as case

RESULT = Path(__file__).parent / "lass.json"


def batch(collator: Any, processor: Any, separators: bool) -> dict[str, Any]:
    """The facts as the authors' files make them."""
    tokenizer = types.SimpleNamespace(
        sep_token_id=case.SEP, cls_token_id=case.CLS, convert_tokens_to_ids=lambda _: case.SEP
    )
    settings = {"tokenizer": tokenizer, "max_seq_length": case.LONGEST}
    texts, facts = (case.ENTITIES, case.RELATIONS), np.array(case.FACTS)
    separator = {"text_sep_token": "[SEP]"} if separators else {}
    rows = features(processor, texts, facts, case.LABELS, **settings, **separator)
    return collator.PoolingCollator(None)(rows)  # type: ignore[no-any-return]


@torch.no_grad()
def main() -> None:
    """Run all once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lass", type=Path, required=True)
    bert, collator, processor = modules(parser.parse_args().lass.resolve())
    found: dict[str, Any] = {}
    for separators in (False, True):
        config = case.config(BertConfig)
        config.real_vocab_size = config.vocab_size
        model = bert.BertPoolingForTripletPrediction(config, case.OFFSET, 0.0, None).eval()
        case.fill(model.bert)
        inputs = batch(collator, processor, separators)
        loss, scores = model(**inputs)
        model.pos_weight = torch.tensor([3.0])
        found["separators" if separators else "none"] = {
            "ids": [row[row != case.PAD].tolist() for row in inputs["input_ids"]],
            "scores": scores.tolist(),
            "loss": loss.item(),
            "loss, positives 3 times": model(**inputs)[0].item(),
        }
    RESULT.write_text(
        json.dumps(found, indent=None).replace('"ids"', '\n"ids"').replace('"scores"', '\n"scores"') + "\n"
    )


if __name__ == "__main__":
    main()
