"""C-LMKE as its authors published it, run as it is on today's libraries, on UMLS, beside ours.

`Original` imports model.py, trainer.py and dataloader.py of a checkout of github.com/Neph0s/LMKE (at d742869); nothing
of it is kept here. What it needs and is not here is stood in for: wandb, of which nothing is used without its flag;
.cuda() leaves a tensor where it is; and the language model is a BERT of 2 layers of 128 with random weights and the
words of all-MiniLM-L6-v2, which are BERT's. Its optimizer is torch's AdamW, its batches are 64 triples in the order of
its own sampler, texts are cut at 512 tokens, and negatives weigh self-adversarially, all as its README has it. There is
no dropout, so that the losses can be compared.

Ours has the same weights, texts and triples, and the switches of the authors' code.
"""

import contextlib
import functools
import importlib
import io
import os
import random
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Int64

from benchmarks.kepler_data import ENCODER
from benchmarks.timing import best_cpu_seconds
from schemas.packaged import packaged_model
from training.config import Config, EncoderConfig, LmkeConfig, OptimConfig, TrainConfig
from training.data.batch import Columns, ragged_rows
from training.data.graphs import TableSizes
from training.data.links import FactTexts, LinkBatch, LinkFeed
from training.data.negatives import known_facts
from training.data.sequences import Layout
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import SOLE, Part
from training.entity_memory import CPU
from training.models.lmke import CLmke
from training.ranks import Ranks
from training.step import LABELS, learner, part, train_step, whole_batch

BATCH, RATE, CLOSE = 64, 1e-5, 1e-5
AS_THE_CODE = LmkeConfig(repeated_keys=True, self_adversarial="attached", summed=True, encode_tokens=4_096)
PARTS = {"ent_embeddings": "entity", "rel_embeddings": "relation"}
SETTINGS = {
    "identifier": "bench", "load_epoch": -1, "load_path": None, "batch_size": BATCH, "epoch": 1, "neg_rate": 0,
    "wandb": False, "task": "LP", "contrastive": True, "no_use_lm": False, "use_structure": False, "rdrop": False,
    "self_adversarial": True,
}  # fmt: skip


class Original:
    """The authors' loader, model and trainer."""

    def __init__(self, folder: Path, work: Path, steps: int) -> None:
        """`work` is where it writes, and where BERT is kept."""
        from transformers import AutoTokenizer, BertConfig, BertModel

        sys.modules.setdefault("wandb", types.ModuleType("wandb"))
        sys.path.insert(0, str(folder))
        self._trainer, loader, model = map(importlib.import_module, ("trainer", "dataloader", "model"))
        torch.manual_seed(0)
        random.seed(0)
        self.tokenizer = AutoTokenizer.from_pretrained(packaged_model(ENCODER))
        sizes = BertConfig(
            vocab_size=len(self.tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        bert, self.bert = BertModel(sizes), work / "bert"
        bert.save_pretrained(self.bert)
        data = folder / "data" / "umls"
        paths = {
            split: str(data / f"{name}.tsv") for split, name in (("train", "train"), ("valid", "dev"), ("test", "test"))
        }
        texts = [str(data / name) for name in ("entity2textlong.txt", "relation2text.txt")]
        self.loader = loader.DataLoader(
            {"dataset": "umls", **paths, "text": texts}, self.tokenizer, batch_size=BATCH, neg_rate=0
        )
        self.model = model.LMKE(bert, len(self.loader.ent2id), len(self.loader.rel2id), False, True)
        self.batches = self.loader.train_data_sampler().dataset[: steps * BATCH]

    def triples(self) -> Int64[np.ndarray, "N 3"]:
        """All batches' triples as indices."""
        entities, relations = self.loader.ent2id, self.loader.rel2id
        return np.array([[entities[h], relations[r], entities[t]] for (h, r, t), _ in self.batches])

    def known(self) -> Int64[np.ndarray, "T 3"]:
        """Those of train."""
        entities, relations = self.loader.ent2id, self.loader.rel2id
        return np.array([[entities[h], relations[r], entities[t]] for h, r, t in self.loader.train_set])

    def steps(self, *, learns: bool = True) -> list[float]:
        """Train on all batches; the losses, two of a batch."""
        losses: list[float] = []
        own = self.batches

        class Sampler(list):  # type: ignore[type-arg]
            def get_dataset_size(self) -> int:
                return len(own)

        class Trainer(self._trainer.Trainer):  # type: ignore[misc,name-defined]
            def link_prediction(self, *_: Any) -> None:
                pass

        def backward(loss: Any) -> None:
            losses.append(loss.item())
            if learns:
                torch.autograd.backward(loss)

        optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE if learns else 0.0, weight_decay=1e-7)
        scheduler = types.SimpleNamespace(step=lambda: None)
        cut = Sampler(own[start : start + BATCH] for start in range(0, len(own), BATCH))
        with (
            patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
            patch.object(torch.Tensor, "backward", backward),
            patch.object(self.loader, "train_data_sampler", lambda: cut),
            patch.object(self._trainer, "tqdm", lambda batches, **_: batches),
            patch("signal.signal"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            Trainer(self.loader, self.model, self.tokenizer, optimizer, scheduler, CPU, SETTINGS).run()
        return losses


class Ours:
    """The same in ours."""

    def __init__(self, original: Original, config: LmkeConfig) -> None:
        loader, tokenizer = original.loader, original.tokenizer
        sizes = TableSizes(len(tokenizer), len(loader.ent2id), len(loader.rel2id))
        special = SpecialTokens(
            tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id,
            tokenizer.mask_token_id,
        )  # fmt: skip
        texts = [
            ragged_rows([tokenizer.convert_tokens_to_ids(loader.uid2tokens.get(one, [])) for one in names])
            for names in (loader.entity_list, loader.relation_list)
        ]
        budgets = (config.entity_length, config.relation_length, config.entity_length)
        layouts = Layout(special, 512, budgets, holders=True), Layout(special, 512, (config.key_length,), holders=True)
        read, known = FactTexts(*texts, *layouts, config.encode_tokens), original.known()
        self.feed = LinkFeed(read, known_facts(known, sizes.entities, sizes.relations), config)
        encoder = EncoderConfig(name=str(original.bert), dropout=0.0)
        whole = Config(
            recipe="bench", system="c-lmke", encoder=encoder, lmke=config, train=TrainConfig(batch_size=BATCH),
            optim=OptimConfig(lr=RATE, weight_decay=1e-7, clip_norm=0.0),
        )  # fmt: skip
        model = CLmke(whole, sizes)
        model.count_degrees(known)
        take_weights(model, original.model)
        self.learner, self.triples = learner(whole, model, Ranks(SOLE, CPU)), original.triples()

    def batches(self) -> Iterator[LinkBatch]:
        """As the loader makes them."""
        for start in range(0, len(self.triples), BATCH):
            rows = self.triples[start : start + BATCH]
            numbers = dict(zip(TRIPLE, rows.T, strict=True)) | {"row": np.arange(len(rows))}
            yield self.feed.batch(Part(Columns(len(rows), numbers, {}), np.zeros(len(rows), dtype=np.int64)))

    def losses(self) -> list[float]:
        """Of each batch, as a sum over the queries of both sides."""
        with torch.no_grad():
            return [float(self.learner.model.losses(batch)["link"]) for batch in self.batches()]

    def steps(self) -> None:
        """Train on all batches."""
        for batch in self.batches():
            labels = part(whole_batch([batch], self.learner.model, self.learner.ranks), LABELS)
            train_step(self.learner, [batch], labels, 0, RATE)


@torch.no_grad()
def take_weights(model: CLmke, original: Any) -> None:
    """The authors' model's."""
    for own, theirs in ((model.encoder, original.lm_model_given), (model.key_encoder, original.lm_model_target)):
        states = theirs.state_dict()
        for name, value in own.state_dict().items():
            value.copy_(states[name][: len(value)])
    for theirs, name in PARTS.items():
        getattr(model, name).weight.copy_(getattr(original, theirs).weight)
    model.mask.weight.copy_(original.mask_embeddings.weight[[0, 2]])
    matcher: Any = model.matcher
    for layer, place in ((matcher.hidden, 0), (matcher.output, 2)):
        layer.load_state_dict(original.sim_classifier[place].state_dict())


def measure(folder: Path, batches: int, rounds: int) -> dict[str, Any]:
    """Equal losses first, then triples a CPU second, each round with the same batches."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        work = Path(temporary)
        os.mkdir("params")
        original = Original(folder, work, batches)
        ours = Ours(original, AS_THE_CODE)
        theirs = original.steps(learns=False)
        paired = [first + second for first, second in zip(theirs[::2], theirs[1::2], strict=True)]
        own = ours.losses()
        assert np.allclose(paired, own, rtol=CLOSE), (paired, own)
        sizes = [batch.sizes["padded_tokens"] for batch in ours.batches()]
        runs = {"original": functools.partial(original.steps), "ours": ours.steps}
        seconds = best_cpu_seconds(runs, rounds)
    count = len(original.batches)
    figures: dict[str, Any] = {f"{name}, triples a CPU s": round(count / value, 2) for name, value in seconds.items()}
    figures["ours / original"] = round(seconds["original"] / seconds["ours"], 2)
    figures |= {"padded tokens of a batch, ours": round(float(np.mean(sizes)))}
    return {**figures, "loss": round(sum(paired) / 2 / count, 6), "loss, ours": round(sum(own) / 2 / count, 6)}
