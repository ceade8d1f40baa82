"""Encoding the descriptions of a graph's entities: padding and CPU time by how far they are sorted by length.

    python -m benchmarks.entity_vectors [--texts ENTITY2TEXT] [--rows 2048] [--rounds 2]

ENTITY2TEXT has an entity and its text on each line, with a tab between; by default FB15k-237's in the folder
WIKILOOM_DATA. Tokens and encoder are all-MiniLM-L6-v2's (the extra minilm).

"as they come": 32 texts at a time. "pieces of 1,024": as export did before, each 1,024 sorted by length, in pieces of
as many texts as the longest one allows, their width rounded up to 32 tokens. "window": as it does, the texts of a file
(up to 32,768) sorted, in pieces of 16,384 padded tokens. Padding is of all entities, CPU time of the first --rows, on
one thread; both ways have to give the same vectors. Writes results/entity_vectors.json.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.timing import best_cpu_seconds, save
from schemas.packaged import packaged_model
from training.config import EncoderConfig
from training.data.batch import Ragged, ragged_rows
from training.data.special import special_tokens
from training.data.text import frame
from training.data.triples import Descriptions
from training.encoders import encode_text, pretrained
from training.entity_vectors import ROWS_OF_FILE
from training.vectors import TextEncoder, pieces

MODEL, LONGEST, BATCH, BEFORE = "sentence-transformers/all-MiniLM-L6-v2", 128, 1_024, 2_048
"""The encoder, tokens read of a text, and of the way before entities of a batch and padded tokens of a piece."""


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("WIKILOOM_DATA", ""))
    parser.add_argument("--texts", type=Path, default=data / "kg" / "fb15k-237" / "entity2text.txt")
    parser.add_argument("--rows", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not options.texts.is_file() or packaged_model(MODEL) is None:
        print(f"{options.texts} or the extra minilm is missing: nothing is encoded.")
        return
    torch.set_num_threads(1)
    run = _run()
    texts = _framed(run, options.texts)
    real = int(texts.lengths.sum())
    padded = {
        "as they come": sum(len(own) * own.max() for own in _batches(texts.lengths, 32)),
        "pieces of 1,024": sum(piece.ids.numel() for batch in _parts(texts, BATCH) for piece in _before(batch)),
        "window": sum(len(own) * own.max() for batch in _parts(texts, ROWS_OF_FILE) for own in _window(batch)),
    }
    some = texts.slice(0, min(options.rows, len(texts.lengths)))
    encoder = TextEncoder(run, "fp32")
    ways = {
        "pieces of 1,024": lambda: torch.cat([_encoded(run, batch) for batch in _parts(some, BATCH)]),
        "window": lambda: torch.cat([encoder.encode(batch) for batch in _parts(some, ROWS_OF_FILE)]),
    }
    found: dict[str, torch.Tensor] = {}
    seconds = best_cpu_seconds({name: partial(_keep, found, name, way) for name, way in ways.items()}, options.rounds)
    assert torch.allclose(*found.values(), atol=1e-5), "the two ways give other vectors"
    figures = {
        "texts": len(texts.lengths),
        "tokens": real,
        "padded_per_real": {name: round(float(number) / real, 3) for name, number in padded.items()},
        "rows_timed": len(some.lengths),
        "cpu_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "times_as_fast": round(seconds["pieces of 1,024"] / seconds["window"], 2),
    }
    print(figures)
    print(save("entity_vectors", figures))


def _keep(found: dict[str, torch.Tensor], name: str, way: Callable[[], torch.Tensor]) -> None:
    found[name] = way()


def _run() -> SimpleNamespace:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(packaged_model(MODEL) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoder = pretrained(MODEL)[0].eval()
    config = SimpleNamespace(encoder=EncoderConfig(name=MODEL, max_positions=LONGEST))
    source, network = SimpleNamespace(special=special_tokens(tokenizer)), SimpleNamespace(encoder=encoder)
    return SimpleNamespace(model=None, network=network, tokenizer=tokenizer, source=source, config=config)


def _framed(run: SimpleNamespace, path: Path) -> Ragged:
    lines = path.read_text(encoding="utf-8").splitlines()
    encodings = run.tokenizer.encode_batch([line.partition("\t")[2] for line in lines], add_special_tokens=False)
    kept = ragged_rows([encoding.ids[: LONGEST - 2] for encoding in encodings])
    return frame(kept.values, kept, run.source.special)


def _parts(texts: Ragged, rows: int) -> Iterator[Ragged]:
    total = len(texts.lengths)
    return (texts.slice(start, min(start + rows, total)) for start in range(0, total, rows))


def _batches(lengths: np.ndarray, rows: int) -> list[np.ndarray]:
    return [lengths[start : start + rows] for start in range(0, len(lengths), rows)]


def _window(batch: Ragged) -> Iterator[np.ndarray]:
    """The lengths of each piece."""
    order = np.argsort(batch.lengths, kind="stable")
    return (batch.lengths[rows] for rows in pieces(order, batch.lengths))


def _before(batch: Ragged) -> list:
    longest = int(batch.lengths.max())
    texts = Descriptions(batch, 0, longest, max(1, BEFORE // longest))
    return texts.pieces(texts.by_length(np.arange(len(batch.lengths))))


@torch.no_grad()
def _encoded(run: SimpleNamespace, batch: Ragged) -> torch.Tensor:
    states = [(encode_text(run.network.encoder, piece.ids, piece.real), piece.real) for piece in _before(batch)]
    pooled = torch.cat([(own * real[..., None]).sum(1) / real.sum(1, keepdim=True) for own, real in states])
    vectors = torch.empty_like(pooled)
    vectors[torch.from_numpy(np.argsort(batch.lengths, kind="stable"))] = pooled
    return vectors


if __name__ == "__main__":
    main()
