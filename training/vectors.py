"""Vectors of entities and of texts as Parquet with ids, written a batch at a time.

B rows of a batch, S tokens of the longest, D hidden.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from schemas.errors import DataError
from schemas.table import column, list_of
from training.data.batch import Ragged, offsets, pad_mask, tensor
from training.data.groups import ParquetGroups, RowGroups
from training.data.text import frame
from training.encoders import encode_text
from training.evaluation.names import entity_names
from training.linking import Link, LinkSettings, open_linker
from training.linking.disambiguation import GraphContext
from training.metrics import progress
from training.models.colake import ColakePredictor
from training.models.kepler import Kepler, embed_all
from training.runs import Run
from training.systems import DESCRIBED, described
from training.text_file import count_lines, decoded, read_lines
from training.weaving import Weaver

ROWS = 1_024
"""Of a batch, and of a row group."""
PADDED_TOKENS = 16_384
"""Encoded at once."""


class TextEncoder:
    """Texts -> their vectors, as SentenceTransformer reads them from an export."""

    def __init__(self, run: Run) -> None:
        self._encoder, self._tokenizer, self._special = run.network.encoder, run.tokenizer, run.source.special
        self.longest = run.config.encoder.max_positions
        """Tokens that are read of a text, <s> and </s> included."""
        self._pool = POOLING[pooling(run)]
        self.width = int(run.network.encoder.config.hidden_size)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> tuple[Float[Tensor, "B D"], Int64[np.ndarray, " B"]]:
        """(a vector for each text, how many tokens of its end were not read)."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        kept = [np.array(own[: self.longest - 2], dtype=np.int64) for own in ids]
        lengths = np.array([len(own) for own in kept])
        own = np.concatenate([*kept, np.empty(0, dtype=np.int64)])
        framed = frame(own, Ragged(own, offsets(lengths)), self._special)
        vectors, order = torch.empty(len(texts), self.width), np.argsort(lengths, kind="stable")
        for rows in _pieces(order, framed.lengths):
            piece = framed.take(rows)
            real = tensor(pad_mask(piece.lengths))
            states = encode_text(self._encoder, tensor(piece.padded(self._special.pad)), real)
            vectors[torch.from_numpy(rows)] = self._pool(states.float(), real)
        return vectors, np.array([len(own) for own in ids]) - lengths


def write_entities(run: Run, path: Path) -> int:
    """A row for each entity of the dataset: its id, its label, its vector; returns their number.

    CoLAKE's are the rows of its table, KEPLER's the encodings of the descriptions. DataError for a run of a system that
    has no vectors of entities.
    """
    vectors, total = _entity_vectors(run), run.dataset.rows("entities")
    names = _Reader(ParquetGroups(run.dataset, "entities", None, ["entity", "label"]))
    schema = pa.schema(
        [
            column("entity", pa.string(), "entity, e.g. Q42"),
            column("label", pa.string(), "its name in the dataset", nullable=True),
            _vector(int(run.network.encoder.config.hidden_size)),
        ]
    )
    with _written(path, schema, run) as write, progress(total, 0, 1, what="entities", unit="entities") as report:
        for start in range(0, total, ROWS):
            rows = names.take(min(ROWS, total - start))
            write([rows["entity"], rows["label"], vectors(start, rows.num_rows)])
            report(start + rows.num_rows)
    return total


def write_texts(run: Run, texts: Path, path: Path) -> int:
    """A row for each line of a text file: its number, its vector, and of a CoLAKE run whose dataset has links the
    entities that are found in it, with their vectors there; returns the number of rows.

    DataError where the file is not there or not UTF-8.
    """
    encode, total = TextEncoder(run), count_lines(texts)
    links = EntitiesInTexts(run) if _reads_links(run) else None
    schema = pa.schema(
        [
            column("line", pa.int64(), "number of the line in the file of texts, from 1"),
            _vector(encode.width),
            column("tokens_cut", pa.int32(), f"tokens of its end beyond the {encode.longest} that are read"),
            *([column("entities", list_of(_linked(encode.width)), "entities that are found in it")] if links else []),
        ]
    )
    done = 0
    with _written(path, schema, run) as write, progress(total, 0, 1, what="texts", unit="texts") as report:
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
            _vector(width),
        ]
    )


def _reads_links(run: Run) -> bool:
    return isinstance(run.model, ColakePredictor) and run.dataset.rows("anchors") > 0


def pooling(run: Run) -> str:
    """What of a text's states is its vector: KEPLER trains the one at <s>, the others train none more than another."""
    return "cls" if isinstance(run.model, Kepler) else "mean"


def _mean(states: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"]) -> Float[Tensor, "B D"]:
    return (states * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)


def _first(states: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"]) -> Float[Tensor, "B D"]:
    return states[:, 0]


POOLING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cls": _first, "mean": _mean}
"""By the names that sentence-transformers has for them."""


def _entity_vectors(run: Run) -> Callable[[int, int], Float[Tensor, "B D"]]:
    """(the first entity, how many) -> their vectors; asked for from the first entity to the last."""
    if isinstance(run.model, ColakePredictor):
        memory = run.model.model.memory
        return lambda start, rows: memory.pull(torch.arange(start, start + rows))
    if not isinstance(run.model, Kepler):
        system = run.config.system
        raise DataError(f"{run.folder} is a {system} run, which has no vectors of entities. Leave out --entities.")
    tokens = _Reader(ParquetGroups(run.tokens, "entities", None, list(DESCRIBED)))
    return lambda start, rows: embed_all(run.model, described(run.config, run.source, tokens.take(rows)))


class _Reader:
    """The rows of some row groups from the first on, of which no more than asked for and a row group are held."""

    def __init__(self, groups: RowGroups) -> None:
        self._groups, self._next, self._left = groups, 0, groups.schema.empty_table()

    def take(self, rows: int) -> pa.Table:
        """The next rows."""
        while self._left.num_rows < rows:
            self._left = pa.concat_tables([self._left, self._groups.read(self._next).cast(self._groups.schema)])
            self._next += 1
        taken, self._left = self._left.slice(0, rows), self._left.slice(rows)
        return taken.combine_chunks()


def _vector(width: int) -> pa.Field:
    return column("vector", pa.list_(pa.field("element", pa.float32(), nullable=False), width), "its vector")


@contextlib.contextmanager
def _written(path: Path, schema: pa.Schema, run: Run) -> Iterator[Callable[[list], None]]:
    """write(columns) -> a row group of the file; a column of vectors may be a tensor."""
    schema = schema.with_metadata({"dataset_digest": run.dataset.digest})

    def write(columns: list) -> None:
        arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        writer.write_table(pa.table(arrays, schema=schema))

    # Vectors are all distinct: a dictionary of them is made in vain.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        yield write


def _array(values: pa.Array | pa.ChunkedArray | Tensor, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if not isinstance(values, Tensor):
        return values
    flat = pa.array(values.float().cpu().contiguous().numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _pieces(order: Int64[np.ndarray, " B"], lengths: Int64[np.ndarray, " B"]) -> Iterator[Int64[np.ndarray, " _"]]:
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
