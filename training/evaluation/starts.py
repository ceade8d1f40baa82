"""What fine-tuning begins with: a run of ours, or the folder of a plain encoder. M entities, D hidden."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float, Int64, UInt64
from tokenizers import Tokenizer
from torch import Tensor

from schemas.errors import DataError, first_line
from schemas.hashing import random_u64
from training.data.jaket import KnowledgeBlocks
from training.data.special import special_tokens
from training.encoders import pretrained
from training.feeds.jaket import linked_entities, open_graph
from training.labelled_encoder import Start
from training.models.colake import Colake
from training.models.jaket import Jaket
from training.runs import Run, load_run

AT_ONCE = 1_024
"""Entities whose neighbours are read together."""


def open_start(folder: Path) -> Start:
    """A run, or a plain encoder's folder; DataError where it is neither."""
    if (folder / "config.json").is_file() and not (folder / "config.toml").exists():
        return start_of_folder(folder)
    return start_of_run(load_run(folder))


def start_of_run(run: Run) -> Start:
    """A run of ours; CoLAKE's brings entities, and heads that were trained on them."""
    network = run.network
    start = Start(
        run.config.recipe,
        network.encoder,
        run.tokenizer,
        run.source.special,
        run.config.encoder.max_positions,
        word_head=run.word_head,
    )
    if isinstance(network, Jaket):
        kept = linked_entities(run.config, run.dataset)
        return dataclasses.replace(
            start,
            jaket=network,
            met=lambda entities: int(_kept_places(run, kept, entities)[1].sum()),
            entities=_known_to_jaket(run, kept) if network.knowledge else None,
        )
    if not isinstance(network, Colake):
        return start
    relations = {name: i for i, name in enumerate(run.dataset.read("relations")["relation"].to_pylist())}
    head = network.relation_head

    def rows_of(entities: Sequence[str]) -> tuple[list[str], Float[Tensor, "M D"]]:
        places = _places(run, entities)
        known = [entity for entity, place in zip(entities, places, strict=True) if place >= 0]
        return known, network.memory.pull(torch.from_numpy(places[places >= 0]))

    def row_of(relation: str) -> tuple[Float[Tensor, " D"], float] | None:
        place = relations.get(relation)
        return None if place is None else (network.relation.weight[place].detach(), float(head.bias[place]))

    return dataclasses.replace(
        start,
        form="start",
        position_offset=network.position_offset,
        entities=rows_of,
        heads={"entity": network.entity_head, "relation": head},
        relations=row_of,
    )


def _known_to_jaket(
    run: Run, kept: Bool[np.ndarray, " E"]
) -> Callable[[Sequence[str]], tuple[list[str], Float[Tensor, "M D"]]]:
    """What the knowledge module makes of entities in the run's own graph; as in pre-training without relations, which
    would give away what few-shot learning asks for."""

    @torch.no_grad()
    def rows_of(entities: Sequence[str]) -> tuple[list[str], Float[Tensor, "M D"]]:
        graph, network = open_graph(run.config, run.dataset, kept), run.network.eval()
        places, known = _kept_places(run, kept, entities)
        targets, inverse = np.unique(places[known], return_inverse=True)
        made = [torch.empty(0, network.memory.width)]
        for begin in range(0, len(targets), AT_ONCE):
            some = targets[begin : begin + AT_ONCE]
            blocks = KnowledgeBlocks.around(some, graph, run.config.jaket, _draw)
            made.append(network.knowledge(network.memory.pull(blocks.nodes), blocks.edges, blocks.sizes))
        names = [entity for entity, own_place in zip(entities, known, strict=True) if own_place]
        return names, torch.cat(made)[torch.from_numpy(inverse)]

    return rows_of


def _kept_places(
    run: Run, kept: Bool[np.ndarray, " E"], entities: Sequence[str]
) -> tuple[Int64[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """(the index of each, whether it is one that takes part)."""
    places = _places(run, entities)
    return places, (places >= 0) & kept[places]


def _draw(entities: Int64[np.ndarray, " N"], layer: int) -> UInt64[np.ndarray, " N"]:
    """The same neighbours each time."""
    return random_u64(0, "start/neighbours", layer, entities)


def _places(run: Run, entities: Sequence[str]) -> Int64[np.ndarray, " N"]:
    """Index of each in the run's dataset, -1 for none."""
    ids = run.dataset.read("entities", columns=["entity"])["entity"].combine_chunks()
    found = pc.fill_null(pc.index_in(pa.array(entities, pa.string()), value_set=ids), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)


def start_of_folder(folder: Path) -> Start:
    """A plain encoder's folder, such as an export; it reads text alone."""
    encoder, head = pretrained(str(folder))
    backend, limit = folder_tokenizer(folder)
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    positions = int(encoder.config.max_position_embeddings) - (0 if padding is None else padding + 1)
    name, special = folder.resolve().name, special_tokens(backend)
    return Start(name, encoder, backend, special, min(positions, limit), word_head=head)


def folder_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """(tokenizer without framing, the longest text that it is for) of a plain encoder's folder; DataError for none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        backend = tokenizer.backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = first_line(error)
        raise DataError(
            f"{folder} has no tokenizer that can be loaded ({reason}). Put its tokenizer.json there."
        ) from error
    backend.no_truncation()
    backend.no_padding()
    return backend, int(tokenizer.model_max_length)
