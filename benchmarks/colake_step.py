"""A step of CoLAKE's pre-training beside the authors' own, on the same graphs, by the same weights.

    python benchmarks/colake_step.py --original FOLDER [--data DATASET] [--graphs 8] [--encode 2] [--entities 100000]
        [--negatives 200] [--rounds 2]

FOLDER is a checkout of github.com/txsun1997/CoLAKE at c9874bc, without which nothing is measured;
benchmarks/colake_original.py says what its model class runs on (without sockets for the entities, which flatters it).
Both encoders have RoBERTa-base's size and vocabulary, both begin with the same numbers, and have to give equal losses
before they are timed. The graphs are those of a dataset with tokens/tiny, else one is built of the samples in the
folder WIKILOOM_DATA, or of examples/; they are masked as the authors' program does. One thread, CPU time, the best of
some rounds, each of which runs all:

- original: forward, backward, its entities' update, clipping, AdamW as its script calls it, on the batch as its collate
  function pads it;
- same padded batch: ours, padded to the same length and with the same candidates;
- as the loader makes it: ours, in pieces of --encode graphs of like size, with candidates of its own;
- loader: reading, masking and padding the latter, of which nothing is waited for while the loader keeps ahead.

All of it with RoBERTa's dropout and without. Entity traffic is what of our step goes into reading and updating rows of
the table. Writes results/colake_step.json.
"""

import argparse
import dataclasses
import functools
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.colake_original import Original
from benchmarks.samples import ROOT, sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from schemas.dataset import Dataset
from training.config import ColakeConfig, Config, DataConfig, EncoderConfig
from training.data.collate import COLUMNS, ENTITY
from training.data.graphs import IGNORE, ColakeBatch, GraphFeed, GraphPiece, TableSizes, places_by_type
from training.data.groups import ParquetGroups
from training.data.loader import Loader
from training.data.negatives import alias_table
from training.data.special import load_tokenizer, special_tokens
from training.data.stream import SOLE
from training.entity_memory import CPU
from training.models.colake import Colake
from training.ranks import Ranks
from training.step import LABELS, learner, part, train_step, whole_batch

WORDS = 50_265
BASE = {"hidden_size": 768, "layers": 12, "heads": 12, "intermediate_size": 3072, "max_positions": 512}
RATE = 1e-4
ALONE = Ranks(SOLE, CPU)
DROPOUTS = (0.1, 0.0)
"""RoBERTa's own, and none, as our recipes for CPUs have it."""
CLOSE = 1e-3
"""How far apart the two losses may be, as a share."""


def make_dataset(folder: Path) -> Dataset:
    """A dataset of the samples with tokens/tiny."""
    wikipedia, wikidata = sample_dumps()
    data, tokenizer = folder / "dataset", folder / "tokenizer"
    for words in (
        ("build", "--wikipedia", wikipedia, "--wikidata", wikidata, "--keep", "linked", "--out", data),
        ("train-tokenizer", data, "--out", tokenizer, "--vocab-size", "4000"),
        ("tokenize", data, "--tokenizer", tokenizer, "--name", "tiny"),
    ):
        command = [sys.executable, "-m", "wikiloom", *map(str, words)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return Dataset(data)


class Bench:
    """The two models, and the graphs that they are given."""

    def __init__(self, dataset: Dataset, words: argparse.Namespace, dropout: float) -> None:
        tokens = dataset.tokens("tiny")
        # The last two entities and relations stand for the original's <unk> and <pad>.
        sizes = TableSizes(WORDS, words.entities, dataset.rows("relations") + 2)
        colake = ColakeConfig(masking="code", negatives=words.negatives, encode_graphs=words.encode)
        encoder = EncoderConfig(**BASE, dropout=dropout)
        self.config = Config(recipe="bench", system="colake", encoder=encoder, colake=colake)
        torch.manual_seed(0)
        self.model = Colake(self.config, sizes)
        spread = float(self.model.encoder.config.initializer_range)
        self.model.memory.fill(0, torch.randn(sizes.entities + 1, BASE["hidden_size"]) * spread)
        self.original = Original(words.original, self.model)
        weights = np.append(np.arange(1, sizes.entities - 1) ** -0.75, [0, 0])
        special = special_tokens(load_tokenizer(tokens))
        units = colake.max_nodes - 2
        self.feed = GraphFeed(colake, special, sizes, alias_table(weights), 0, "wk_graphs/train", units)
        groups = {"wk_graphs": ParquetGroups(tokens, "wk_graphs", "train", COLUMNS)}
        self.loader = Loader(groups, {"wk_graphs": words.graphs}, DataConfig(ahead=0), seed=0)

    def batches(self) -> tuple[dict[str, Tensor], ColakeBatch, ColakeBatch]:
        """One batch as the original's collate function pads it, ours of its length and with its candidates, and ours
        as the loader makes it."""
        # The first one with labels of each kind: of a kind without any the original's loss is NaN.
        steps = ((step, self.loader.take(step)["wk_graphs"]) for step in itertools.count())
        step, rows = next(read for read in steps if all(self.feed.batch(read[1], read[0]).counts.values()))
        cut = self.feed.batch(rows, step)
        config = dataclasses.replace(self.feed.config, encode_graphs=len(cut.lengths))
        whole = dataclasses.replace(self.feed, config=config).batch(rows, step)
        chance = torch.from_numpy(np.append(self.feed.negatives.chance, 0))
        theirs = self.original.batch(whole, self.feed.config.negatives, chance)
        candidates, gold = self.original.ours(theirs["ent_index"][0], ENTITY), whole.candidates[: whole.gold]
        candidates = torch.cat([gold, candidates[~torch.isin(candidates, gold)]])
        pieces = [widened(piece, theirs["input_ids"].shape[1]) for piece in whole.pieces]
        return theirs, dataclasses.replace(whole, pieces=pieces, candidates=candidates), cut

    def agreement(self, theirs: dict[str, Tensor], ours: ColakeBatch, model: Any) -> dict[str, float]:
        """The mean losses of the original, without dropout; ours have to be the same."""
        expected, _ = self.original.outputs(model, theirs)
        with torch.no_grad():
            found = {name: float(loss) / ours.counts[name] for name, loss in self.model.eval().losses(ours).items()}
        for name, value in expected.items():
            assert abs(found[name] - value) < CLOSE * value, (name, found[name], value)
        return {name: round(value, 4) for name, value in expected.items()}


def widened(piece: GraphPiece, size: int) -> GraphPiece:
    """The piece with more pads, S = `size`."""
    more = size - piece.ids.shape[1]
    ids, types, positions = (F.pad(values, (0, more)) for values in (piece.ids, piece.types, piece.positions))
    labels = F.pad(piece.labels, (0, more), value=IGNORE)
    nodes = places_by_type(types, torch.ones_like(types, dtype=torch.bool))
    return dataclasses.replace(
        piece,
        ids=ids,
        types=types,
        positions=positions,
        labels=labels,
        nodes=nodes,
        order=torch.argsort(torch.cat(nodes)),
        asked=places_by_type(types, labels != IGNORE),
    )


def original_step(model: Any, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> None:
    """What the authors' trainer does with a micro-batch, and at the end of a batch."""
    model(**batch)["loss"].backward()
    model.ent_embeddings.update()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def original_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """As the authors' script makes it."""
    decayed = {
        name for name, _ in model.named_parameters() if not re.search(r"bias|(LayerNorm|layer_norm)\.weight", name)
    }
    groups = [
        {"params": [p for name, p in model.named_parameters() if (name in decayed) == decays], "weight_decay": decay}
        for decays, decay in ((True, 0.01), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), eps=1e-6)


class OurStep:
    """Our step, and what of its CPU time goes into the entities' table."""

    def __init__(self, bench: Bench) -> None:
        self._learner = learner(bench.config, bench.model, ALONE)
        self.whole = self.entities = 0.0
        memory = bench.model.memory
        memory.pull, memory.push = self._timed(memory.pull), self._timed(memory.push)

    def __call__(self, batch: ColakeBatch) -> None:
        """Losses, backward, clipping, AdamW and the entities' update."""
        began = time.process_time()
        labels = part(whole_batch([batch], self._learner.model, ALONE), LABELS)
        train_step(self._learner, [batch], labels, 0, RATE)
        self.whole += time.process_time() - began

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            found = function(*arguments)
            self.entities += time.process_time() - began
            return found

        return call


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """All figures."""
    theirs, padded, cut = bench.batches()
    original = bench.original.model()
    losses = bench.agreement(theirs, padded, original)
    optimizer, ours, steps = original_optimizer(original.train()), OurStep(bench), itertools.count(1)
    runs: dict[str, Callable[[], object]] = {
        "original": functools.partial(original_step, original, optimizer, theirs),
        "same padded batch": functools.partial(ours, padded),
        "as the loader makes it": functools.partial(ours, cut),
        "loader": lambda: bench.feed.batch(bench.loader.take(step := next(steps))["wk_graphs"], step),
    }
    seconds = best_cpu_seconds(runs, rounds)
    figures: dict[str, Any] = {f"{name}, CPU s": round(value, 4) for name, value in seconds.items()}
    for name in ("same padded batch", "as the loader makes it"):
        figures[f"original / {name}"] = round(seconds["original"] / seconds[name], 2)
    figures["entity traffic, share of our step"] = round(ours.entities / ours.whole, 4)
    figures["loader, share of our step"] = round(seconds["loader"] / seconds["as the loader makes it"], 4)
    sizes = {"original": theirs["input_ids"].numel(), "ours": cut.sizes["padded_nodes"]}
    figures |= {f"padded nodes, {name}": size for name, size in sizes.items()}
    figures |= {"nodes": int(cut.lengths.sum()), "candidates": len(padded.candidates), "labels": cut.counts}
    return {**figures, "losses": losses}


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--data", type=Path)
    for name, default in (("graphs", 8), ("encode", 2), ("entities", 100_000), ("negatives", 200), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    words = parser.parse_args()
    if not words.original:
        print("Nothing is measured without --original, a checkout of github.com/txsun1997/CoLAKE.")
        return
    torch.set_num_threads(1)
    figures: dict[str, Any] = {name: getattr(words, name) for name in ("graphs", "encode", "entities", "negatives")}
    figures["torch"] = torch.__version__
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(words.data) if words.data else make_dataset(Path(folder))
        for dropout in DROPOUTS:
            figures[f"dropout {dropout}"] = measure(Bench(dataset, words, dropout), words.rounds)
    for title, values in figures.items():
        lines = [f"  {name}: {value}" for name, value in values.items()] if isinstance(values, dict) else [values]
        print(title, *lines, sep="\n")
    print(f"wrote {save('colake_step', figures)}")


if __name__ == "__main__":
    main()
