"""LAMA: which word a text encoder puts where a fact's object is masked, without being fine-tuned (Petroni et al., EMNLP
2019).

A question counts where its object is one token of the system's in that very text, and one of the words that are
ranked; what is left out is counted by reason. The text is tokenised with the object in it, and its token masked: the
words beside it are those of any masked text. Systems with other vocabularies are comparable over words that all of
them have (`tokenizers`, `vocabulary`). P@k over a subset's questions (micro), and as the mean over relations (macro).

N questions, C candidates, V words of a vocabulary.
"""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
import torch
from jaxtyping import Float64, Int64
from tokenizers import Tokenizer
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.data.batch import pad_mask, ragged_rows, tensor
from training.data.special import special_tokens
from training.data.text import TextBatch
from training.evaluation.masked_words import Words
from training.evaluation.ranking import rank_by_counting
from training.evaluation.ranks import Ranks, rank_metrics
from training.evaluation.settings import require_split, variant
from training.evaluation.starts import folder_tokenizer
from training.labelled_encoder import Start
from training.metrics import progress

TASK = "probing"
MASK = "[MASK]"
"""What stands for the object in `examples`."""
SUBSETS = ("T-REx", "Google-RE", "ConceptNet", "SQuAD", "UHN-T-REx", "UHN-Google-RE")
AT_ONCE = 64
"""Texts encoded together, those of like length."""
NAMED_FOR = {
    "P19": "city",
    "P20": "city",
    "P27": "country",
    "P103": "language",
    "P937": "city",
    "P1412": "language",
}
"""Relations of persons, and what of them a name may give away (Poerner et al., Findings of EMNLP 2020)."""
NAME = "{} is a common name in the following {}: " + MASK
GIVEN_AWAY = 3
"""A name gives the object away where it is among so many best words."""
Reason = Literal["object_is_not_one_token", "object_is_not_ranked", "object_in_subject", "name_says_it"]


@dataclasses.dataclass(frozen=True)
class ProbingSettings:
    """What `--set` can change."""

    vocabulary: str = ""
    """A file of words, one a line, that alone are ranked: LAMA's common vocabulary. By default all words that are one
    token."""
    tokenizers: str = ""
    """Folders of other encoders, with commas: only words that are one token of each of them, too, are ranked."""
    uhn: Literal["off", "match", "names"] = "off"
    """Leaves out what the subject's name gives away. match: the object is part of it; names: also where the system
    guesses the object from a person's name alone, of which the authors asked BERT-base."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fact as a text with one MASK."""

    subset: str
    relation: str
    text: str
    answer: str
    subject: str


@dataclasses.dataclass(frozen=True)
class ProbingQuestions:
    """The facts, and the words that are ranked where they do not depend on the system: the same for every system."""

    probes: list[Probe]
    words: frozenset[str] | None
    tokenizers: list[Tokenizer]
    settings: ProbingSettings
    protocol: dict[str, Any]


class Frequency:
    """LAMA's rule that knows how often each object answers the relation among the questions themselves."""


def prepare(dataset: Dataset, split: str, settings: ProbingSettings) -> ProbingQuestions:
    """The split's probes; DataError where it has none, or a file or a tokenizer can't be read."""
    require_split(TASK, split)
    table = dataset.read("examples")
    chosen = table.filter(pc.and_(pc.equal(table["task"], TASK), pc.equal(table["split"], split)))
    if not len(chosen):
        raise DataError(
            f"{dataset.folder} has no example of {TASK} in split {split}. Give with --data the dataset that wikiloom "
            "import lama made."
        )
    words = None if not settings.vocabulary else _read_words(Path(settings.vocabulary))
    others = [folder_tokenizer(Path(folder))[0] for folder in settings.tokenizers.split(",") if folder]
    protocol = {
        "split": split,
        "probes": len(chosen),
        "uhn": settings.uhn,
        "vocabulary": None if words is None else {"words": len(words), "sha256": _digest(*sorted(words))},
        "tokenizers": {
            Path(folder).name: _digest(other.to_str())
            for folder, other in zip(filter(None, settings.tokenizers.split(",")), others, strict=True)
        },
        "ties": "realistic",
    }
    ranked = [*(["words=" + protocol["vocabulary"]["sha256"]] if words is not None else [])]
    ranked += ["tokenizers=" + _digest(*sorted(protocol["tokenizers"].values()))] if others else []
    if told := ",".join(filter(None, (variant(settings, "uhn"), *ranked))):
        protocol["variant"] = told
    return ProbingQuestions([_probe(row) for row in chosen.to_pylist()], words, others, settings, protocol)


def _digest(*texts: str) -> str:
    """Eight digits that tell other texts apart."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def _read_words(path: Path) -> frozenset[str]:
    try:
        words = frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"vocabulary={path} can't be read ({error}). Give a text file with a word on each line."
        ) from error
    if not words:
        raise UsageError(f"vocabulary={path} has no word. Give a text file, a word a line.")
    return words


def _probe(row: Mapping[str, Any]) -> Probe:
    subjects = [row["text"][mention["start"] : mention["end"]] for mention in row["mentions"]]
    return Probe(row["group"], row["relation"] or "", row["text"], row["answers"][0], " ".join(subjects))


def ask(system: Start | Frequency, questions: ProbingQuestions) -> dict[str, Any]:
    """For each subset, and for `all`: questions, p@1, p@10, mrr, macro_p@1, skipped by reason, relations; and of the
    rule that knows the objects' numbers, on the same questions, frequency_p@1. `all` is without LAMA-UHN's copies.

    DataError for an encoder without a head for masked words.
    """
    if isinstance(system, Frequency):
        return _metrics(questions.probes, _by_frequency(questions.probes), {})
    if system.word_head is None:
        raise DataError(f"{system.name} has no head for masked words that was trained, so there is nothing to probe.")
    return _metrics(questions.probes, *Prober(system, questions).answers())


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question as token ids. L tokens."""

    ids: list[int]
    place: int
    """Of the mask."""
    gold: int
    """The id that was masked."""


class Prober:
    """A system with the words that it ranks."""

    def __init__(self, start: Start, questions: ProbingQuestions) -> None:
        assert start.word_head is not None
        self._start, self._questions = start, questions
        self._words = Words(start.encoder, start.word_head)
        self.candidates = np.unique(list(self._ranked().values()))
        """Their ids, sorted; C of them."""
        if not len(self.candidates):
            raise UsageError(f"No word of the vocabulary is one token of {start.name}, so there is nothing to rank.")

    def answers(self) -> tuple[dict[int, float], dict[int, Reason]]:
        """(realistic rank of each probe's object, why a probe was left out), by the probe's number."""
        asked: dict[int, Asked] = {}
        skipped: dict[int, Reason] = {}
        for number, (probe, found) in enumerate(zip(self._questions.probes, self._read(self._texts()), strict=True)):
            reason = self._why_not(probe, found)
            if found is None or reason:
                skipped[number] = reason or "object_is_not_one_token"
            else:
                asked[number] = found
        if self._questions.settings.uhn == "names":
            given_away = self._given_away({number: self._questions.probes[number] for number in asked})
            skipped |= dict.fromkeys(given_away, "name_says_it")
        kept = [number for number in asked if number not in skipped]
        ranks = self.ranks([asked[number] for number in kept])
        return dict(zip(kept, ranks.by("realistic").tolist(), strict=True)), skipped

    def _texts(self) -> Iterator[tuple[str, str]]:
        return ((probe.text, probe.answer) for probe in self._questions.probes)

    def _why_not(self, probe: Probe, asked: Asked | None) -> Reason | None:
        if asked is None:
            return "object_is_not_one_token"
        if asked.gold not in self.candidates:
            return "object_is_not_ranked"
        inside = probe.answer.casefold() in probe.subject.casefold()
        return "object_in_subject" if inside and self._questions.settings.uhn != "off" else None

    def _given_away(self, probes: Mapping[int, Probe]) -> set[int]:
        """The probes whose object the system guesses from a part of the subject's name."""
        texts = [
            (number, NAME.format(part, NAMED_FOR[probe.relation]), probe.answer)
            for number, probe in probes.items()
            if probe.relation in NAMED_FOR
            for part in probe.subject.split()
        ]
        found = zip((number for number, *_ in texts), self._read(text[1:] for text in texts), strict=True)
        asked = [(number, one) for number, one in found if one is not None and one.gold in self.candidates]
        ranks = self.ranks([one for _, one in asked]).by("realistic")
        return {number for (number, _), rank in zip(asked, ranks.tolist(), strict=True) if rank <= GIVEN_AWAY}

    def _ranked(self) -> dict[str, int]:
        """The words that are ranked -> their ids."""
        tokenizers = [self._start.tokenizer, *self._questions.tokenizers]
        words = self._questions.words
        if words is None:
            words = frozenset().union(*(whole_words(tokenizer) for tokenizer in tokenizers))
        own, *others = (single_tokens(tokenizer, words) for tokenizer in tokenizers)
        return {word: id for word, id in own.items() if all(word in other for other in others)}

    def _read(self, texts: Iterable[tuple[str, str]]) -> list[Asked | None]:
        """Each text with its answer at the mask; None where that is not one token."""
        whole = [(text.index(MASK), answer, text.replace(MASK, answer)) for text, answer in texts]
        encodings = self._start.tokenizer.encode_batch([text for *_, text in whole], add_special_tokens=False)
        special, room = self._start.special, self._start.max_length - 2
        found: list[Asked | None] = []
        for (start, answer, text), encoding in zip(whole, encodings, strict=True):
            place = _sole_token(encoding.offsets, text, start, start + len(answer))
            if place is None or encoding.ids[place] == special.unk:
                found.append(None)
                continue
            first = max(0, min(place - room // 2, len(encoding.ids) - room))
            ids = [special.bos, *encoding.ids[first : first + room], special.eos]
            place += 1 - first
            gold, ids[place] = ids[place], special.mask
            found.append(Asked(ids, place, gold))
        return found

    @torch.no_grad()
    def ranks(self, asked: Sequence[Asked]) -> Ranks:
        """Of the masked ids among the candidates."""
        optimistic, pessimistic = (torch.empty(len(asked), dtype=torch.int64) for _ in range(2))
        order = np.argsort([len(one.ids) for one in asked], kind="stable")
        candidates, done = torch.from_numpy(self.candidates), 0
        with progress(len(asked), 0, 1, what=TASK, unit="questions") as report:
            for rows in np.array_split(order, np.arange(AT_ONCE, len(order), AT_ONCE)):
                if not len(rows):
                    continue
                some = [asked[row] for row in rows]
                logits = self._words.word_logits(*_batch(some, self._start.special.pad))
                gold = torch.searchsorted(candidates, torch.tensor([one.gold for one in some]))
                found = rank_by_counting(logits.index_select(1, candidates.to(logits.device)).float(), gold)
                optimistic[rows], pessimistic[rows] = found.optimistic, found.pessimistic
                done += len(rows)
                report(done, 0.0)
        return Ranks(optimistic, pessimistic)


def whole_words(tokenizer: Tokenizer) -> frozenset[str]:
    """What the tokens of a vocabulary say alone, where that has no space within."""
    said = (tokenizer.decode([number]).strip() for number in tokenizer.get_vocab().values())
    return frozenset(word for word in said if word and len(word.split()) == 1)


def single_tokens(tokenizer: Tokenizer, words: Iterable[str]) -> dict[str, int]:
    """Words that are one known token behind another word -> its id."""
    before, wanted, unknown = "a ", sorted(words), special_tokens(tokenizer).unk
    encodings = tokenizer.encode_batch([before + word for word in wanted], add_special_tokens=False)
    found = {}
    for word, encoding in zip(wanted, encodings, strict=True):
        place = _sole_token(encoding.offsets, before + word, len(before), len(before) + len(word))
        if place is not None and encoding.ids[place] != unknown:
            found[word] = encoding.ids[place]
    return found


def _sole_token(offsets: Sequence[tuple[int, int]], text: str, start: int, end: int) -> int | None:
    """The place of the one token that covers these characters, and beside them nothing but space."""
    places = [place for place, (first, last) in enumerate(offsets) if first < end and last > start]
    if len(places) != 1:
        return None
    first, last = offsets[places[0]]
    outside = text[first:start] + text[end:last]
    return None if first > start or last < end or outside.strip() else places[0]


def _batch(asked: Sequence[Asked], pad: int) -> tuple[TextBatch, Int64[Tensor, " N"]]:
    rows = ragged_rows([one.ids for one in asked])
    ids = rows.padded(pad)
    places = np.arange(len(asked)) * ids.shape[1] + np.array([one.place for one in asked])
    nothing = torch.empty((len(asked), 0), dtype=torch.int64)
    return TextBatch(tensor(ids), tensor(pad_mask(rows.lengths)), nothing), tensor(places)


def _by_frequency(probes: Sequence[Probe]) -> dict[int, float]:
    """Realistic ranks among the objects of the relation by their number."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for probe in probes:
        counts[probe.subset, probe.relation][probe.answer] += 1
    ranks = {}
    for number, probe in enumerate(probes):
        own = np.array(list(counts[probe.subset, probe.relation].values()))
        count = counts[probe.subset, probe.relation][probe.answer]
        ranks[number] = float((own > count).sum() + ((own == count).sum() + 1) / 2)
    return ranks


def _metrics(probes: Sequence[Probe], ranks: Mapping[int, float], skipped: Mapping[int, Reason]) -> dict[str, Any]:
    subsets = [name for name in SUBSETS if any(probe.subset == name for probe in probes)]
    found = {}
    for subset in (*subsets, "all"):
        # The copies that LAMA-UHN has of facts are not counted twice.
        own = {subset} if subset != "all" else {name for name in subsets if not name.startswith("UHN-")} or set(subsets)
        inside = [number for number, probe in enumerate(probes) if probe.subset in own]
        why = Counter(skipped[number] for number in inside if number in skipped)
        found[subset] = _of_subset(probes, {number: ranks[number] for number in inside if number in ranks})
        found[subset]["skipped"] = dict(sorted(why.items()))
    return found


def _of_subset(probes: Sequence[Probe], ranks: Mapping[int, float]) -> dict[str, Any]:
    """P@k and the mean reciprocal rank of some questions; none without any."""
    if not ranks:
        return {"questions": 0}
    by_frequency = _by_frequency([probes[number] for number in ranks])
    by_relation = defaultdict(list)
    for number, rank in ranks.items():
        by_relation[probes[number].subset, probes[number].relation].append(rank)
    relations = {f"{subset} {relation}".strip(): _precisions(own) for (subset, relation), own in by_relation.items()}
    return {
        **_precisions(list(ranks.values())),
        "macro_p@1": float(np.mean([own["p@1"] for own in relations.values()])),
        "frequency_p@1": _precisions(list(by_frequency.values()))["p@1"],
        "relations": relations,
    }


def _precisions(ranks: Sequence[float]) -> dict[str, Any]:
    whole: Float64[Tensor, " N"] = torch.tensor(ranks, dtype=torch.float64)
    metrics = rank_metrics(whole)
    return {"questions": len(ranks), "p@1": metrics["hits@1"], "p@10": metrics["hits@10"], "mrr": metrics["mrr"]}
