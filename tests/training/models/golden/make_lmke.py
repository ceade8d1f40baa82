"""Write lmke.json: what the authors' matching and loss are of tests/training/models/lmke_case.py.

    python -m tests.training.models.golden.make_lmke --lmke FOLDER

The folder is a checkout of github.com/Neph0s/LMKE at d742869. model.py and trainer.py run as they are: a training epoch
of one batch, of which this script gives the vectors that the language model would, and keeps the labels, the losses and
the vectors' gradients. What trainer.py imports and does not use here (wandb) is a stand-in.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from tests.training.models import lmke_case as case

RESULT = Path(__file__).parent / "lmke.json"
HYPERPARAMETERS = {
    "identifier": "case", "load_epoch": -1, "load_path": None, "batch_size": len(case.BATCH), "epoch": 1, "neg_rate": 0,
    "wandb": False, "task": "LP", "contrastive": True, "no_use_lm": False, "use_structure": False, "rdrop": False,
}  # fmt: skip


class DataLoader:
    """The case's facts as the authors' loader gives them."""

    def __init__(self) -> None:
        self.ent2id = {name: number for number, name in enumerate(case.ENTITIES)}
        self.rel2id = {name: number for number, name in enumerate(case.RELATIONS)}
        self.entity_list, self.relation_list = list(case.ENTITIES), list(case.RELATIONS)
        self.statistics = {"degrees": case.degrees()}

    def get_groundtruth(self) -> Any:
        known: dict[str, dict[Any, list[str]]] = {"head": {}, "tail": {}}
        for head, relation, tail in case.TRAIN:
            known["head"].setdefault((relation, tail), []).append(head)
            known["tail"].setdefault((relation, head), []).append(tail)
        return {"train": known}

    def train_data_sampler(self) -> Any:
        class Sampler(list):  # type: ignore[type-arg]
            def get_dataset_size(self) -> int:
                return len(case.BATCH)

        return Sampler([[(triple, 1) for triple in case.BATCH]])

    def batch_tokenize(self, triples: Any, mode: str) -> Any:
        return types.SimpleNamespace(to=lambda _: None), (triples, mode)

    batch_tokenize_target = batch_tokenize


def run(folder: Path, self_adversarial: bool) -> dict[str, Any]:
    """One epoch; by side: logits, labels, the loss, and its gradient for queries and keys."""
    sys.modules.setdefault("wandb", types.ModuleType("wandb"))
    sys.path.insert(0, str(folder))
    import model as authors
    import trainer

    lm = torch.nn.Linear(1, 1)
    lm.config, lm.device = types.SimpleNamespace(hidden_size=case.WIDTH), torch.device("cpu")
    found: dict[str, Any] = {}

    class Lmke(authors.LMKE):  # type: ignore[misc,name-defined]
        def forward(self, _: Any, asked: Any, mode: str) -> Any:
            side = {"h": "head", "t": "tail"}[mode[-1]]
            given = [(t if side == "head" else h, r) for h, r, t in asked[0]]
            queries = torch.stack([case.query_vector(side, *pair) for pair in given])
            found[side] = {"queries": queries.requires_grad_()}
            return queries

        def encode_target(self, _: Any, asked: Any, mode: str) -> Any:
            side, end = ("head", 0) if mode[-1] == "h" else ("tail", 2)
            keys = case.key_vectors()[[self.ids[triple[end]] for triple in asked[0]]]
            found[side]["keys"] = keys.requires_grad_()
            return keys

        def match(self, *given: Any, **more: Any) -> Any:
            logits = super().match(*given, **more)
            found[{"h": "head", "t": "tail"}[given[3][-1]]]["logits"] = logits
            return logits

    network = Lmke(lm, len(case.ENTITIES), len(case.RELATIONS), False, True)
    network.lm_model_given.device, network.ids = torch.device("cpu"), DataLoader().ent2id
    network.sim_classifier.load_state_dict(case.matcher_weights())

    class Trainer(trainer.Trainer):  # type: ignore[misc,name-defined]
        def link_prediction(self, *_: Any) -> None:
            pass

    class Loss(torch.nn.BCELoss):
        def forward(self, input: Any, target: Any) -> Any:
            next(side for side in found.values() if "labels" not in side)["labels"] = target.int().tolist()
            return super().forward(input, target)

    def backward(loss: Any) -> None:
        next(side for side in found.values() if "loss" not in side)["loss"] = loss.item()
        torch.autograd.backward(loss)

    optimizer = types.SimpleNamespace(zero_grad=network.zero_grad, step=lambda: None)
    scheduler = types.SimpleNamespace(step=lambda: None)
    settings = {**HYPERPARAMETERS, "self_adversarial": self_adversarial}
    with (
        mock.patch.object(torch.nn, "BCELoss", Loss),
        mock.patch.object(torch.Tensor, "backward", backward),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        Trainer(DataLoader(), network, None, optimizer, scheduler, torch.device("cpu"), settings).run()
    return {side: kept(network, side, values) for side, values in found.items()}


def kept(network: Any, side: str, values: dict[str, Any]) -> dict[str, Any]:
    """What of a side goes into the file; with the logits of all entities, as in the authors' evaluation."""
    mode, degrees = f"link_prediction_{side[0]}", case.degrees()
    known = [[degrees.get(part, 0) for part in triple] for triple in case.BATCH]
    own = [degrees.get(entity, 0) for entity in case.ENTITIES]
    with torch.no_grad():
        ranked = (
            type(network)
            .__mro__[1]
            .match(network, values["queries"], case.key_vectors(), known, mode, test=True, ent_list_degrees=own)
        )
    return {
        "loss": values["loss"],
        "labels": values["labels"],
        "logits": rounded(values["logits"]),
        "ranked": rounded(ranked),
        "query gradients": rounded(values["queries"].grad),
        "key gradients": rounded(values["keys"].grad),
    }


def rounded(values: Any) -> list[list[float]]:
    """With as many digits as the numbers have."""
    return [[float(f"{value:.8g}") for value in row] for row in values.tolist()]


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmke", type=Path, required=True)
    folder = parser.parse_args().lmke.resolve()
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):
        os.mkdir("params")
        found = {"self-adversarial": run(folder, True), "alike": run(folder, False)}
    text = json.dumps(found).replace('], "', '],\n"').replace("], [", "],\n[").replace('}, "', '},\n"')
    RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
