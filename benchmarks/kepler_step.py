"""A step of KEPLER's knowledge loss beside the arrangement of the authors' code, on the same triples and negatives.

    python -m benchmarks.kepler_step [--triples 32] [--rounds 3] [--data DATASET]

The authors encode six texts a triple: head, tail, a corrupted one of each, and head and tail once more for the score
with the relation; each of the six is a batch padded to its longest text (fairseq/tasks/MLMetKE.py, KEscore in
fairseq/models/roberta/model.py). Ours encodes each distinct text of the micro-batch once, the short ones together.
Both have the same weights, 2 layers of 256, no dropout, the Euclidean norm and the halved loss, have to give equal
losses before they are timed, and take a whole step: forward, backward, AdamW. One thread, CPU time, the best of some
rounds, each of which runs all:

- original: all triples at once, as ours;
- original, 3 at a time: micro-batches of MAX_SENTENCES=3, as its README has it;
- ours: as the loader makes it;
- floor: as many tokens as four encodings of a triple's texts have, head, tail, negatives, in texts of one length.

Lengths of the texts are drawn from a lognormal distribution of mean 133 and median 99 tokens, cut at 512, like
Wikidata5M's; and where the folder WIKILOOM_DATA is set (or --data names a dataset with tokens/tiny), from those of the
sample's descriptions, most of which are a line of Wikidata's. No entity recurs in a batch, which would spare ours more.
Writes results/kepler_step.json.
"""

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional as F

from benchmarks.colake_step import make_dataset
from benchmarks.timing import best_cpu_seconds, save
from schemas.dataset import Dataset
from schemas.hashing import random_u64
from training.config import Config, EncoderConfig, KeplerConfig, OptimConfig, TrainConfig
from training.data.batch import Columns, Ragged, offsets, ragged
from training.data.negatives import known_facts
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import SOLE, Part
from training.data.text import TextBatch
from training.data.triples import Descriptions, KeplerBatch, TripleFeed, descriptions
from training.entity_memory import CPU
from training.models.kepler import Kepler
from training.ranks import Ranks
from training.step import LABELS, learner, part, train_step, whole_batch

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
WORDS, RELATIONS, ENTITIES = 50_265, 822, 20_000
ENCODER = EncoderConfig(hidden_size=256, layers=2, heads=4, intermediate_size=1024, max_positions=512, dropout=0.0)
KEPLER = KeplerConfig(norm=2, halved=True, negatives=1, blocks=0, encode_tokens=2_048)
RATE = 1e-5
CLOSE = 1e-5
"""How far apart the losses may be, as a share."""


def lognormal_lengths(mean: float, median: float) -> Int64[np.ndarray, " E"]:
    """Tokens of the entities' texts, without specials."""
    uniform = (random_u64(0, "length", np.arange(ENTITIES)[:, None], np.arange(2)) >> np.uint64(11)) / 2.0**53
    normal = np.sqrt(-2 * np.log1p(-uniform[:, 0])) * np.cos(2 * np.pi * uniform[:, 1])
    return np.maximum(1, median * np.exp(normal * np.sqrt(2 * np.log(mean / median)))).astype(np.int64)


def sample_lengths(dataset: Dataset) -> Int64[np.ndarray, " E"]:
    """Those of the dataset's descriptions, over and over."""
    lengths = ragged(dataset.tokens("tiny").read("entities", None, ["ids"])["ids"]).lengths
    return np.resize(lengths[lengths > 0], ENTITIES)


class Bench:
    """The model, the triples with their negatives, and the texts."""

    def __init__(self, lengths: Int64[np.ndarray, " E"], triples: int) -> None:
        edges = offsets(lengths)
        words = (random_u64(0, "words", np.arange(edges[-1])) % np.uint64(WORDS - 5)).astype(np.int64) + 5
        texts = Ragged(words, edges)
        self.described = descriptions(texts, texts, SPECIAL, max_length=512, encode_tokens=KEPLER.encode_tokens)
        # Heads and tails of their own, so that no entity recurs but by chance among the negatives.
        ends = np.argsort(random_u64(0, "ends", np.arange(ENTITIES)))[: 2 * triples].reshape(2, triples)
        relations = (random_u64(0, "relations", np.arange(triples)) % np.uint64(RELATIONS)).astype(np.int64)
        self.triples = np.stack([ends[0], relations, ends[1]], axis=1)
        train = TrainConfig(batch_size=triples)
        config = Config(
            recipe="bench", system="kepler", encoder=ENCODER, kepler=KEPLER, train=train, optim=OptimConfig(lr=RATE)
        )
        torch.manual_seed(0)
        self.learner = learner(config, Kepler(config, WORDS, RELATIONS), Ranks(SOLE, CPU))
        known = known_facts(self.triples, ENTITIES, RELATIONS)
        self.feed = TripleFeed(self.described, None, known, KEPLER, 0, "triples/train")

    def batch(self) -> KeplerBatch:
        """Ours."""
        numbers = dict(zip(TRIPLE, self.triples.T, strict=True)) | {"row": np.arange(len(self.triples))}
        rows = Part(Columns(len(self.triples), numbers, {}), np.zeros(len(self.triples), dtype=np.int64))
        return KeplerBatch(self.feed.batch(rows), None, None)

    def original(self, batch: KeplerBatch, size: int) -> list[tuple[list[TextBatch], Tensor]]:
        """(texts, relations) of micro-batches of so many triples, the texts as the authors pad them."""
        facts = batch.facts
        negatives = (side.drawn[:, 0] for side in (facts.head_negatives, facts.tail_negatives))
        four = [facts.entities[places].numpy() for places in (facts.heads, facts.tails, *negatives)]
        return [
            ([padded(self.described, ids[start : start + size]) for ids in (*four, *four[:2])], relations)
            for start, relations in zip(range(0, len(self.triples), size), facts.relations.split(size), strict=True)
        ]

    def original_loss(self, micro_batches: list[tuple[list[TextBatch], Tensor]], *, learns: bool = False) -> float:
        """The mean loss; with its gradient where the model `learns`."""
        model, total = self.learner.model, 0.0
        for texts, relations in micro_batches:
            heads, tails, other_heads, other_tails, asked_heads, asked_tails = map(model.embed, texts)
            shift, gamma = model.relation(relations), KEPLER.gamma

            def score(head: Tensor, tail: Tensor, shift: Tensor = shift, gamma: float = gamma) -> Tensor:
                return gamma - torch.norm(head + shift - tail, p=2, dim=1)

            positive = (score(asked_heads, tails) + score(heads, asked_tails)) / 2
            negative = torch.stack([score(other_heads, asked_tails), score(asked_heads, other_tails)], dim=1)
            loss = (-F.logsigmoid(positive).mean() - F.logsigmoid(-negative).mean(dim=1).mean()) / 2
            loss = loss * len(relations) / len(self.triples)
            if learns:
                loss.backward()
            total += loss.item()
        return total

    def original_step(self, micro_batches: list[tuple[list[TextBatch], Tensor]]) -> None:
        """Losses, backward and AdamW."""
        optimizer = self.learner.optimizer
        optimizer.zero_grad(set_to_none=True)
        self.original_loss(micro_batches, learns=True)
        optimizer.step()

    def our_step(self, batch: KeplerBatch) -> None:
        """The trainer's own."""
        labels = part(whole_batch([batch], self.learner.model, self.learner.ranks), LABELS)
        train_step(self.learner, [batch], labels, 0, RATE)

    def floor_step(self, texts: list[TextBatch]) -> None:
        """Encoding alone, and AdamW."""
        optimizer = self.learner.optimizer
        optimizer.zero_grad(set_to_none=True)
        torch.cat([self.learner.model.embed(piece) for piece in texts]).square().mean().backward()
        optimizer.step()


def padded(described: Descriptions, entities: Int64[np.ndarray, " B"]) -> TextBatch:
    """The texts in one batch, each padded to the longest: what fairseq's RightPadDataset makes."""
    texts = described.tokens.take(entities)
    ids = torch.from_numpy(texts.padded(SPECIAL.pad))
    real = torch.arange(ids.shape[1]) < torch.from_numpy(texts.lengths)[:, None]
    return TextBatch(ids, real, torch.empty((len(ids), 0), dtype=torch.int64))


def even(tokens: int, length: int) -> list[TextBatch]:
    """So many tokens, or a few more, in texts of one length, in pieces of KEPLER.encode_tokens."""
    ids = torch.randint(5, WORDS, (-(-tokens // length), length), generator=torch.Generator().manual_seed(0))
    pieces = ids.split(max(1, KEPLER.encode_tokens // length))
    return [
        TextBatch(piece, torch.ones_like(piece, dtype=torch.bool), torch.empty((len(piece), 0), dtype=torch.int64))
        for piece in pieces
    ]


def measure(lengths: Int64[np.ndarray, " E"], triples: int, rounds: int) -> dict[str, Any]:
    """All figures of texts of these lengths."""
    bench = Bench(lengths, triples)
    batch = bench.batch()
    whole, small = (bench.original(batch, size) for size in (triples, 3))
    with torch.no_grad():
        losses = [bench.original_loss(whole), float(bench.learner.model.losses(batch)["ke"]) / triples]
    assert abs(losses[0] - losses[1]) < CLOSE * losses[0], losses
    real = sum(int(text.real.sum()) for texts, _ in whole for text in texts[:4])
    floor = even(real, real // (4 * triples))
    runs: dict[str, Callable[[], object]] = {
        "original": functools.partial(bench.original_step, whole),
        "original, 3 at a time": functools.partial(bench.original_step, small),
        "ours": functools.partial(bench.our_step, batch),
        "floor": functools.partial(bench.floor_step, floor),
    }
    seconds = best_cpu_seconds(runs, rounds)
    figures: dict[str, Any] = {f"{name}, triples a CPU s": round(triples / value, 2) for name, value in seconds.items()}
    for name in ("original", "original, 3 at a time"):
        figures[f"ours / {name}"] = round(seconds[name] / seconds["ours"], 2)
    figures["gap: floor / ours"] = round(seconds["ours"] / seconds["floor"], 2)
    for name, cut in (("original", whole), ("original, 3 at a time", small)):
        figures[f"padded tokens, {name}"] = sum(text.ids.numel() for texts, _ in cut for text in texts)
    figures |= {"padded tokens, ours": batch.sizes["padded_tokens"], "tokens of four encodings": real}
    kept = bench.described.tokens.lengths
    figures |= {"mean tokens of a text": round(float(kept.mean()), 1), "median": float(np.median(kept))}
    return {**figures, "loss": round(losses[0], 6), "loss, ours": round(losses[1], 6)}


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path)
    words = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"triples": words.triples, "torch": torch.__version__}
    figures["lognormal"] = measure(lognormal_lengths(133, 99), words.triples, words.rounds)
    if words.data or os.environ.get("WIKILOOM_DATA"):
        with tempfile.TemporaryDirectory() as folder:
            dataset = Dataset(words.data) if words.data else make_dataset(Path(folder))
            lengths = sample_lengths(dataset)
        figures["sample"] = measure(lengths, words.triples, words.rounds)
    for title, values in figures.items():
        lines = [f"  {name}: {value}" for name, value in values.items()] if isinstance(values, dict) else [values]
        print(title, *lines, sep="\n")
    print(f"wrote {save('kepler_step', figures)}")


if __name__ == "__main__":
    main()
