"""Texts -> vectors, and those of a file of texts as Parquet, written a batch at a time.

B rows of a batch, S tokens of the longest, D hidden.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from schemas.table import column, list_of
from training.config import Pooling
from training.data.batch import Ragged, pad_mask, ragged_rows, tensor
from training.data.text import frame
from training.encoders import encode_text, pooled
from training.evaluation.names import entity_names
from training.linking import Link, LinkSettings, open_linker
from training.linking.disambiguation import GraphContext
from training.metrics import progress
from training.models.colake import ColakePredictor
from training.models.kepler import Kepler
from training.runs import Run
from training.text_file import count_lines, decoded, read_lines
from training.weaving import Weaver

Precision = Literal["fp32", "bf16"]
"""bf16: matrix products in 16 bits (autocast); weights, states and vectors stay in 32."""
ROWS = 1_024
"""Of a batch, and of a row group."""
PADDED_TOKENS = 16_384
"""Encoded at once."""


class TextVector(NamedTuple):
    """What of a text's states is its vector."""

    pooling: Pooling
    normalized: bool
    """To unit length."""


class TextEncoder:
    """Texts -> their vectors, as SentenceTransformer reads them from an export."""

    def __init__(self, run: Run, precision: Precision) -> None:
        self._device, self._bf16 = torch.device(_device(run)), precision == "bf16"
        self._encoder, self._tokenizer = run.network.encoder.to(self._device), run.tokenizer
        self._special, self._kind = run.source.special, text_vector(run)
        self.longest = longest_text(run)
        """Tokens that are read of a text, <s> and </s> included."""
        self.width = int(run.network.encoder.config.hidden_size)

    def __call__(self, texts: Sequence[str]) -> tuple[Float[Tensor, "B D"], Int64[np.ndarray, " B"]]:
        """(a vector for each text, how many tokens of its end were not read)."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        kept = ragged_rows([own[: self.longest - 2] for own in ids])
        framed = frame(kept.values, kept, self._special)
        return self.encode(framed), np.array([len(own) for own in ids], dtype=np.int64) - kept.lengths

    @torch.no_grad()
    def encode(self, framed: Ragged) -> Float[Tensor, "B D"]:
        """Vectors of token ids between <s> and </s>; texts of like length are encoded together."""
        lengths = framed.lengths
        vectors = torch.empty(len(lengths), self.width)
        for rows in pieces(np.argsort(lengths, kind="stable"), lengths):
            piece = framed.take(rows)
            real = tensor(pad_mask(piece.lengths)).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                states = encode_text(self._encoder, tensor(piece.padded(self._special.pad)).to(self._device), real)
            vectors[torch.from_numpy(rows)] = pooled(
                states.float(), real, self._kind.pooling, normalized=self._kind.normalized
            ).cpu()
        return vectors


def write_texts(run: Run, texts: Path, path: Path, precision: Precision) -> int:
    """A row for each line of a text file: its number, its vector, and of a CoLAKE run whose dataset has links the
    entities that are found in it, with their vectors there; returns the number of rows.

    DataError where the file is not there or not UTF-8.
    """
    encode, total = TextEncoder(run, precision), count_lines(texts)
    links = EntitiesInTexts(run) if _reads_links(run) else None
    schema = pa.schema(
        [
            column("line", pa.int64(), "number of the line in the file of texts, from 1"),
            vector_column(encode.width),
            column("tokens_cut", pa.int32(), f"tokens of its end beyond the {encode.longest} that are read"),
            *([column("entities", list_of(_linked(encode.width)), "entities that are found in it")] if links else []),
        ]
    )
    done = 0
    schema = schema.with_metadata({"dataset_digest": run.dataset.digest, "precision": precision})
    with written(path, schema) as write, progress(total, 0, 1, what="texts", unit="texts") as report:
        for lines in _batches(texts):
            vectors, cut = encode(lines)
            numbers = pa.array(np.arange(done + 1, done + 1 + len(lines)))
            write([numbers, vectors, pa.array(cut, pa.int32()), *([links(lines)] if links else [])])
            done += len(lines)
            report(done)
    return done


class EntitiesInTexts:
    """Texts -> the entities that CoLAKE finds in them, each with its last hidden state in the text's graph."""

    def __init__(self, run: Run) -> None:
        self._linker = open_linker(run.dataset, LinkSettings(), GraphContext(run))
        self._weaver, self._model = Weaver.of(run.dataset, run.tokenizer), run.model
        self._names = entity_names(run.dataset)
        self._kind = _linked(int(run.network.encoder.config.hidden_size))

    def __call__(self, texts: Sequence[str]) -> pa.Array:
        """A list for each text, in text order; an entity that is named again is there once, where the first one is.

        Those that stand behind what the model reads are left out.
        """
        links = self._linker.link_all(texts)
        some = [number for number, found in enumerate(links) if found]
        graphs = [self._weaver.weave(texts[number], links[number]) for number in some]
        states = dict(zip(some, self._model.anchor_states(graphs), strict=True))
        rows = [self._rows(found, states[number].numpy()) if found else [] for number, found in enumerate(links)]
        return pa.array(rows, list_of(self._kind))

    def _rows(self, links: Sequence[Link], states: Float32[np.ndarray, "A D"]) -> list[dict[str, Any]]:
        first: dict[int, Link] = {}
        for link in links:
            first.setdefault(link.entity_index, link)
        return [
            {
                "start": link.start,
                "end": link.end,
                "entity": self._names.id(entity),
                "score": link.score,
                "vector": state,
            }
            for (entity, link), state in zip(first.items(), states, strict=True)
            if not np.isnan(state).any()
        ]


def _linked(width: int) -> pa.DataType:
    return pa.struct(
        [
            column("start", pa.int32(), "first code point of its first mention"),
            column("end", pa.int32(), "one past the last"),
            column("entity", pa.string(), "entity, e.g. Q42"),
            column("score", pa.float32(), "how sure that is, from 0 to 1"),
            vector_column(width),
        ]
    )


def _reads_links(run: Run) -> bool:
    return isinstance(run.model, ColakePredictor) and run.dataset.rows("anchors") > 0


def text_vector(run: Run) -> TextVector:
    """What KEPLER trains as one; the others train none more than another."""
    own = run.config.kepler
    return TextVector(own.pooling, own.normalized) if isinstance(run.model, Kepler) else TextVector("mean", False)


def chosen_precision(run: Run, wanted: Precision | None) -> Precision:
    """What is wanted, else bf16 on a GPU and fp32 on a CPU."""
    return wanted or ("bf16" if _device(run) == "cuda" else "fp32")


def _device(run: Run) -> str:
    # CoLAKE's graphs are made and read on the CPU, and a text's entities beside the text.
    return "cuda" if torch.cuda.is_available() and not isinstance(run.model, ColakePredictor) else "cpu"


def longest_text(run: Run) -> int:
    """Tokens that are read of a text, <s> and </s> included; KEPLER's are those of a description."""
    positions = run.config.encoder.max_positions
    return min(run.config.kepler.max_length, positions) if isinstance(run.model, Kepler) else positions


def vector_column(width: int) -> pa.Field:
    """As readers know it for an array: a list of fixed size."""
    return column("vector", pa.list_(pa.field("element", pa.float32(), nullable=False), width), "its vector")


@contextlib.contextmanager
def written(path: Path, schema: pa.Schema) -> Iterator[Callable[[list], None]]:
    """write(columns) -> a row group of the file; a column of vectors may be a tensor."""

    def write(columns: list) -> None:
        arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        writer.write_table(pa.table(arrays, schema=schema))

    # Vectors are all distinct: a dictionary of them is made in vain.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        yield write


def _array(values: pa.Array | pa.ChunkedArray | Tensor, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if not isinstance(values, Tensor):
        return values
    flat = pa.array(values.float().contiguous().numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def pieces(order: Int64[np.ndarray, " B"], lengths: Int64[np.ndarray, " B"]) -> Iterator[Int64[np.ndarray, " _"]]:
    """Rows that are encoded together, the shortest ones first."""
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > PADDED_TOKENS:
            yield order[start:end]
            start = end


def _batches(path: Path) -> Iterator[list[str]]:
    """The lines of a text file, some at a time."""
    lines = (decoded(*line) for line in read_lines(path))
    return iter(lambda: list(itertools.islice(lines, ROWS)), [])
