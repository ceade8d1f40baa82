"""LASS (Shen et al., COLING 2022): a fact is read as one text, and scored by how well its parts translate.

    f(h, r, t) = b - 1/2 ||h + r - t||^2    (eq. 1),

where h, r and t are the means of the last states over the parts' own tokens; trained to tell true facts from corrupted
ones (eq. 4). With `lass.head = "cls"` it is KG-BERT (Yao et al., 2019): the same texts, a linear classifier of the
state at <s>.

Differences from the authors' code (github.com/pkusjh/LASS):
- the masked language model, which is computed there and weighs 0 in every script, is left out;
- facts are padded to the longest of some of like length (there: all to 192 tokens);
- a triple's negatives are in its batch (there: only with group_shuffle; else all facts are shuffled singly), and drawn
  anew each epoch from counter-based hashes (there: epochs + 1 files made before);
- a corrupted fact that can't be made false is left out (there: an endless loop);
- `lass.separators`, `lass.scaled` and `lass.positive_weight` choose between the paper and the code;
- encoders may be uncased (there: cased BERT and RoBERTa);
- KG-BERT: no types of tokens tell the relation from the entities, one logit is taken in place of two, and it is read
  from the state itself (there: after the pooler).

B facts of a piece, N of a batch, S tokens, D hidden, E entities, C candidates, R relations, Q queries.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from training.config import Config
from training.data.batch import to_device
from training.data.links import FactBatch, FactTexts
from training.data.sequences import Piece
from training.encoders import build_encoder, encode_text, word_vectors
from training.metrics import progress

FACTS_AT_ONCE = 2**16
"""Facts whose texts are held as numbers at a time."""
SHOWN = 10_000
"""From so many facts on, progress is shown."""


class Lass(nn.Module):
    """A text encoder, and for KG-BERT a classifier."""

    memory = None
    """It has no table of entities."""

    def __init__(self, config: Config, vocab_size: int) -> None:
        super().__init__()
        built = build_encoder(config.encoder, vocab_size, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        # It goes along, untrained, for exports: nothing leads to it.
        self.word_head.requires_grad_(False)
        self.config = own = config.lass
        width = int(self.encoder.config.hidden_size)
        self.classifier = nn.Linear(width, 1) if own.head == "cls" else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=self.encoder.config.initializer_range)
            nn.init.zeros_(self.classifier.bias)
        self._scale = width**0.5 if own.scaled else 1.0
        kinds = 3 if own.corrupted == "all" else 1
        self.positive_weight = float(kinds) if own.positive_weight == "paper" else 1.0
        self.weights = {"triple": 1.0}

    def scores(self, piece: Piece, words: Float[Tensor, "B S W"] | None = None) -> Float[Tensor, " B"]:
        """f of each fact, the logit of its being true."""
        states = encode_text(self.encoder, piece.ids, piece.real, words)
        if self.classifier is not None:
            return self.classifier(states[:, 0]).squeeze(1).float()
        head, relation, tail = part_means(states, piece).unbind(dim=1)
        return self.config.offset - (head + relation - tail).square().sum(dim=-1) / (2 * self._scale)

    def losses(self, batch: FactBatch) -> dict[str, Float[Tensor, ""]]:
        """The sum over facts of -log sigma(f) of true ones and -log sigma(-f) of false ones."""
        pieces = batch.facts.pieces
        if not pieces:
            return {}
        words = word_vectors(self.encoder, [piece.ids for piece in pieces])
        scores = torch.cat([self.scores(piece, own) for piece, own in zip(pieces, words, strict=True)])
        true = batch.labels[torch.cat([piece.rows for piece in pieces])] == 1
        return {"triple": torch.where(true, -self.positive_weight * logsigmoid(scores), -logsigmoid(-scores)).sum()}

    def flops(self, batch: FactBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        return self._cost.flops(batch.lengths)


def part_means(states: Float[Tensor, "B S D"], piece: Piece) -> Float[Tensor, "B P D"]:
    """The mean of the states over each part's own tokens; zeros of a part without any."""
    places = torch.arange(states.shape[1], device=states.device)
    inside = (places >= piece.starts[..., None]) & (places < piece.ends[..., None])
    # In 32 bits: a difference of nearly equal means has few bits left in 16.
    with torch.autocast(states.device.type, enabled=False):
        sums = inside.float() @ states.float()
    return sums / (piece.ends - piece.starts).clamp(min=1)[..., None]


class LassScorer:
    """A trained model behind training.scoring's Scorer, RelationScorer, TripleScorer and PairwiseScorer.

    Every candidate is read with every query, exactly. Attention sees the whole text, so no state can be kept from one
    candidate to the next; what is saved is what is asked twice: equal queries, and facts that are written alike.
    """

    pairwise = True

    def __init__(self, model: Lass, texts: FactTexts, candidates: Int64[Tensor, " C"] | None = None) -> None:
        """`candidates` are sorted; None for all entities."""
        self._model, self._texts = model.eval(), texts
        everything = torch.arange(len(texts.entities.lengths))
        self._candidates: Int64[Tensor, " C"] = everything if candidates is None else candidates

    def among(self, candidates: Int64[Tensor, " C"]) -> "LassScorer":
        """The same for these alone."""
        return LassScorer(self._model, self._texts, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the tail."""
        return self._every(torch.stack([heads, relations, torch.zeros_like(heads)], dim=1), 2, self._candidates)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the head."""
        return self._every(torch.stack([torch.zeros_like(tails), relations, tails], dim=1), 0, self._candidates)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Score of every relation."""
        every = torch.arange(len(self._texts.relations.lengths))
        return self._every(torch.stack([heads, torch.zeros_like(heads), tails], dim=1), 1, every)

    @torch.no_grad()
    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Score of each triple; those that are written alike are read once."""
        facts, which = self._texts.distinct(torch.stack([heads, relations, tails], dim=1).cpu().numpy())
        scores, device, done = torch.empty(len(facts)), self._model.encoder.device, 0
        with progress(len(facts), 0, 1, shown=len(facts) >= SHOWN, what="scoring", unit="facts") as report:
            for start in range(0, len(facts), FACTS_AT_ONCE):
                some = slice(start, start + FACTS_AT_ONCE)
                for piece in self._texts.facts(facts[some]).pieces:
                    scores[some][piece.rows] = self._model.scores(to_device(piece, device)).cpu()
                    done += len(piece.rows)
                    report(done)
        return scores[torch.from_numpy(which)]

    def _every(self, queries: Int64[Tensor, "B 3"], place: int, answers: Int64[Tensor, " C"]) -> Float[Tensor, "B C"]:
        """Scores of all answers to each query, which lacks the part at `place`."""
        asked, of_row = queries.unique(dim=0, return_inverse=True)
        facts = asked[:, None].repeat(1, len(answers), 1)
        facts[..., place] = answers
        return self.triples(*facts.flatten(0, 1).unbind(dim=1)).unflatten(0, (len(asked), len(answers)))[of_row]
