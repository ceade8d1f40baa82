"""A step of JAKET with its context memory beside one that encodes every sampled entity's description as it goes.

    python -m benchmarks.jaket_step [--size tiny|minilm|base] [--device cpu|cuda] [--rounds N] [--data DATASET]
    python -m benchmarks.jaket_step --device cuda --base       (sequences of 512 tokens a second, in 16 bits)

Both have the same weights and batches and have to give equal losses before they are timed; both take a whole step:
forward, backward, AdamW, no dropout. Without the memory, LM1 encodes the description of each distinct entity of the
micro-batch's blocks once, without gradient (with it, the step would take longer still); the candidates of masked
entities are rows of the memory in both.

In proportion the step is the paper's: 16 entities on walks for each window of text, a linked mention every 20 tokens,
2 layers of 10 neighbours; entities have 5.5 triples, as in the paper's graph, and descriptions of 64 tokens. Graph,
windows and descriptions are made here, of random words; `--data` names a dataset with tokens in their place.
`refresh` is one full refresh of the memory, measured over some of its rows. Writes results/jaket_step.json.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.kept import kept_runs
from benchmarks.timing import Seconds, save
from schemas.dataset import Dataset
from schemas.hashing import random_u64
from training.config import Config, EncoderConfig, OptimConfig, TrainConfig
from training.config_jaket import JaketConfig
from training.data.batch import Columns, Ragged
from training.data.described import Described
from training.data.graphs import TableSizes
from training.data.jaket import JaketBatch, JaketFeed, root_rows
from training.data.linked_text import LinkedFeed
from training.data.neighbours import neighbours_of
from training.data.special import SpecialTokens
from training.data.stream import SOLE, Part
from training.data.text import TextFeed
from training.feeds.jaket import entity_texts
from training.models.jaket import Jaket
from training.ranks import Ranks
from training.sources import open_source
from training.step import LABELS, learner, part, train_step, whole_batch
from training.systems import build_system

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
RELATIONS, DEGREE, CLASSES = 799, 5.5, 1_000
LINK_EVERY, DESCRIPTION = 20, 64
SIZES = {"tiny": (128, 2, 4, 4_000), "minilm": (384, 6, 12, 30_522), "base": (768, 12, 12, 50_265)}
"""Hidden numbers, layers, heads, words."""
CLOSE = 1e-3
"""How far apart the losses may be, as a share: kernels round differently at other shapes."""
GOAL = {"ratio": 10.0, "H200, sequences/s": 1_000.0}


class Bench:
    """A model, its memory, and the batches of some steps."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        hidden, layers, heads, self.words = SIZES[chosen.size]
        self.device, self.length = torch.device(chosen.device), chosen.length
        self.config = Config(
            recipe="bench",
            system="jaket",
            encoder=EncoderConfig(
                hidden_size=hidden, layers=layers, heads=heads, intermediate_size=4 * hidden, dropout=0.0
            ),
            optim=OptimConfig(lr=1e-5),
            train=TrainConfig(
                batch_size=chosen.batch,
                precision="bf16" if chosen.device == "cuda" else "fp32",
                deterministic=False,
                compile=chosen.compile,
            ),
            jaket=JaketConfig(
                roots=chosen.batch, walks=4, block_length=chosen.length, encode_tokens=chosen.encode_tokens
            ),
        )
        self.ranks = Ranks(SOLE, self.device)
        torch.manual_seed(0)
        made = self._opened(chosen.data) if chosen.data else self._made_up(chosen.entities)
        self.model, self.described, self.batch = made
        self.learner = learner(self.config, self.model, self.ranks)

    def _made_up(self, entities: int) -> tuple[Jaket, Described, Callable[[int], JaketBatch]]:
        edges = (random_u64(0, "edges", np.arange(int(DEGREE * entities))[:, None], np.arange(3))) % np.uint64(entities)
        triples = edges.astype(np.int64) % np.array([entities, RELATIONS, entities])
        graph = neighbours_of(triples, entities, RELATIONS)
        described = Described(
            Ragged(self._text("descriptions", entities * DESCRIPTION), np.arange(entities + 1) * DESCRIPTION),
            np.tile([1, 2], (entities, 1)),
            SPECIAL.pad,
            self.config.jaket.encode_tokens,
        )
        text = TextFeed(SPECIAL, self.words, 0.15, 0, "text")
        categories = (random_u64(0, "classes", np.arange(entities)) % np.uint64(CLASSES)).astype(np.int64)
        feed = JaketFeed(
            LinkedFeed(text, 0.15, 0.0, 0, "text"), graph, categories, np.arange(entities), None, RELATIONS,
            self.config.jaket, 0, "roots",
        )  # fmt: skip
        sizes = TableSizes(self.words, entities, RELATIONS)
        model = Jaket(self.config, sizes, CLASSES, self.device).to(self.device)
        model.remember(described)

        def batch(step: int) -> JaketBatch:
            return feed.batch(self._windows(step, entities), self._roots(step, entities), step)

        return model, described, batch

    def _opened(self, data: Path) -> tuple[Jaket, Described, Callable[[int], JaketBatch]]:
        dataset = Dataset(data)
        source = open_source(dataset, dataset.tokens(self.config.data.tokens))
        system = build_system(self.config, source, device=self.device)
        described = entity_texts(self.config, source)

        def batch(step: int) -> JaketBatch:
            [made] = system.build(step, system.loader.take(step))
            return made

        return system.model, described, batch

    def _windows(self, step: int, entities: int) -> Part:
        own, size = self.length - 2, self.config.train.batch_size
        links = own // LINK_EVERY
        mentions = np.zeros(size * links, dtype=[("start", "i4"), ("end", "i4"), ("entity_index", "i4")])
        mentions["start"] = np.tile(np.arange(links) * LINK_EVERY, size)
        mentions["end"] = mentions["start"] + 2
        mentions["entity_index"] = random_u64(0, "links", step, np.arange(size * links)) % np.uint64(entities)
        lists = {
            "ids": Ragged(self._text(f"text/{step}", size * own), np.arange(size + 1) * own),
            "mentions": Ragged(mentions, np.arange(size + 1) * links),
        }
        numbers = {"text": np.arange(size) + size * step, "place": np.zeros(size, dtype=np.int64)}
        return Part(Columns(size, numbers, lists), np.zeros(size, dtype=np.int64))

    def _text(self, purpose: str, count: int) -> np.ndarray:
        return (random_u64(0, purpose, np.arange(count)) % np.uint64(self.words - 5)).astype(np.int64) + 5

    def _roots(self, step: int, entities: int) -> Part:
        roots = self.config.jaket.roots
        drawn = (random_u64(0, "roots", step, np.arange(roots)) % np.uint64(entities)).astype(np.int64)
        return Part(Columns(roots, root_rows(drawn), {}), np.zeros(roots, dtype=np.int64))

    def fill(self, batch: JaketBatch) -> None:
        """The memory's rows of this batch, as the model would make them: all of a large one would take long."""
        ids = torch.cat([batch.blocks.nodes, batch.candidates]).unique()
        memory = self.model.memory
        memory.weight[ids.to(self.device)] = self.model.context(self.described, ids.numpy())

    def encoding(self, nodes: int) -> Callable[[Tensor], Tensor]:
        """What stands in for `pull`: descriptions of the first `nodes` ids encoded, rows of the others."""
        pull = self.model.memory.pull

        def encoded(ids: Tensor) -> Tensor:
            return torch.cat([self.model.context(self.described, ids[:nodes].cpu().numpy()), pull(ids[nodes:])])

        return encoded

    def step(self, batch: JaketBatch) -> dict[str, float]:
        """One whole step; the mean loss of each term."""
        labels = part(whole_batch([batch], self.model, self.ranks), LABELS)
        means = train_step(self.learner, [batch], labels, 0, 1e-5)
        return {name: value for name, value in means.items() if name.startswith("train/")}

    def timed(self, work: Callable[[], Any], rounds: int) -> Seconds:
        """The least seconds of some rounds: CPU time on a CPU, wall time where a GPU works."""
        best = Seconds(float("inf"), float("inf"))
        for _ in range(rounds):
            self._wait()
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            self._wait()
            best = Seconds(*map(min, best, (time.process_time() - cpu, time.perf_counter() - wall)))
        return best

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    bench = Bench(chosen)
    gpu = bench.device.type == "cuda"
    batch, memory = bench.batch(0), bench.model.memory
    nodes = len(batch.blocks.nodes)
    if not chosen.data:
        bench.fill(batch)
    state = {name: value.clone() for name, value in bench.model.state_dict().items()}
    with_memory = bench.step(batch)
    bench.model.load_state_dict(state)
    pull, memory.pull = memory.pull, bench.encoding(nodes)
    without = bench.step(batch)
    for name, value in with_memory.items():
        if abs(without[name] - value) > (CLOSE if not gpu else 0.02) * abs(value):
            raise AssertionError(f"{name}: {value} with the memory, {without[name]} without")
    slow = bench.timed(lambda: bench.step(batch), 1 if gpu else chosen.rounds)
    memory.pull = pull
    fast = bench.timed(lambda: bench.step(batch), chosen.rounds)
    some = np.arange(min(memory.rows, 20_000 if gpu else 2_000))
    refresh = bench.timed(lambda: bench.model.context(bench.described, some), chosen.rounds)
    feed = bench.timed(lambda: bench.batch(1), chosen.rounds)
    seconds = {name: one.wall if gpu else one.cpu for name, one in (("memory", fast), ("encoding", slow))}
    each = (refresh.wall if gpu else refresh.cpu) / len(some)
    return {
        "size": chosen.size,
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "torch": torch.__version__,
        "sequences": len(batch.lengths),
        "tokens": int(batch.lengths.sum()),
        "entities of the blocks": nodes,
        "step, s": seconds["memory"],
        "step without memory, s": seconds["encoding"],
        "ratio": seconds["encoding"] / seconds["memory"],
        "sequences/s": len(batch.lengths) / seconds["memory"],
        "tflops": bench.model.flops(batch) / seconds["memory"] / 1e12,
        "refresh, s for 1,000 entities": 1_000 * each,
        "refresh of 3,657,658 entities, h": 3_657_658 * each / 3_600,
        "batch made, CPU s": feed.cpu,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny", choices=list(SIZES))
    parser.add_argument("--base", action="store_true", help="--size base, windows of 512 tokens, batches for a GPU")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=0, help="windows of a micro-batch")
    parser.add_argument("--length", type=int, default=0, help="tokens of a window")
    parser.add_argument("--entities", type=int, default=0)
    parser.add_argument("--encode-tokens", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--data", type=Path, help="a dataset with tokens/tiny")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.jaket_step: this machine (or this build of torch) has no CUDA device; nothing was measured.")
        return
    large = chosen.base or chosen.device == "cuda"
    chosen.size = "base" if chosen.base else chosen.size
    chosen.batch = chosen.batch or (64 if large else 4)
    chosen.length = chosen.length or (512 if large else 128)
    chosen.entities = chosen.entities or (1_000_000 if large else 50_000)
    chosen.encode_tokens = chosen.encode_tokens or (65_536 if large else 8_192)
    figures = measure(chosen)
    for name, value in figures.items():
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value}", flush=True)
    print(f"goals: {GOAL}")
    own = figures["size"], figures["device"]
    kept = [run for run in kept_runs("jaket_step") if (run["size"], run["device"]) != own]
    print(save("jaket_step", {"runs": [*kept, figures]}))


if __name__ == "__main__":
    main()
