"""The model that CoLAKE's authors published, run as it is on today's libraries, beside ours.

`Original` imports pretrain/ of a checkout of github.com/txsun1997/CoLAKE (at c9874bc); nothing of it is kept here. What
it needs and is gone is stood in for, in memory:
- names of transformers 2.11 (BertLayerNorm, gelu), and its encoder's head_mask and 0/1 masks of three dimensions, which
  become -10,000 where a node is not seen, as that version had it, in the attention that it had (eager);
- fastNLP, fitlog and pandas, of which the model class and the collate function use nothing;
- DGL's key-value store: its table is in this process, without sockets, and updated by the authors' own sparse Adam;
- .cuda() leaves a tensor where it is.

The authors' tables begin with <unk>, <pad> and <mask>, ours end with the mask symbol: each is the other one turned by
three rows, where the last two entities and relations of ours stand for <unk> and <pad>. Their positions begin at row 0
of the table, ours where the encoder's own do.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import Tensor, nn

from training.data.collate import ENTITY, RELATION, WORD
from training.data.graphs import IGNORE, ColakeBatch, GraphPiece, visibility
from training.models.colake import Colake

SPECIAL = 3
"""Rows that their tables begin with."""
HEADS = {"word_head": "lm_head", "entity_head": "ent_lm_head", "relation_head": "rel_lm_head"}
TERMS = {WORD: "masked_lm_labels", ENTITY: "ent_masked_lm_labels", RELATION: "rel_masked_lm_labels"}
UNSEEN = -10_000.0
"""What transformers 2.11 adds to the score of a node that is not seen."""


class Store:
    """DGL's client with the server's tables."""

    def __init__(self, *_: object) -> None:
        self.tables: dict[str, Tensor] = {}

    def fill(self, name: str, rows: Tensor) -> None:
        """Set the table, and the moments of its Adam to zero."""
        state = {"": rows, "_exp_avg": torch.zeros_like(rows), "_exp_avg_sq": torch.zeros_like(rows)}
        state["_step"] = torch.zeros(len(rows))
        self.tables = {f"{name}{part}-data-": values for part, values in state.items()}

    def pull(self, name: str, ids: Tensor) -> Tensor:
        """A copy of these rows."""
        return self.tables[f"{name}-data-"][ids]

    def push(self, name: str, ids: Tensor, gradients: Tensor) -> None:
        """What the server does with gradients."""
        self._push_handler(f"{name}-data-", ids, gradients, self.tables)  # type: ignore[attr-defined]

    def connect(self) -> None:
        """There is nothing to connect to."""

    def shut_down(self) -> None:
        """Nor to shut down."""

    def set_partition_book(self, name: str, book: object) -> None:
        """All rows are here."""


class Original:
    """The authors' modules, beside a model of ours."""

    def __init__(self, folder: Path, ours: Colake) -> None:
        with _importable(folder):
            self.modules = importlib.import_module("pretrain.model")
            self._dataset = importlib.import_module("pretrain.dataset")
        self._ours, self._entities, self._relations = ours, ours.memory.rows, ours.relation.num_embeddings

    def model(self) -> Any:
        """Their model with our weights."""
        ours = self._ours
        config = transformers.RobertaConfig(**{**ours.encoder.config.to_dict(), "type_vocab_size": 1})
        config._attn_implementation = "eager"
        model = self.modules.CoLAKE(config, self._entities, self._relations, ent_lr=1e-4)
        model.extend_type_embedding(token_type=3)
        missing, unexpected = model.load_state_dict(_renamed(ours), strict=False)
        untied = [name for name in missing if ".decoder." not in name]
        assert not unexpected and not untied, (untied, unexpected)
        model.tie_weights()
        model.tie_rel_weights()
        model.ent_embeddings.client.fill(model.ent_embeddings.name, ours.memory.weight.roll(SPECIAL, 0))
        model.roberta.forward = _as_before(model.roberta.forward)
        return model

    def batch(self, batch: ColakeBatch, negatives: int, chance: Tensor) -> dict[str, Tensor]:
        """The graphs of a batch of ours as their collate function pads them, with negatives that it draws itself: so
        many for each gold entity, by the chance of each of ours (and of the mask symbol, the last one)."""
        maker = self._dataset.GraphOTFDataSet.__new__(self._dataset.GraphOTFDataSet)
        maker.k_negative_samples = negatives
        maker.nega_samp_weight = chance.roll(SPECIAL)
        samples = [sample for piece in batch.pieces for sample in self._samples(piece)]
        return maker.collate_fn(samples)[0]  # type: ignore[no-any-return]

    @torch.no_grad()
    def outputs(self, model: Any, batch: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, list[list[float]]]]:
        """What their model says without dropout: (the mean loss of each term, its logits at the labelled nodes, those
        of relations in our order)."""
        losses, logits = [], []
        model.eval()
        heads = [getattr(model, name) for name in HEADS.values()]
        hooks = [head.register_forward_hook(lambda _head, _inputs, found: logits.append(found)) for head in heads]

        class Recorded(nn.CrossEntropyLoss):
            def forward(self, *inputs: Tensor) -> Tensor:
                losses.append(super().forward(*inputs))
                return losses[-1]

        with patch.object(self.modules, "CrossEntropyLoss", Recorded):
            model(**batch)
        for hook in hooks:
            hook.remove()
        found = {}
        for kind, name, rows in zip(TERMS, ("word", "entity", "relation"), logits, strict=True):
            asked = rows[batch[TERMS[kind]] >= 0]
            found[name] = (asked.roll(-SPECIAL, 1) if kind == RELATION else asked).tolist()
        return dict(zip(found, map(float, losses), strict=True)), found

    def ids(self, ours: Tensor, kind: int) -> Tensor:
        """Our ids of words, entities or relations as theirs."""
        if kind == WORD:
            return ours
        return (ours + SPECIAL) % (self._entities if kind == ENTITY else self._relations)

    def ours(self, theirs: Tensor, kind: int) -> Tensor:
        """Their ids of entities or relations as ours."""
        return (theirs - SPECIAL) % (self._entities if kind == ENTITY else self._relations)

    def _samples(self, piece: GraphPiece) -> Iterator[dict[str, Any]]:
        """The graphs of a piece as their files have them, already masked."""
        seen = visibility(piece)[:, 0]
        for row in range(len(piece.ids)):
            # A pad is seen by no other node; a node of a graph at least by <s> or by an end of its edge.
            size = int((seen[row].sum(dim=0) > 1).nonzero().max()) + 1
            types, nodes = piece.types[row, :size], {}
            labels = piece.labels[row, :size]
            for kind in TERMS:
                mine = labels[types == kind]
                nodes[TERMS[kind]] = torch.where(mine == IGNORE, -1, self.ids(mine, kind)).tolist()
            ids = torch.cat([self.ids(piece.ids[row, :size][types == kind], kind) for kind in TERMS])
            yield {
                "input_ids": ids.tolist(),
                "n_word_nodes": int((types == WORD).sum()),
                "n_entity_nodes": int((types == ENTITY).sum()),
                "position_ids": piece.positions[row, :size].tolist(),
                "attention_mask": seen[row, :size, :size].int().tolist(),
                "token_type_ids": types.tolist(),
                **nodes,
            }


def _renamed(ours: Colake) -> dict[str, Tensor]:
    """Our weights under their names."""
    found = {}
    for name, value in ours.state_dict().items():
        part, _, rest = name.partition(".")
        if name == "relation.weight":
            found["rel_embeddings.weight"] = value.roll(SPECIAL, 0)
        elif name == "encoder.embeddings.position_embeddings.weight":
            found[f"roberta.{rest}"] = value.roll(-ours.position_offset, 0)
        elif part == "encoder":
            found[f"roberta.{rest}"] = value
        else:
            value = value.roll(SPECIAL, 0) if name == "relation_head.bias" else value
            found[f"{HEADS[part]}.{rest.replace('norm.', 'layer_norm.')}"] = value
    return found


def _as_before(forward: Any) -> Any:
    """The encoder's forward with the arguments that it had."""

    def call(*, head_mask: None, attention_mask: Tensor, **inputs: Any) -> Any:
        return forward(attention_mask=(1.0 - attention_mask[:, None].float()) * UNSEEN, **inputs)

    return call


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Their package can be imported; what it imports in vain is stood in for."""
    if not (folder / "pretrain" / "model.py").is_file():
        raise SystemExit(f"{folder} is no checkout of github.com/txsun1997/CoLAKE: it has no pretrain/model.py.")
    bert = {"BertLayerNorm": nn.LayerNorm, "gelu": nn.functional.gelu}
    trainer = {"Callback": object, "Tester": object, "DataSet": object, "get_local_rank": int}
    trainer["cache_results"] = lambda **_: lambda function: function
    store = {"KVClient": Store, "KVServer": object, "read_ip_config": str}
    stands = {"transformers.modeling_bert": bert, "fastNLP": trainer, "dgl": {}, "dgl.contrib": store}
    stands |= {"fitlog": {}, "pandas": {}}
    modules = {}
    for name, content in stands.items():
        modules[name] = types.ModuleType(name)
        modules[name].__dict__.update(content)
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]
    archive = patch("transformers.ROBERTA_PRETRAINED_MODEL_ARCHIVE_MAP", {}, create=True)
    with patch.dict(sys.modules, modules), patch.object(sys, "path", [str(folder), *sys.path]), archive:
        yield
