"""Write lass.json: what the authors' code makes of tests/training/models/lass_case.py.

    python -m tests.training.models.golden.make_lass --lass FOLDER

The folder is a checkout of github.com/pkusjh/LASS at 43f4c5e. Of it, model/bert_model.py (the model), data_processor.py
(a fact as token ids, cut to fit) and data_collator.py (which tokens are whose) run as they are; transformers' names are
given to them where they were in version 3, and arguments that its BERT takes no more are left out: all are None.
"""

import argparse
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig
from transformers.models.bert import modeling_bert

from tests.training.models import lass_case as case

RESULT = Path(__file__).parent / "lass.json"


class OlderBert(modeling_bert.BertModel):  # type: ignore[misc]
    """What the model calls."""

    def forward(self, input_ids: Any = None, **words: Any) -> Any:
        """Without what is None."""
        return super().forward(input_ids, **{name: value for name, value in words.items() if value is not None})


class OlderModel(modeling_bert.BertPreTrainedModel):  # type: ignore[misc]
    """What the model is a subclass of."""

    def init_weights(self) -> None:
        """The case has weights of its own."""


def modules(folder: Path) -> tuple[Any, Any, Any]:
    """The three files."""
    older = types.ModuleType("transformers.modeling_bert")
    names = {
        "BertModel": OlderBert,
        "BertPreTrainedModel": OlderModel,
        "BertOnlyMLMHead": modeling_bert.BertOnlyMLMHead,
    }
    vars(older).update(names)
    sys.modules["transformers.modeling_bert"] = older
    sys.path.insert(0, str(folder))
    from model import bert_model, data_collator, data_processor

    return bert_model, data_collator, data_processor


def batch(collator: Any, processor: Any, separators: bool) -> dict[str, Any]:
    """The facts as the authors' files make them."""
    self = processor.KGProcessor.__new__(processor.KGProcessor)
    tokens = types.SimpleNamespace(
        sep_token_id=case.SEP, cls_token_id=case.CLS, convert_tokens_to_ids=lambda _: case.SEP
    )
    self.tokenizer, self.max_seq_length, self.no_text, self.no_mid = tokens, case.LONGEST, False, True
    self.text_sep_token, self.is_world_master = "[SEP]" if separators else None, False
    self.ent2tokens = {f"e{i}": ids for i, ids in enumerate(case.ENTITIES)}
    self.rel2tokens = {f"r{i}": ids for i, ids in enumerate(case.RELATIONS)}
    self.name2id = dict.fromkeys([*self.ent2tokens, *self.rel2tokens], 0)
    examples = [
        processor.InputExample([0, 0], "", "", "", f"e{h}", f"r{r}", f"e{t}", str(label))
        for (h, r, t), label in zip(case.FACTS, case.LABELS, strict=True)
    ]
    features = self.convert_examples_to_features(examples, print_info=False)
    rows = [
        {
            "input_ids": torch.tensor(feature.input_ids),
            "labels": torch.tensor(feature.label_id),
            "pos_indicator": torch.tensor(feature.pos_indicator),
        }
        for feature in features
    ]
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
