"""Token ids beside a dataset: one pass over its tables, one token shard for each of its shards.

A tokenizer is a folder with tokenizer.json. train_tokenizer makes one from a dataset: a SentencePiece Unigram
vocabulary (Kudo, ACL 2018) with RoBERTa's special tokens in RoBERTa's places.
"""

import hashlib
import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sinks
from pipelines.progress import Progress
from pipelines.records import write_json
from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.digest import dataset_digest
from schemas.errors import DataError
from schemas.hashing import hash_string
from schemas.manifest import Manifest, Shard
from schemas.table import Table
from schemas.tables import TOKEN_TABLES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ROLES = {
    "bos": ("<s>", "[CLS]"),
    "pad": ("<pad>", "[PAD]"),
    "eos": ("</s>", "[SEP]"),
    "unk": ("<unk>", "[UNK]"),
    "mask": ("<mask>", "[MASK]"),
}
"""What the trainer needs a special token for, and the names it goes by in RoBERTa's and BERT's vocabularies."""

BATCH_ROWS = 1_024
MAX_CORPUS_BYTES = 256 * 2**20
MAX_PARAGRAPH_BYTES = 2**16
"""SentencePiece leaves out longer ones; its own default would lose a good part of all paragraphs."""


def train_tokenizer(dataset: Dataset, out: Path, *, vocab_size: int) -> int:
    """Train a Unigram vocabulary on the dataset's texts and write OUT/tokenizer.json; returns its size.

    The vocabulary gets smaller than asked for where the texts hold too little for it.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_corpus(dataset),
            model_writer=model,
            vocab_size=vocab_size - len(SPECIAL_TOKENS) + 1,
            model_type="unigram",
            character_coverage=0.9995,
            normalization_rule_name="identity",  # offsets must stay true
            hard_vocab_limit=False,
            pad_id=-1,
            bos_id=-1,
            eos_id=-1,
            max_sentence_length=MAX_PARAGRAPH_BYTES,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            f"{dataset.folder}: its texts make no vocabulary of {vocab_size} pieces: there is no text in it, or it has "
            "more different characters than that. Try another --vocab-size."
        ) from error
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocabulary = [(token, 0.0) for token in SPECIAL_TOKENS]
    learned = [(pieces.IdToPiece(i), pieces.GetScore(i)) for i in range(len(pieces)) if not pieces.IsUnknown(i)]
    # A text about markup may teach it "<s>": the special tokens' ids must stay their own.
    vocabulary += [(piece, score) for piece, score in learned if piece not in SPECIAL_TOKENS]
    out.mkdir(parents=True, exist_ok=True)
    _unigram(vocabulary).save(str(out / "tokenizer.json"))
    roles = {"bos": "bos", "pad": "pad", "eos": "eos", "unk": "unk", "mask": "mask", "cls": "bos", "sep": "eos"}
    names = {f"{role}_token": ROLES[source][0] for role, source in roles.items()}
    write_json(out / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
    return len(vocabulary)


def tokenize_dataset(dataset: Dataset, tokenizer_path: str, name: str, *, max_length: int) -> Manifest:
    """Write DATASET/tokens/NAME: token ids of graphs, entity texts, relations and pages, with their own manifest."""
    tokenizer, source = load_tokenizer(tokenizer_path)
    special = special_ids(tokenizer, tokenizer_path)
    out = dataset.folder / "tokens" / name
    out.mkdir(parents=True, exist_ok=True)
    for path in (source, source.with_name("tokenizer_config.json")):
        if path.is_file() and path.parent.resolve() != out.resolve():
            shutil.copyfile(path, out / path.name)
    (out / "manifest.json").unlink(missing_ok=True)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    entries = {}
    with Progress("tokenize", sum(len(dataset.shards(table)) for table in TOKEN_TABLES)) as progress:
        done = 0
        for table_name, table in TOKEN_TABLES.items():
            shutil.rmtree(out / table.folder, ignore_errors=True)
            shards = []
            for shard in dataset.shards(table_name):
                shards.append(_tokenize_shard(dataset, table_name, shard, table, tokenizer, out, max_length))
                done += 1
                progress.update(done)
            entries[table_name] = sinks.table_entry(table, out, shards)
    rest = {
        "dataset": dataset.digest,
        "name": name,
        "tokenizer": hashlib.sha256((out / "tokenizer.json").read_bytes()).hexdigest(),
        "vocab_size": tokenizer.get_vocab_size(),
        "max_length": max_length,
        "special": special,
    }
    digest = dataset_digest((table_name, entry.digest) for table_name, entry in entries.items())
    manifest = Manifest(digest=digest, tables=entries, rest=rest)
    manifest.save(out)
    return manifest


def load_tokenizer(name_or_path: str) -> tuple["Tokenizer", Path]:
    """The tokenizer of a folder, or of a model on the Hugging Face hub by its name; and its tokenizer.json."""
    from tokenizers import Tokenizer

    path = Path(name_or_path) / "tokenizer.json"
    if not path.is_file():
        if Path(name_or_path).exists() or name_or_path.count("/") > 1:
            raise DataError(f"{name_or_path} has no tokenizer.json. Make one with wikiloom train-tokenizer.")
        path = _from_hub(name_or_path)
    try:
        return Tokenizer.from_file(str(path)), path
    except Exception as error:  # the library raises plain Exception for every malformed file
        raise DataError(f"{path} is no tokenizer ({str(error)[:150]}). Train it again.") from error


def special_ids(tokenizer: "Tokenizer", name: str) -> dict[str, int]:
    """Ids of the special tokens by role; DataError where the vocabulary lacks one."""
    ids = {}
    for role, tokens in ROLES.items():
        found = [tokenizer.token_to_id(token) for token in tokens if tokenizer.token_to_id(token) is not None]
        if not found:
            raise DataError(f"{name}: the vocabulary has no {' or '.join(tokens)}. Use a tokenizer of a masked LM.")
        ids[role] = found[0]
    return ids


def splice_anchors(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], mentions: Sequence[tuple[int, int]]
) -> npt.NDArray[np.int32]:
    """Token ids in text order, with -1 - k in place of the tokens of mention k.

    `offsets`, shape (T, 2), and `mentions`, in text order and disjoint, are code points [start, end). A token that
    overlaps a mention goes with it; a mention gets its mark even where no token of its own is left.
    """
    starts = np.array([start for start, _ in mentions], np.int64)
    ends = np.array([end for _, end in mentions], np.int64)
    # The mention whose end lies behind the token's start is the only one that it can overlap first.
    place = np.searchsorted(ends, offsets[:, 0], side="right")
    inside = place < len(mentions)
    inside[inside] = offsets[inside, 1] > starts[place[inside]]
    words = np.flatnonzero(~inside)
    keys = np.concatenate([offsets[words, 0], starts])
    values = np.concatenate([ids[words], -1 - np.arange(len(mentions), dtype=np.int32)])
    return values[np.argsort(keys, kind="stable")].astype(np.int32)


def _unigram(vocabulary: list[tuple[str, float]]) -> "Tokenizer":
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL_TOKENS.index("<unk>")))
    # White space only separates words, so line breaks need no piece of their own and offsets never include it.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, lstrip=token == "<mask>") for token in SPECIAL_TOKENS]
    )
    bos, eos = SPECIAL_TOKENS[0], SPECIAL_TOKENS[2]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, 0), (eos, 2)],
    )
    return tokenizer


def _corpus(dataset: Dataset) -> Iterator[str]:
    """Paragraphs of train pages, entity texts and names, up to MAX_CORPUS_BYTES, sampled by hash."""
    keep = min(1.0, MAX_CORPUS_BYTES / max(1, 3 * sum(shard.bytes for shard in dataset.shards("pages", "train"))))
    threshold = int(keep * 2**64)
    for name, split, columns in (
        ("pages", "train", ["text"]),
        ("entities", None, ["text", "label"]),
        ("relations", None, ["label", "description"]),
    ):
        for shard in dataset.shards(name, split):
            for batch in _batches(dataset, name, shard, columns):
                for column in columns:
                    for text in batch[column].to_pylist():
                        yield from (
                            line for line in (text or "").split("\n") if line.strip() and hash_string(line) < threshold
                        )


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise DataError(f"{name} is no folder, and reading it from the hub needs huggingface_hub.") from error
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except Exception as error:  # network, permission and name errors have no common class
        reason = str(error).splitlines()[0][:120]
        raise DataError(f"{name} is no folder with tokenizer.json, nor could the hub give it ({reason}).") from error


def _tokenize_shard(
    dataset: Dataset, name: str, shard: Shard, table: Table, tokenizer: "Tokenizer", out: Path, max_length: int
) -> Shard:
    columns, rows_of = _MAKERS[name]
    tables = [table.schema.empty_table()]
    for batch in _batches(dataset, name, shard, columns):
        rows = rows_of(batch.to_pylist(), tokenizer, max_length)
        tables.append(pa.Table.from_pylist(rows, schema=table.schema))
    path = out / table.folder / Path(shard.path).name.replace(f"{name}-", f"{table.name}-", 1)
    return sinks.write_parquet(table, pa.concat_tables(tables), path)


def _batches(dataset: Dataset, name: str, shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    path = dataset.folder / shard.path
    require_schema(path, dataset.table(name))
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


def _graph_rows(rows: list[dict], tokenizer: "Tokenizer", max_length: int) -> list[dict]:
    encoded = tokenizer.encode_batch([row["text"] for row in rows], add_special_tokens=False)
    return [
        {
            "graph_id": row["graph_id"],
            "split": row["split"],
            "units": splice_anchors(
                np.array(encoding.ids, np.int32),
                np.array(encoding.offsets, np.int64).reshape(-1, 2),
                [(mention["start"], mention["end"]) for mention in row["mentions"]],
            ),
            "anchors": [mention["entity_index"] for mention in row["mentions"]],
            "triples": [
                {key: triple[key] for key in ("anchor", "relation_index", "tail_index")} for triple in row["triples"]
            ],
        }
        for row, encoding in zip(rows, encoded, strict=True)
    ]


def _entity_rows(rows: list[dict], tokenizer: "Tokenizer", max_length: int) -> list[dict]:
    texts = tokenizer.encode_batch([row["text"] for row in rows], add_special_tokens=False)
    names = tokenizer.encode_batch([row["label"] or row["entity"] for row in rows], add_special_tokens=False)
    return [
        {"entity_index": row["entity_index"], "ids": text.ids[:max_length], "name_ids": name.ids[:max_length]}
        for row, text, name in zip(rows, texts, names, strict=True)
    ]


def _relation_rows(rows: list[dict], tokenizer: "Tokenizer", max_length: int) -> list[dict]:
    labels = [row["label"] or row["relation"] for row in rows]
    full = [
        f"{label}: {row['description']}" if row["description"] else label
        for label, row in zip(labels, rows, strict=True)
    ]
    texts = tokenizer.encode_batch(full, add_special_tokens=False)
    names = tokenizer.encode_batch(labels, add_special_tokens=False)
    return [
        {"relation_index": row["relation_index"], "ids": text.ids[:max_length], "name_ids": name.ids[:max_length]}
        for row, text, name in zip(rows, texts, names, strict=True)
    ]


def _page_rows(rows: list[dict], tokenizer: "Tokenizer", max_length: int) -> list[dict]:
    encoded = tokenizer.encode_batch([row["text"] for row in rows], add_special_tokens=False)
    return [
        {"page_id": row["page_id"], "split": row["split"], "ids": encoding.ids}
        for row, encoding in zip(rows, encoded, strict=True)
    ]


_MAKERS: dict[str, tuple[list[str], Any]] = {
    "wk_graphs": (["graph_id", "split", "text", "mentions", "triples"], _graph_rows),
    "entities": (["entity_index", "entity", "label", "text"], _entity_rows),
    "relations": (["relation_index", "relation", "label", "description"], _relation_rows),
    "pages": (["page_id", "split", "text"], _page_rows),
}
"""Table -> (columns that it reads, rows -> token rows)."""
