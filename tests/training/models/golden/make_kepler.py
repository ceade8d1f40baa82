"""Write kepler.json: what the authors' losses are of tests/training/models/kepler_case.py.

    python -m tests.training.models.golden.make_kepler --kepler FOLDER --simkgc FOLDER

The folders are checkouts of github.com/THU-KEG/KEPLER at 05304cc and of github.com/intfloat/SimKGC at 97cc43e. Of
KEPLER, the knowledge embedding head (fairseq/models/roberta/model.py) and the criterion MLMetKE run as they are, cut
out of their files for what these import, and with a CPU's tensors where the head asks for CUDA's. Of SimKGC, models.py
and triplet_mask.py run as they are; the loss is the sum that trainer.py makes of the logits.
"""

import argparse
import ast
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.training.models import kepler_case as case

RESULT = Path(__file__).parent / "kepler.json"


def cut_out(path: Path, name: str, **names: Any) -> Any:
    """The class of this name in a file, without the rest of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    found.decorator_list = []
    space: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional, **names}
    exec(compile(ast.Module([found], []), str(path), "exec"), space)
    return space[name]


def kepler_loss(folder: Path, negatives: int, conditioned: bool) -> float:
    """What the criterion says of what the head says."""
    torch.cuda.FloatTensor = torch.FloatTensor
    head_class = cut_out(folder / "fairseq/models/roberta/model.py", "RobertaKnowledgeEmbeddingHead")
    loss_class = cut_out(folder / "fairseq/criterions/MLMetKE.py", "MLMetKELoss", FairseqCriterion=object)
    args = types.SimpleNamespace(
        gamma=case.GAMMA, nrelation=case.TRIPLES, encoder_embed_dim=case.HIDDEN, ke_model="TransE", ke_head_name="one"
    )
    head = head_class(args)
    *texts, relations = case.kepler_inputs(negatives, conditioned)
    head.relation_emb.weight.data.copy_(relations)

    class Model:
        def get_targets(self, sample: Any, _: Any) -> Any:
            return sample["relations"]

        def KEscore(self, src_tokens: Any, relations: Any, ke_head_name: str) -> Any:
            heads, tails, more_heads, more_tails, asked_heads, asked_tails, _ = (
                None if states is None else states[:, None] for states in src_tokens
            )
            scores = head(heads, tails, more_heads, more_tails, asked_heads, asked_tails, relations)
            return (*scores, len(heads))

    names = ("heads", "tails", "nHeads", "nTails", "heads_r", "tails_r")
    sample = {"KE": {"relations": torch.arange(case.TRIPLES), "net_input": dict(zip(names, texts, strict=True))}}
    criterion = loss_class.__new__(loss_class)
    criterion.args = args
    return criterion.KE_loss(Model(), sample)[0].item()


def simkgc_modules(folder: Path, work: Path) -> tuple[Any, Any]:
    """models.py and triplet_mask.py, told of the case's facts and entities by files as their arguments name."""
    columns = ("head_id", "relation", "tail_id", "head", "tail")
    facts = [dict(zip(columns, (*fact, "", ""), strict=True)) for fact in case.KNOWN]
    (work / "train.txt.json").write_text(json.dumps(facts), encoding="utf-8")
    names = [{"entity_id": chr(ord("a") + number), "entity": ""} for number in range(26)]
    (work / "entities.json").write_text(json.dumps(names), encoding="utf-8")
    train = str(work / "train.txt.json")
    sys.argv = ["main.py", "--task", "wn18rr", "--train-path", train, "--valid-path", train, "--model-dir", str(work)]
    sys.path.insert(0, str(folder))
    import models
    import triplet_mask

    return models, triplet_mask


def simkgc_loss(modules: tuple[Any, Any], triples: Any, before: Any, number: int, self_negatives: bool) -> Any:
    """The loss of a batch after the one before, and which candidates of each query count."""
    models, masks = modules
    examples, earlier = (
        [types.SimpleNamespace(head_id=h, relation=r, tail_id=t) for h, r, t in some] for some in (triples, before)
    )
    model = models.CustomBertModel.__new__(models.CustomBertModel)
    nn.Module.__init__(model)
    model.args = types.SimpleNamespace(pre_batch_weight=case.PRE_BATCH_WEIGHT, use_self_negative=self_negatives)
    model.log_inv_t = nn.Parameter(torch.tensor(1.0 / case.TEMPERATURE).log())
    model.add_margin, model.pre_batch, model.batch_size, model.offset = case.MARGIN, 1, len(triples), 0
    model.pre_batch_vectors, model.pre_batch_exs = case.simkgc_inputs(before, number)[1], earlier
    queries, tails, heads = case.simkgc_inputs(triples, number)
    batch = {
        "batch_data": examples,
        "triplet_mask": masks.construct_mask(examples),
        "self_negative_mask": masks.construct_self_negative_mask(examples),
    }
    kept = [batch["triplet_mask"], masks.construct_mask(examples, earlier)]
    vectors = {"hr_vector": queries, "tail_vector": tails, "head_vector": heads}
    found = model.compute_logits(vectors, batch)
    criterion, logits, labels = nn.CrossEntropyLoss(), found["logits"], found["labels"]
    # As Trainer.train_epoch adds them.
    loss = criterion(logits, labels) + criterion(logits[:, : len(triples)].t(), labels)
    kept += [batch["self_negative_mask"][:, None]] if self_negatives else []
    return {"loss": loss.item(), "kept": [row.int().tolist() for row in torch.cat(kept, dim=1)]}


def main() -> None:
    """Run all once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kepler", type=Path, required=True)
    parser.add_argument("--simkgc", type=Path, required=True)
    words = parser.parse_args()
    losses: dict[str, Any] = {
        f"{negatives} negatives{', conditioned' if conditioned else ''}": kepler_loss(
            words.kepler, negatives, conditioned
        )
        for negatives in (1, 3)
        for conditioned in (False, True)
    }
    with tempfile.TemporaryDirectory() as work:
        modules = simkgc_modules(words.simkgc.resolve(), Path(work))
        losses["both ways"] = simkgc_loss(modules, case.BOTH_WAYS, case.BEFORE["both ways"], 10, False)
        losses["one way"] = simkgc_loss(modules, case.ONE_WAY, case.BEFORE["one way"], 20, True)
    text = (
        json.dumps(losses, indent=None)
        .replace('"kept": [', '"kept": [\n')
        .replace("], [", "],\n[")
        .replace('}, "', '},\n"')
    )
    RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
