"""A trained JAKET on a knowledge graph, its own or another: what fine-tuning begins with.

    encoder = open_knowledge(RUN, Dataset(DIR))      # context embeddings of all of DIR's entities, made once
    states = encoder(texts)                          # Z^LM of texts with linked mentions, with gradient
    vectors = encoder.entities(np.array([3, 9]))     # E^KM, with gradient through the graph network

B texts, S tokens of the longest, P linked tokens, N entities asked for, R relations, D hidden.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt64
from torch import Tensor, nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from training.checkpoint import MODEL, checkpoints, refuse_pickles
from training.checkpoint_state import require_whole
from training.config import Config
from training.config_file import read_config
from training.data.batch import tensor, to_device
from training.data.jaket import KnowledgeBlocks
from training.entity_memory import CPU
from training.feeds.jaket import entity_texts, linked_entities, open_graph, relation_texts
from training.models.jaket import Jaket
from training.shards import Saved
from training.sources import Source, open_source


@dataclasses.dataclass(frozen=True)
class LinkedTexts:
    """Padded texts, framed, whose mentions are linked."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    places: Int64[Tensor, " P"]
    """Every token of every linked mention, in the flattened rectangle."""
    linked: Int64[Tensor, " P"]
    """entity_index of each."""


class KnowledgeEncoder(nn.Module):
    """LM1, the knowledge module and LM2 over one graph. Context embeddings, and relations', are made once, and stay."""

    def __init__(self, network: Jaket, config: Config, source: Source) -> None:
        """`network` holds the run's weights; its memory is filled here, from the descriptions of the source's entities.
        `config` is the run's, with the settings of the graph (jaket.inverse, relations, neighbours) as wanted."""
        super().__init__()
        self.network, self._config = network, config
        dataset = source.dataset
        self.graph = open_graph(config, dataset, linked_entities(config, dataset))
        network.remember(entity_texts(config, source))
        network.initialise(relation_texts(config, source) if config.jaket.relations == "described" else None)

    def entities(self, chosen: Int64[np.ndarray, " N"], step: int = 0) -> Float[Tensor, "N D"]:
        """E^KM of distinct entities; neighbours are sampled anew for each `step`."""
        device = self.network.encoder.get_input_embeddings().weight.device

        def draw(entities: Int64[np.ndarray, " M"], layer: int) -> UInt64[np.ndarray, " M"]:
            return random_u64(self._config.seed, "knowledge/neighbours", step, layer, entities)

        blocks = to_device(KnowledgeBlocks.around(chosen, self.graph, self._config.jaket, draw), device)
        assert self.network.memory is not None
        return self.network.entities(self.network.memory.pull(blocks.nodes), blocks)

    def forward(self, texts: LinkedTexts, step: int = 0) -> Float[Tensor, "B S D"]:
        """Z^LM of the texts."""
        chosen, which = np.unique(texts.linked.cpu().numpy(), return_inverse=True)
        added = self.entities(chosen, step)
        places = tensor(which.ravel()).to(added.device)
        return self.network.states(texts.ids, texts.real, texts.places, added.index_select(0, places))


def open_knowledge(
    run: Path,
    dataset: Dataset,
    *,
    inverse: bool | None = None,
    relations: str | None = None,
    device: torch.device = CPU,
) -> KnowledgeEncoder:
    """The newest checkpoint of a JAKET run on a dataset with tokens by the run's tokenizer, which need not be the one
    that it was trained on. `inverse` and `relations` are jaket.inverse and jaket.relations; None as in the run.

    Raises DataError where the folder is no JAKET run with a graph network, or the tokens are another tokenizer's.
    """
    config = read_config(run)
    refuse_pickles(run)
    saved = checkpoints(run)
    if config.system != "jaket" or config.jaket.knowledge == "none" or not saved:
        raise DataError(f"{run} is no JAKET run with a graph network and a checkpoint.")
    told = {"inverse": inverse, "relations": relations}
    if relations not in (None, "none", "described"):
        raise UsageError(f"relations={relations}: expected none or described.")
    # The heads of the run's own classes and relations are not for another graph.
    own = dataclasses.replace(
        config.jaket,
        category_weight=0.0,
        relation_weight=0.0,
        **{name: value for name, value in told.items() if value is not None},
    )
    # All of the graph is read, whichever entities the run's own training met.
    config = dataclasses.replace(config, jaket=own, data=dataclasses.replace(config.data, split="transductive"))
    source = open_source(dataset, dataset.tokens(config.data.tokens))
    network = Jaket(config, source.sizes, 1, device).to(device)
    tensors = {name: value for name, value in network.state_dict().items() if name != "relation_memory"}
    require_whole(saved[-1], MODEL)
    files = Saved(saved[-1] / MODEL)
    files.require({name: (value.shape, value.dtype) for name, value in tensors.items()}, whole=False)
    files.fill(tensors)
    return KnowledgeEncoder(network, config, source)
