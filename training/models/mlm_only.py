"""Masked language modelling alone (Liu et al., RoBERTa, 2019): the control of every system that has a graph.

It has the encoder, the tokens and the texts of the system beside it (`mlm.corpus`), and no entity, relation or fact.

B texts, S tokens of the longest, N labelled tokens, D hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.config import Config
from training.data.graphs import IGNORE
from training.data.text import MlmBatch
from training.encoders import build_encoder, encode_text, word_vectors
from training.objectives import cross_entropy_sum


class MlmOnly(nn.Module):
    """One encoder, and a head tied to its words."""

    memory = None
    """It knows no entities."""

    def __init__(self, config: Config, vocab_size: int) -> None:
        super().__init__()
        built = build_encoder(config.encoder, vocab_size, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        self.weights = {"word": 1.0}

    def losses(self, batch: MlmBatch) -> dict[str, Float[Tensor, ""]]:
        """Sum of the cross-entropies of the masked words, where there are any."""
        states, labels = [], []
        words = word_vectors(self.encoder, [piece.ids for piece in batch.pieces])
        for piece, own in zip(batch.pieces, words, strict=True):
            places = torch.nonzero(piece.labels.flatten() != IGNORE).squeeze(1)
            states.append(encode_text(self.encoder, piece.ids, piece.real, own).flatten(0, 1)[places])
            labels.append(piece.labels.flatten()[places])
        if not sum(map(len, labels)):
            return {}
        logits = self.word_head(torch.cat(states), self.encoder.get_input_embeddings().weight)
        return {"word": cross_entropy_sum(logits, torch.cat(labels))}

    def flops(self, batch: MlmBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        words = self.encoder.get_input_embeddings().num_embeddings
        return self._cost.flops(batch.lengths) + self.word_head.flops(batch.counts["word"], words)
