"""A dataset's texts -> a vocabulary by SentencePiece -> a folder that `tokenizers` and `transformers` read.

RoBERTa's special tokens stand in RoBERTa's places. A piece for each of their characters is asked for and they
themselves cost more than any text, so a text that says "<s>" is written with pieces, not with the token.
"""

import dataclasses
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from pipelines.columns import values
from pipelines.records import whole_file, write_json
from pipelines.scan import scan
from pipelines.tokenizer import ROLES
from pipelines.vocabulary import BYTE_PIECES, Vocabulary
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import hash_string

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import Model
    from tokenizers.normalizers import Normalizer

SPECIAL_TOKENS = tuple(names[0] for names in ROLES.values())
BYTES = tuple(f"<0x{number:02X}>" for number in range(BYTE_PIECES))
NEVER = -10_000.0
"""Log probability of a piece that no text is written with."""

TEXTS: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("pages", "train", ("text",)),
    ("entities", None, ("text", "label")),
    ("relations", None, ("label", "description")),
)
"""Table, split and columns that a vocabulary is learnt from."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came of it: pieces of the vocabulary, lines that it learnt from, lines left out by reason."""

    pieces: int
    lines: int
    dropped: dict[str, int]


def train_tokenizer(dataset: Dataset, out: Path, options: Vocabulary) -> Trained:
    """Write OUT/tokenizer.json and its tokenizer_config.json.

    The vocabulary gets smaller than asked for where the texts hold too little for it.
    """
    corpus = _Corpus(dataset, options)
    pieces = _sentencepiece(corpus, options)
    tokenizer = _tokenizer(pieces, options)
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "tokenizer.json") as temporary:
        tokenizer.save(str(temporary))
    roles = {"bos": "bos", "pad": "pad", "eos": "eos", "unk": "unk", "mask": "mask", "cls": "bos", "sep": "eos"}
    names = {f"{role}_token": ROLES[source][0] for role, source in roles.items()}
    write_json(out / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
    dropped = {reason: count for reason, count in corpus.dropped.items() if count}
    return Trained(tokenizer.get_vocab_size(), corpus.lines, dropped)


class _Corpus:
    """The lines of the dataset's train texts, in its order, normalized as the tokenizer will do it."""

    def __init__(self, dataset: Dataset, options: Vocabulary) -> None:
        self._dataset, self._options, self.name = dataset, options, str(dataset.folder)
        self._normalizer = _normalizer(options)
        self.lines = 0
        self.dropped: Counter[str] = Counter()
        self.failure: DataError | None = None
        """What ended the reading; SentencePiece only says that something did."""

    def __iter__(self) -> Iterator[str]:
        try:
            share = min(1.0, self._options.sample_mb * 10**6 / max(1, self._size()))
            yield from self._sampled(int(share * 2**64))
        except DataError as error:
            self.failure = error

    def _sampled(self, threshold: int) -> Iterator[str]:
        for text in self._texts():
            for raw in text.split("\n"):
                line = " ".join(self._normalize(raw).split())
                if not line:
                    continue
                if len(line.encode()) > self._options.max_sentence_bytes:
                    self.dropped[f"longer than {self._options.max_sentence_bytes:,} bytes"] += 1
                elif hash_string(line, self._options.seed) >= threshold:
                    self.dropped["not in the sample"] += 1
                else:
                    self.lines += 1
                    yield line

    def _normalize(self, line: str) -> str:
        # SentencePiece marks spaces and unknown characters with these two, and skips lines that hold them.
        line = line.replace("\u2581", " ").replace("\u2585", " ")
        return self._normalizer.normalize_str(line) if self._normalizer else line

    def _texts(self) -> Iterator[str]:
        for name, split, columns in TEXTS:
            for rows in scan(self._dataset, name, columns, split=split):
                for column in columns:
                    yield from (text for text in rows[column].to_pylist() if text)

    def _size(self) -> int:
        """Bytes of all texts; not those of the files, which say how they were written."""
        return sum(
            pc.sum(pc.binary_length(values(rows, column))).as_py() or 0
            for name, split, columns in TEXTS
            for rows in scan(self._dataset, name, columns, split=split)
            for column in columns
        )


def _sentencepiece(corpus: _Corpus, options: Vocabulary) -> list[tuple[str, float]]:
    """Pieces and their scores, the best first."""
    import sentencepiece

    model = io.BytesIO()
    reserved = _reserved(options.byte_fallback)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus),
            model_writer=model,
            model_type=options.model,
            vocab_size=options.vocab_size - len(SPECIAL_TOKENS) + 1,
            character_coverage=options.character_coverage,
            byte_fallback=options.byte_fallback,
            required_chars="".join(sorted(set("".join(reserved)))),
            split_by_whitespace=options.split_by_whitespace,
            split_by_unicode_script=options.split_by_script,
            split_digits=options.split_digits,
            max_sentencepiece_length=options.max_piece_length,
            max_sentence_length=options.max_sentence_bytes,
            normalization_rule_name="identity",  # the lines are normalized
            hard_vocab_limit=False,
            pad_id=-1,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # sums of floats depend on how they are shared out
            minloglevel=2,
        )
    except RuntimeError as error:
        raise corpus.failure or DataError(
            f"{corpus.name}: its texts make no vocabulary of {options.vocab_size} pieces: there is no text in it, or "
            "more different characters than that. Try another --vocab-size or a smaller --character-coverage."
        ) from error
    if corpus.failure:
        raise corpus.failure
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # A text about markup may teach it "<s>": the special tokens' ids must stay their own.
    learned = [i for i in range(len(found)) if not (found.IsUnknown(i) or found.IsByte(i))]
    return [(found.IdToPiece(i), found.GetScore(i)) for i in learned if found.IdToPiece(i) not in reserved]


def _tokenizer(pieces: list[tuple[str, float]], options: Vocabulary) -> "Tokenizer":
    from tokenizers import AddedToken, Tokenizer, decoders, processors

    tokenizer = Tokenizer((_unigram if options.model == "unigram" else _bpe)(pieces, options.byte_fallback))
    if normalizer := _normalizer(options):
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = _pre_tokenizer(options)
    # Not decoders.Metaspace: it takes every space out of the first piece.
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
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


def _reserved(byte_fallback: bool) -> list[str]:
    """The pieces that stand before all that are learnt."""
    return [*SPECIAL_TOKENS, *(BYTES if byte_fallback else ())]


def _unigram(pieces: list[tuple[str, float]], byte_fallback: bool) -> "Model":
    from tokenizers import models

    vocabulary = [*((piece, NEVER) for piece in _reserved(byte_fallback)), *pieces]
    return models.Unigram(vocabulary, unk_id=SPECIAL_TOKENS.index("<unk>"), byte_fallback=byte_fallback)


def _bpe(pieces: list[tuple[str, float]], byte_fallback: bool) -> "Model":
    """SentencePiece merges the neighbours that make the best piece, however it was made when it was learnt."""
    from tokenizers import models

    numbered = [*_reserved(byte_fallback), *(piece for piece, _ in pieces)]
    vocabulary = {piece: number for number, piece in enumerate(numbered)}
    learned = {piece for piece, _ in pieces}
    merges = [
        (piece[:cut], piece[cut:])
        for piece, _ in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in learned and piece[cut:] in learned
    ]
    return models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback)


def _normalizer(options: Vocabulary) -> "Normalizer | None":
    from tokenizers import Regex, normalizers

    forms = {"nfc": [normalizers.NFC()], "nfkc": [normalizers.NFKC()]}
    steps: list[Any] = forms.get(options.normalization, [])
    steps += [normalizers.Lowercase()] if options.lowercase else []
    if not options.split_by_whitespace:
        steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps) if steps else None


def _pre_tokenizer(options: Vocabulary) -> Any:
    """White space only separates words, so line breaks need no piece of their own and offsets never include it."""
    from tokenizers import pre_tokenizers

    if not options.split_by_whitespace:
        return pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
