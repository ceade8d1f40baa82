"""Masked words of held-out pages: how well a run still models language.

Pages are cut into blocks and masked as in training (15 % of the tokens; 80 % of them masked, 10 % another token, 10 %
as they are). The blocks are those with the smallest hashes of (seed, page, place), and their masks hashes of the same,
so they are the same for every system that reads the same tokens. N masked words, V words of the vocabulary, B texts.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import random_u64
from training.config import Positive
from training.data.batch import Columns, columns, joined, ragged, to_device
from training.data.graphs import IGNORE
from training.data.groups import ParquetGroups
from training.data.special import load_tokenizer, special_tokens
from training.data.stream import Part
from training.data.text import MlmFeed, TextBatch, TextBlocks, TextFeed
from training.encoders import TiedHead, encode_text
from training.evaluation.settings import require_split

PADDED_TOKENS = 8_192
"""Encoded at once."""


@runtime_checkable
class WordPredictor(Protocol):
    """Anything that can restore masked words."""

    def word_logits(self, texts: TextBatch, places: Int64[Tensor, " N"]) -> Float[Tensor, "N V"]:
        """Scores of every word at these places of the texts, counted over all rows."""
        ...


@dataclasses.dataclass(frozen=True)
class MaskedWordsSettings:
    """What `--set` can change."""

    blocks: Positive = 500
    """At most so many blocks."""
    block_length: Annotated[int, Field(ge=8)] = 128
    """Tokens of a block, specials included."""
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    seed: int = 0
    """Chooses the blocks, where there are more, and the words."""
    tokens: str = "tiny"
    """What a baseline reads: the dataset's tokens/NAME. A run reads its own."""


@dataclasses.dataclass(frozen=True)
class MaskedWordsQuestions:
    """The masked texts: the same for every system."""

    pieces: list[TextBatch]
    tokens: Dataset
    protocol: dict[str, Any]


def prepare(
    dataset: Dataset, split: str, settings: MaskedWordsSettings, tokens: Dataset | None
) -> MaskedWordsQuestions:
    """Cut and mask the split's pages; DataError where it has none."""
    require_split("masked-words", split)
    tokens = tokens or dataset.tokens(settings.tokens)
    blocks = _blocks(tokens, split, settings)
    if blocks is None:
        raise DataError(
            f"{dataset.folder} has no page in split {split}. Take another --split, or build it with more pages there "
            f"(--set {split}_pages=0.1)."
        )
    tokenizer = load_tokenizer(tokens)
    words = max(tokenizer.get_vocab().values()) + 1
    feed = TextFeed(special_tokens(tokenizer), words, settings.mask_share, settings.seed, "masked-words")
    part = Part(blocks, np.zeros(blocks.rows, dtype=np.int64))
    pieces = MlmFeed(feed, PADDED_TOKENS).batch(part).pieces
    masked = sum(int((piece.labels != IGNORE).sum()) for piece in pieces)
    told = {**dataclasses.asdict(settings), "tokens": tokens.folder.name, "blocks": blocks.rows}
    protocol = {"split": split, "texts": "pages", "queries": masked, **told, "vocabulary": words}
    return MaskedWordsQuestions(pieces, tokens, protocol)


def _blocks(tokens: Dataset, split: str, settings: MaskedWordsSettings) -> Columns | None:
    """The blocks with the smallest hashes, of which no more are held than asked for and those of a row group."""
    pages = ParquetGroups(tokens, "pages", split, ["page_id", "ids"])
    texts = TextBlocks(pages, "page_id", settings.block_length)
    kept: Columns | None = None
    for group in range(len(texts.sizes)):
        more = columns(texts.read(group))
        kept = more if kept is None else joined([kept, more])
        keys = random_u64(settings.seed, "masked-words/blocks", kept.numbers["text"], kept.numbers["place"])
        kept = kept.take(np.sort(np.argsort(keys, kind="stable")[: settings.blocks]))
    return kept


def masked_words(system: WordPredictor, questions: MaskedWordsQuestions) -> dict[str, Any]:
    """{"words": queries, accuracy, cross_entropy (nats), perplexity}."""
    right, loss, queries = 0, 0.0, 0
    for piece in questions.pieces:
        labels = piece.labels.flatten()
        places = torch.nonzero(labels != IGNORE).squeeze(1)
        if len(places):
            logits, gold = system.word_logits(piece, places).float().cpu(), labels[places]
            right += int((logits.argmax(dim=1) == gold).sum())
            loss += float(F.cross_entropy(logits, gold, reduction="sum"))
            queries += len(places)
    if not math.isfinite(loss):
        raise DataError("The model's scores are NaN: its training has diverged. Train again with a smaller lr.")
    mean = loss / max(1, queries)
    accuracy = right / max(1, queries)
    # Beyond it, exp has no number.
    return {
        "words": {
            "queries": queries,
            "accuracy": accuracy,
            "cross_entropy": mean,
            "perplexity": math.exp(min(mean, 700.0)),
        }
    }


@dataclasses.dataclass(frozen=True)
class Words:
    """The text side of a run: its encoder and its head."""

    encoder: nn.Module
    head: TiedHead

    @torch.no_grad()
    def word_logits(self, texts: TextBatch, places: Int64[Tensor, " N"]) -> Float[Tensor, "N V"]:
        """Scores of every word."""
        self.encoder.eval()
        words = self.encoder.get_input_embeddings().weight
        texts = to_device(texts, words.device)
        states = encode_text(self.encoder, texts.ids, texts.real).flatten(0, 1)
        return self.head(states.index_select(0, places.to(words.device)), words)


class Unigram:
    """The rule that knows how frequent each word is in the train pages, and nothing else."""

    def __init__(self, questions: MaskedWordsQuestions) -> None:
        counts = np.ones(questions.protocol["vocabulary"])
        for ids in _ids(questions.tokens):
            counts += np.bincount(ids, minlength=len(counts))
        self._logits = torch.from_numpy(np.log(counts / counts.sum())).float()

    def word_logits(self, texts: TextBatch, places: Int64[Tensor, " N"]) -> Float[Tensor, "N V"]:
        """The same at every place."""
        return self._logits.expand(len(places), -1)


def _ids(tokens: Dataset) -> Iterator[np.ndarray]:
    pages = ParquetGroups(tokens, "pages", "train", ["ids"])
    for group in range(len(pages.sizes)):
        yield ragged(pages.read(group)["ids"]).values
