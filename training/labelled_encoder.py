"""What is fine-tuned: an encoder that reads labelled examples, with new words for their markers and linked entities: of
a CoLAKE run as nodes beside the words, which all see each other, of a JAKET run as vectors that are added to the words
that name them, between the two halves. Their table is frozen.

B examples of a batch, S nodes of the longest, R roles that are marked, D hidden, M entities.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.data.collate import ENTITY
from training.data.labelled import LabelledBatch
from training.data.special import SpecialTokens
from training.encoders import TiedHead

Form = Literal["start", "markers"]
"""What stands for an example: the state at <s>, or those at the markers before its mentions, one after the other."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What is fine-tuned: a run's encoder with what goes with it, or a plain folder's."""

    name: str
    encoder: Any
    tokenizer: Any
    special: SpecialTokens
    max_length: int
    """Words that it reads."""
    form: Form = "markers"
    """Its system's own: CoLAKE's is start, KEPLER's is markers; so is that of what has none."""
    position_offset: int | None = None
    """Of an encoder of word-knowledge graphs; None for one that reads texts alone."""
    entities: Callable[[Sequence[str]], tuple[list[str], Float[Tensor, "M D"]]] | None = None
    """Entities -> those that the run knows, and their rows."""
    word_head: TiedHead | None = None
    """For masked words; None where there is none, or none that was trained."""
    heads: Mapping[str, TiedHead] = dataclasses.field(default_factory=dict)
    """Heads that were trained: entity, relation."""
    relations: Callable[[str], tuple[Float[Tensor, " D"], float] | None] = lambda _relation: None
    """A relation's row and its bias, None for one that the run does not know."""
    jaket: Any = None
    """A JAKET run's network, whose encoder `encoder` is."""
    met: Callable[[Sequence[str]], int] | None = None
    """How many of some entities a JAKET run has met in pre-training."""


class LabelledEncoder(nn.Module):
    """The encoder of a start, with new words; heads are added by subclasses."""

    def __init__(self, start: Start, markers: int, rows: Float[Tensor, "M D"]) -> None:
        """`markers` words are new, their ids come after the encoder's own. The caller sets torch's seed."""
        super().__init__()
        # The whole of it learns, also where pre-training kept it as it was.
        self.jaket = None if start.jaket is None else own_network(start.jaket)
        self.encoder = copy.deepcopy(start.encoder) if self.jaket is None else self.jaket.encoder
        self.requires_grad_(True)
        self._offset = start.position_offset
        self.hidden, self.spread = int(self.encoder.config.hidden_size), float(self.encoder.config.initializer_range)
        self._add_words(markers)
        # Frozen: too few of its rows are in a task for the others to keep their place beside them.
        self.register_buffer("entities", rows, persistent=False)

    def states(self, batch: LabelledBatch) -> Float[Tensor, "B S D"]:
        """Last hidden states of words and entities."""
        if self.jaket is not None:
            places, rows = batch.linked.unbind(dim=1)
            return self.jaket.states(batch.ids, batch.real, places, self.entities.index_select(0, rows))
        if self._offset is None:
            kinds = int(getattr(self.encoder.config, "type_vocab_size", 0))
            types = {"token_type_ids": batch.segments.clamp(max=kinds - 1)} if kinds > 1 else {}
            return self.encoder(input_ids=batch.ids, attention_mask=batch.real, **types).last_hidden_state
        is_entity = batch.types == ENTITY
        words = self.encoder.get_input_embeddings()(batch.ids.masked_fill(is_entity, 0))
        shown = words.clone()
        shown[is_entity] = self.entities[batch.ids[is_entity]]
        return self.encoder(
            inputs_embeds=shown,
            attention_mask=batch.real,
            position_ids=batch.positions + self._offset,
            token_type_ids=batch.types,
        ).last_hidden_state

    def vectors(self, batch: LabelledBatch, form: Form) -> Float[Tensor, "B K"]:
        """What stands for each example: K = D, or R * D of form markers."""
        states = self.states(batch)
        if form == "start":
            return states[:, 0]
        places = batch.marks.unsqueeze(-1).expand(-1, -1, states.shape[-1])
        return states.gather(1, places).flatten(1)

    @torch.no_grad()
    def _add_words(self, count: int) -> None:
        old = self.encoder.get_input_embeddings()
        table = nn.Embedding(old.num_embeddings + count, old.embedding_dim, padding_idx=old.padding_idx)
        table.weight[: old.num_embeddings] = old.weight
        nn.init.normal_(table.weight[old.num_embeddings :], std=self.spread)
        self.encoder.set_input_embeddings(table)


def own_network(network: Any) -> Any:
    """A copy of a JAKET run's network without its memory, which is the run's own and large."""
    own = copy.copy(network)
    own.memory = None
    return copy.deepcopy(own)


class ClassificationHead(nn.Module):
    """RoBERTa's, which KEPLER's authors take: dropout -> dense -> tanh -> dropout -> linear. V numbers of a vector."""

    def __init__(self, width: int, hidden: int, outputs: int, dropout: float, spread: float) -> None:
        """`spread` of the first weights; biases begin as zeros."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense, self.decoder = nn.Linear(width, hidden), nn.Linear(hidden, outputs)
        for layer in (self.dense, self.decoder):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)

    def forward(self, vectors: Float[Tensor, "B V"]) -> Float[Tensor, "B O"]:
        """Logits."""
        return self.decoder(self.dropout(torch.tanh(self.dense(self.dropout(vectors)))))
