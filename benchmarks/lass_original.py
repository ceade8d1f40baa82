"""LASS as its authors published it, run as it is on today's libraries, on UMLS, beside ours.

`Original` imports model/bert_model.py, data_processor.py and data_collator.py of a checkout of github.com/pkusjh/LASS
(at 43f4c5e); nothing of it is kept here. transformers' names are given to them where they were in its version 3, and
arguments that its BERT takes no more are left out, all of which are None. The rest of its training (model/trainer.py)
is a subclass of that version's Trainer, in whose place stand its steps: forward, backward, clipping, AdamW.

The language model is a BERT of 2 layers of 128 with random weights and the words of all-MiniLM-L6-v2, which are BERT's,
without dropout, so that the losses can be compared. Facts are the same: true ones of UMLS by names, each with 5 false
heads, relations and tails, of which its scripts put 128 into a batch, each padded to 192 tokens. Its features are made
before its training, and not counted; ours are made in the step, and counted.
"""

import functools
import sys
import tempfile
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn

from benchmarks.kepler_data import ENCODER
from benchmarks.timing import best_cpu_seconds
from schemas.packaged import packaged_model
from training.config import Config, EncoderConfig, LassConfig, OptimConfig, TrainConfig
from training.data.batch import Columns, ragged_rows
from training.data.false_facts import FactFeed
from training.data.links import FactBatch, FactTexts
from training.data.negatives import known_facts
from training.data.sequences import Layout
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import SOLE, Part
from training.entity_memory import CPU
from training.models.lass import Lass
from training.ranks import Ranks
from training.step import LABELS, learner, part, train_step, whole_batch

BATCH, LENGTH, OFFSET, RATE, CLOSE = 8, 192, 7.0, 3e-5, 1e-5
"""Triples of a batch; tokens of a fact; b; the learning rate; how far apart the losses may be, as a share."""


def modules(folder: Path) -> tuple[Any, Any, Any]:
    """bert_model, data_collator and data_processor of a checkout."""
    from transformers.models.bert import modeling_bert as bert

    class OlderBert(bert.BertModel):  # type: ignore[misc]
        def forward(self, input_ids: Any = None, **words: Any) -> Any:
            return super().forward(input_ids, **{name: value for name, value in words.items() if value is not None})

    class OlderModel(bert.BertPreTrainedModel):  # type: ignore[misc]
        def init_weights(self) -> None:
            """Whoever makes it gives it weights."""

    older = types.ModuleType("transformers.modeling_bert")
    vars(older).update(BertModel=OlderBert, BertPreTrainedModel=OlderModel, BertOnlyMLMHead=bert.BertOnlyMLMHead)
    sys.modules["transformers.modeling_bert"] = older
    sys.path.insert(0, str(folder))
    from model import bert_model, data_collator, data_processor

    return bert_model, data_collator, data_processor


def features(
    processor: Any,
    texts: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    facts: Int64[np.ndarray, "N 3"],
    labels: Sequence[int],
    **settings: Any,
) -> list[dict[str, Any]]:
    """Facts as the authors' processor makes them, of entities' and relations' token ids; `settings` are its own."""
    own = processor.KGProcessor.__new__(processor.KGProcessor)
    vars(own).update({"no_text": False, "no_mid": True, "text_sep_token": None, "is_world_master": False, **settings})
    own.ent2tokens, own.rel2tokens = ({f"{i}": list(ids) for i, ids in enumerate(table)} for table in texts)
    own.name2id = dict.fromkeys(own.ent2tokens | own.rel2tokens, 0)
    examples = [
        processor.InputExample([0, 0], "", "", "", *map(str, fact), str(label))
        for fact, label in zip(facts.tolist(), labels, strict=True)
    ]
    return [
        {
            "input_ids": torch.tensor(one.input_ids),
            "labels": torch.tensor(one.label_id),
            "pos_indicator": torch.tensor(one.pos_indicator),
        }
        for one in own.convert_examples_to_features(examples, print_info=False)
    ]


class Graph:
    """UMLS as the checkout has it: names as token ids, and the train triples."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(packaged_model(ENCODER))
        with zipfile.ZipFile(folder / "data" / "umls.zip") as archive:
            tables = [self._lines(archive, name) for name in ("entity2text.txt", "relation2text.txt", "train.tsv")]
        entities, relations = ({line[0]: i for i, line in enumerate(table)} for table in tables[:2])
        self.texts = tuple(
            [self.tokenizer.encode(line[1], add_special_tokens=False) for line in table] for table in tables[:2]
        )
        self.triples = np.array([[entities[h], relations[r], entities[t]] for h, r, t in tables[2]])

    @staticmethod
    def _lines(archive: zipfile.ZipFile, name: str) -> list[list[str]]:
        [path] = [one for one in archive.namelist() if one.split("/")[-1] == name and "__MACOSX" not in one]
        return [line.split("\t") for line in archive.read(path).decode("utf-8").splitlines()]


class Ours:
    """Our model, feed and step."""

    def __init__(self, graph: Graph, bert: Path) -> None:
        words = graph.tokenizer
        special = SpecialTokens(
            words.cls_token_id, words.pad_token_id, words.sep_token_id, words.unk_token_id, words.mask_token_id
        )
        config = Config(
            recipe="bench",
            system="lass",
            encoder=EncoderConfig(name=str(bert), dropout=0.0),
            optim=OptimConfig(lr=RATE),
            train=TrainConfig(batch_size=BATCH),
            lass=LassConfig(offset=OFFSET, negatives=5, max_length=LENGTH),
        )
        torch.manual_seed(0)
        self.learner = learner(config, Lass(config, len(words)), Ranks(SOLE, CPU))
        entities, relations = map(ragged_rows, graph.texts)
        texts = FactTexts(entities, relations, Layout(special, LENGTH), None, config.lass.encode_tokens)
        known = known_facts(graph.triples, len(graph.texts[0]), len(graph.texts[1]))
        self.feed = FactFeed(texts, known, 0, "triples/train", config.lass.negatives, every_part=True)
        order = np.random.default_rng(0).permutation(len(graph.triples))
        self.triples = graph.triples[order]

    def part(self, number: int) -> Part:
        """The triples of a batch."""
        rows = np.arange(number * BATCH, (number + 1) * BATCH)
        numbers = dict(zip(TRIPLE, self.triples[rows].T, strict=True)) | {"row": rows}
        return Part(Columns(BATCH, numbers, {}), np.zeros(BATCH, dtype=np.int64))

    def steps(self, batches: int) -> None:
        """The trainer's own."""
        for number in range(batches):
            batch = self.feed.batch(self.part(number))
            labels = part(whole_batch([batch], self.learner.model, self.learner.ranks), LABELS)
            train_step(self.learner, [batch], labels, 0, RATE)

    def losses(self, batches: Sequence[FactBatch]) -> list[float]:
        """The mean over the facts of each."""
        model = self.learner.model.eval()
        with torch.no_grad():
            return [float(model.losses(batch)["triple"]) / len(batch.labels) for batch in batches]


class Original:
    """The authors' model, collator and features, of the same facts."""

    def __init__(self, folder: Path, graph: Graph, bert: Any, batches: Sequence[FactBatch]) -> None:
        """`bert` is transformers' model, whose weights it takes."""
        model, collator, processor = modules(folder)
        bert.config.real_vocab_size = bert.config.vocab_size
        self.model = model.BertPoolingForTripletPrediction(bert.config, OFFSET, 0.0, None)
        self.model.bert.load_state_dict(bert.state_dict())
        settings = {"tokenizer": graph.tokenizer, "max_seq_length": LENGTH}
        self.batches = [
            features(processor, graph.texts, batch.facts.parts.numpy(), batch.labels.int().tolist(), **settings)
            for batch in batches
        ]
        self.collate = collator.PoolingCollator(None)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, eps=1e-6, weight_decay=0.01)

    def losses(self) -> list[float]:
        """Of each batch."""
        self.model.eval()
        with torch.no_grad():
            return [self.model(**self.collate(batch))[0].item() for batch in self.batches]

    def steps(self) -> None:
        """What its Trainer does."""
        self.model.train()
        for batch in self.batches:
            self.model(**self.collate(batch))[0].backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.model.zero_grad()


def measure(folder: Path, batches: int, rounds: int) -> dict[str, Any]:
    """Equal losses first, then triples a CPU second, each round with the same batches."""
    from transformers import BertConfig, BertModel

    graph = Graph(folder)
    sizes = BertConfig(
        vocab_size=len(graph.tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    bert = BertModel(sizes)
    with tempfile.TemporaryDirectory() as kept:
        bert.save_pretrained(kept)
        ours = Ours(graph, Path(kept))
    made = [ours.feed.batch(ours.part(number)) for number in range(batches)]
    original = Original(folder.resolve(), graph, bert, made)
    theirs, own = original.losses(), ours.losses(made)
    assert np.allclose(theirs, own, rtol=CLOSE), (theirs, own)
    runs = {"original": original.steps, "ours": functools.partial(ours.steps, batches)}
    seconds = best_cpu_seconds(runs, rounds)
    count = BATCH * batches
    figures: dict[str, Any] = {f"{name}, triples a CPU s": round(count / value, 2) for name, value in seconds.items()}
    figures["ours / original"] = round(seconds["original"] / seconds["ours"], 2)
    padded = round(float(np.mean([batch.sizes["padded_tokens"] for batch in made])))
    figures |= {"padded tokens of a batch, original": 16 * BATCH * LENGTH, "padded tokens of a batch, ours": padded}
    return {**figures, "loss": round(float(np.mean(theirs)), 6), "loss, ours": round(float(np.mean(own)), 6)}
