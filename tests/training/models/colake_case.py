"""Three small graphs and a model whose weights are a hash of their names: what both CoLAKEs are asked about.

As the authors' program masks them (masking = code): every anchor is predicted, and here each kind of node with a mask
symbol, as itself, and as another one.
"""

import math

import numpy as np
import torch

from schemas.hashing import normal, random_u64
from training.config import ColakeConfig, Config, EncoderConfig
from training.data.collate import ENTITY, RELATION, WORD, build_graphs
from training.data.graphs import IGNORE, ColakeBatch, Graph, TableSizes, pad_graphs, raw_from_graphs
from training.models.colake import Colake

# The last two entities and relations stand for the <unk> and <pad> of the authors' tables.
SIZES = TableSizes(words=30, entities=14, relations=9)
BOS, PAD, EOS, MASK = 0, 1, 2, 29
TERMS = {"word": WORD, "entity": ENTITY, "relation": RELATION}


def graph(units, anchors, triples):
    return Graph(np.array(units, np.int32), np.array(anchors, np.int32), np.array(triples, np.int32).reshape(-1, 3))


GRAPHS = [
    # The paper's figure: Harry Potter (0) points his wand at Lord Voldemort (1), who are both wizards (2).
    graph([-1, 10, 11, 12, 13, -2], [0, 1], [(0, 0, 2), (0, 1, 3), (1, 0, 2), (1, 2, 4)]),
    # A fact between two anchors, one about itself, and a longer text.
    graph([14, -1, 15, 16, 17, -2, 18, 19, 20, 21, -3], [5, 6, 7], [(0, 3, 6), (2, 4, 7), (2, 5, 8)]),
    # An anchor without facts.
    graph([22, 23, -1, 24], [9], []),
]
SHOWN = [
    # (graph, node, what stands there): nodes in the order words | entities | relations.
    [(0, 2, MASK), (0, 6, SIZES.entities), (0, 7, 1), (0, 9, 3), (0, 11, SIZES.relations), (0, 14, 6)],
    [(1, 1, 14), (1, 4, 25), (1, 10, 5), (1, 11, 6), (1, 12, 11), (1, 13, SIZES.entities), (1, 15, 4)],
    [(2, 3, MASK), (2, 5, 9)],
]


def make_model(folder, **changes):
    """The model on an encoder that it reads from `folder`, which is written there first; its positions begin at row 0,
    as those of the released weights."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = RobertaConfig(vocab_size=SIZES.words, max_position_embeddings=24, layer_norm_eps=1e-5, **sizes)
    weights = RobertaForMaskedLM(config)
    fill(weights.state_dict())
    weights.save_pretrained(folder)
    encoder = EncoderConfig(name=str(folder), max_positions=22, dropout=0.0)
    colake = ColakeConfig(**{"compat": True, **changes})
    model = Colake(Config(recipe="r", system="colake", encoder=encoder, colake=colake), SIZES)
    ours = ("entity_head", "relation", "encoder.embeddings.token_type")
    fill({name: value for name, value in model.state_dict().items() if name.startswith(ours)})
    model.memory.fill(0, numbers("entities", model.memory.weight.shape) * 0.3)
    return model.eval()


def fill(state):
    """Biases and norms near 0 and 1, matrices around 0."""
    for name, value in state.items():
        if value.is_floating_point() and ".decoder." not in name:  # which are tied to others
            spread, mean = (0.1, float(name.endswith("weight"))) if value.ndim == 1 else (0.3, 0.0)
            value.copy_(numbers(name, value.shape) * spread + mean)


def numbers(name, shape):
    """Normal deviates, by the name."""
    words = random_u64(0, name, np.arange(math.prod(shape)))
    return torch.from_numpy(normal(words).astype(np.float32)).view(*shape)


def make_batch(candidates=()):
    """The graphs in two pieces, the last one alone; `candidates` hold the gold entities."""
    raw = raw_from_graphs(GRAPHS)
    priority = np.zeros(len(raw.tails.values), dtype=np.uint64)
    built = build_graphs(raw, bos=BOS, eos=EOS, max_units=20, max_nodes=99, priority=priority)
    ids, labels = built.ids.copy(), np.full(len(built.ids), IGNORE)
    for number, node, shown in [place for places in SHOWN for place in places]:
        place = built.cu_seqlens[number] + node
        ids[place], labels[place] = shown, built.ids[place]
    pieces = [pad_graphs(built, ids, labels, np.array(rows), PAD) for rows in ([0, 1], [2])]
    gold = np.unique(labels[(built.types == ENTITY) & (labels != IGNORE)])
    negatives = [entity for entity in candidates if entity not in gold]
    chosen = torch.tensor([*gold.tolist(), *negatives], dtype=torch.int64)
    lengths = torch.from_numpy(np.diff(built.cu_seqlens))
    return ColakeBatch(pieces, chosen, len(gold), log_chance=None, cut_units=0, cut_facts=0, lengths=lengths)
