"""CoLAKE: who sees whom, where words stand, and what is trained."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from schemas.dataset import Dataset
from tests.training.data.test_masking import feed, graphs
from tests.training.steps import step_of
from training.config import ColakeConfig, Config, EncoderConfig, OptimConfig
from training.data.batch import Ragged, offsets
from training.data.collate import ENTITY, RELATION, WORD
from training.data.graphs import IGNORE, ColakeBatch, Graph, TableSizes, places_by_type, read_graphs
from training.data.names import NamedRows, unnamed_rows
from training.data.special import SpecialTokens, load_tokenizer
from training.encoders import encode_text
from training.models.colake import Colake, ColakePredictor
from training.sources import open_source
from training.systems import build_model

SIZES = TableSizes(words=20, entities=8, relations=4)
SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)


def make(layers=2, **changes):
    config = Config(
        recipe="r",
        system="colake",
        encoder=EncoderConfig(
            hidden_size=16, layers=layers, heads=2, intermediate_size=32, max_positions=32, dropout=0.0
        ),
        optim=OptimConfig(lr=1e-2),
        colake=ColakeConfig(**changes),
    )
    torch.manual_seed(0)
    model = Colake(config, SIZES)
    model.memory.fill(0, torch.randn(SIZES.entities + 1, 16))
    return config, model


def graph(units, anchors=(), triples=()):
    return Graph(np.array(units, np.int32), np.array(anchors, np.int32), np.array(triples, np.int32).reshape(-1, 3))


ONE_FACT = graph([10, -1, 11], [3], [(0, 2, 5)])  # the tail, entity 5, reaches the words over relation 2 and anchor 3


def _weights(model):
    """All that is trained."""
    return {**model.state_dict(), "entities": model.memory.weight}


def batch_of(*graphs, labels):
    """A batch of these graphs whose labels are the given (node, label) pairs of the first one."""
    predictor = ColakePredictor(make()[1], SPECIAL, SIZES, 30)
    piece, _ = predictor._masked(graphs, np.zeros(len(graphs), np.int64), WORD)
    for node, label in labels:
        piece.labels[0, node] = label
    gold = piece.labels[(piece.types == ENTITY) & (piece.labels != IGNORE)].unique()
    piece = dataclasses.replace(piece, asked=places_by_type(piece.types, piece.labels != IGNORE))
    candidates, lengths = torch.cat([gold, torch.tensor([0, 7])]), torch.full((len(graphs),), piece.ids.shape[1])
    return ColakeBatch([piece], candidates, len(gold), log_chance=None, cut_units=0, cut_facts=0, lengths=lengths)


@pytest.mark.parametrize(("layers", "reaches"), [(1, False), (2, False), (3, True)])
def test_a_tail_reaches_the_words_after_three_layers_and_not_before(layers, reaches):
    _, model = make(layers)
    batch = batch_of(ONE_FACT, labels=[])
    model.eval()
    with torch.no_grad():
        for parameter in model.encoder.encoder.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5)  # so that three hops are well above rounding
        before = model.states(batch.pieces[0])
        model.memory.weight[5] = model.memory.weight[5].flip(0)
        after = model.states(batch.pieces[0])
    moved = (before - after).abs().amax(dim=-1)[0]
    # <s>, two words, </s>, anchor, tail, relation
    assert (moved[:4] > 1e-6).all() if reaches else (moved[:4] == 0).all()
    assert moved[5] > 1e-6 and (moved[4] > 1e-6) == (layers >= 2)


def test_a_graph_does_not_depend_on_what_is_padded_beside_it():
    _, model = make(3)
    model.eval()
    alone, both = batch_of(ONE_FACT, labels=[]), batch_of(ONE_FACT, graph([5] * 20), labels=[])
    with torch.no_grad():
        left, right = model.states(alone.pieces[0])[0], model.states(both.pieces[0])[0]
    assert torch.allclose(left, right[: len(left)], atol=1e-6)
    assert torch.isfinite(right).all()


@pytest.mark.parametrize("compat", [False, True])
def test_text_alone_stands_at_the_same_positions_as_in_the_encoders_own_path(compat):
    _, model = make(compat=compat)
    model.eval()
    words = [10, 11, 12, 13]
    batch = batch_of(graph(words), labels=[])
    batch.pieces[0].ids[0, 1] = words[0]  # the helper masks the first unit
    ids = torch.tensor([[0, *words, 2]])
    with torch.no_grad():
        ours = model.states(batch.pieces[0])
        plain = encode_text(model.encoder, ids, torch.ones_like(ids, dtype=torch.bool))
    assert torch.equal(batch.pieces[0].positions + model.position_offset, torch.arange(2, 8)[None])
    assert torch.allclose(ours, plain, atol=1e-6)


def test_a_table_of_positions_as_the_released_one_is_moved_to_where_it_is_read():
    before, after = (make(compat=compat)[1].encoder.embeddings.position_embeddings.weight for compat in (False, True))
    assert before.shape == after.shape == (34, 16) and torch.equal(after[2:], before[:-2])


def positions_seen(model, ask):
    """What the encoder is given for positions while `ask` runs."""
    seen = []
    hook = model.encoder.register_forward_pre_hook(
        lambda _module, _positional, given: seen.append(given["position_ids"]), with_kwargs=True
    )
    with torch.no_grad():
        ask()
    hook.remove()
    return torch.cat(seen)


def test_a_graph_stands_at_the_same_positions_in_pretraining_and_probing(made_up):
    source = feed(made_up, drop_neighbours=0.0)
    tokens = Dataset(made_up).tokens("tiny")
    encoder = EncoderConfig(hidden_size=16, heads=2, intermediate_size=32, max_positions=256)
    model = Colake(Config(recipe="r", system="colake", encoder=encoder, colake=source.config), source.sizes)
    predictor = ColakePredictor(model, source.special, source.sizes, 254)
    for number, own in enumerate(read_graphs(tokens, "train")[:10]):
        trained = positions_seen(model, lambda n=number: model.losses(source.batch(graphs(made_up, n), 0)))
        probed = positions_seen(model, lambda g=own: predictor.word_logits([g], np.array([0])))
        assert torch.equal(trained, probed) and trained[0, 0] == 2
        assert trained.shape[1] > len(own.units) + 2 or not len(own.triples)


def test_one_step_moves_all_three_tables_also_the_relations():
    config, model = make()
    batch = batch_of(ONE_FACT, labels=[(1, 10), (4, 3), (6, 2)])
    before = {name: value.clone() for name, value in _weights(model).items()}
    means = step_of(config, model, [batch])
    assert set(means) == {"train/loss", "train/word", "train/entity", "train/relation", "grad_norm"}
    moved = {name for name, value in _weights(model).items() if not torch.equal(value, before[name])}
    assert {"relation.weight", "entities", "encoder.embeddings.word_embeddings.weight"} <= moved
    assert {"word_head.bias", "relation_head.bias", "entity_head.dense.weight"} <= moved


@pytest.mark.parametrize("labels", [[(1, 10)], [(4, 3)], []], ids=["no-entity-no-relation", "entity-only", "nothing"])
def test_terms_without_labels_are_left_out_and_nothing_is_nan(labels):
    config, model = make()
    batch = batch_of(graph([10, -1], [3]), labels=labels if labels != [(4, 3)] else [(3, 3)])
    means = step_of(config, model, [batch])
    assert len(means) == 2 + len(labels) and all(np.isfinite(value) for value in means.values())
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_the_loss_is_the_cross_entropy_by_hand():
    _, model = make()
    batch = batch_of(ONE_FACT, labels=[(1, 10), (4, 3), (5, 5), (6, 2)])
    states = model.states(batch.pieces[0])[0]
    tables = {WORD: model.encoder.get_input_embeddings().weight, RELATION: model.relation.weight}
    losses = model.losses(batch)
    for name, kind, node, label in (("word", WORD, 1, 10), ("relation", RELATION, 6, 2)):
        head = model.word_head if kind == WORD else model.relation_head
        logits = head(states[node][None], tables[kind])[0]
        assert torch.isclose(losses[name], -logits.log_softmax(0)[label])
    candidates = [3, 5, 0, 7]
    assert batch.candidates.tolist() == candidates
    logits = model.entity_head(states[[4, 5]], model.memory.weight[candidates]).log_softmax(-1)
    assert torch.isclose(losses["entity"], -logits[0, 0] - logits[1, 1])


@pytest.mark.slow
def test_corrected_negatives_stand_for_all_entities():
    """The sum over the candidates, on average over what is drawn, is that over the whole table."""
    _, model = make()
    batch = batch_of(ONE_FACT, labels=[(4, 3)])
    state = model.states(batch.pieces[0])[0, 4]
    scores = model.entity_head(state[None], model.memory.weight)[0].detach().double()
    chance = torch.tensor([0.9, 0.2, 0.5, 1.0, 0.3, 0.6, 0.1, 0.8, 0.0]).double()  # entity 8 is the mask symbol
    whole = torch.cat([scores[:3], scores[4:8]]).logsumexp(0).exp() + scores[3].exp()
    others, expected = [0, 1, 2, 4, 5, 6, 7], 0.0
    for drawn in itertools.product([0, 1], repeat=len(others)):
        negatives = [entity for entity, is_drawn in zip(others, drawn, strict=True) if is_drawn]
        candidates = torch.tensor([3, *negatives])
        corrected = dataclasses.replace(batch, candidates=candidates, log_chance=chance[candidates].log().float())
        loss = model.losses(corrected)["entity"].detach().double()
        likely = torch.where(torch.tensor(drawn).bool(), chance[others], 1 - chance[others]).prod()
        expected += likely * (loss + scores[3]).exp()
    assert torch.isclose(expected, whole, rtol=1e-5)


def test_micro_batches_add_up_to_the_batch():
    config, model = make()
    first = batch_of(ONE_FACT, labels=[(1, 10), (2, 11), (6, 1)])
    second = batch_of(graph([12, 13]), labels=[(2, 13)])
    lengths = torch.cat([first.lengths, second.lengths])
    together = dataclasses.replace(first, pieces=[*first.pieces, *second.pieces], lengths=lengths)
    gradients = []
    for batches in ([first, second], [together]):
        config, model = make()
        config = dataclasses.replace(config, optim=OptimConfig(lr=1e-9, clip_norm=0.0))
        step_of(config, model, batches)
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


def test_entities_and_relations_begin_as_the_mean_of_their_names_words():
    _, model = make()
    # Entity 0 has two names, of two tokens and of one; entity 1 none.
    tokens, shares = Ragged(np.array([5, 6, 7, 9]), offsets(np.array([3, 0, 1]))), np.array([0.25, 0.25, 0.5, 1])
    named, relations = NamedRows(0, tokens, shares.astype(np.float32)), unnamed_rows(SIZES.relations + 1)
    model.initialise([named, *unnamed_rows(6, 3)], relations)
    words, entities = model.encoder.get_input_embeddings().weight, model.memory.weight.clone()
    assert torch.allclose(entities[0], ((words[5] + words[6]) / 2 + words[7]) / 2)
    assert torch.allclose(entities[2], words[9])
    random = torch.cat([entities[[1, 3, 4, 5, 6, 7, 8]], model.relation.weight])
    assert len(random.unique(dim=0)) == 12 and 0.7 < random.std() / words.std() < 1.3
    # Whatever the blocks are, a row begins as the same numbers.
    model.initialise(unnamed_rows(9), [])
    assert torch.equal(model.memory.weight[[1, 3, 8]], entities[[1, 3, 8]])


@pytest.mark.parametrize("rows", ["names", "random"])
def test_a_dataset_gives_rows_their_first_values_where_training_begins(made_up, rows):
    dataset = Dataset(made_up)
    source = open_source(dataset, dataset.tokens("tiny"))
    encoder = EncoderConfig(hidden_size=16, heads=2, intermediate_size=32, max_positions=32)
    config = Config(recipe="r", system="colake", encoder=encoder, colake=ColakeConfig(initial_rows=rows))
    model = build_model(config, source)
    words, vocabulary = model.encoder.get_input_embeddings().weight, load_tokenizer(source.tokens).get_vocab()
    labels = dataset.read("entities")["label"].to_pylist()
    named = words[[vocabulary[label] for label in labels]]
    assert torch.allclose(model.memory.weight[:-1], named, atol=1e-6) == (rows == "names")
    of = dataset.read("relations")["label"].to_pylist().index("country of city")
    mean = words[[vocabulary[word] for word in ("country", "of", "city")]].mean(dim=0)
    assert torch.allclose(model.relation.weight[of], mean, atol=1e-6) == (rows == "names")
    assert len(model.memory.weight.unique(dim=0)) == len(labels) + 1


def test_predictions_mask_the_asked_node_and_rank_the_whole_table():
    _, model = make()
    predictor = ColakePredictor(model, SPECIAL, SIZES, 30)
    graphs = [ONE_FACT, graph([-1, 5, -2], [1, 2], [(1, 3, 1)])] * 20
    which = np.array([0, 1] * 20)
    entities = predictor.entity_logits(graphs, which)
    assert entities.shape == (40, 8)
    assert predictor.relation_logits(graphs, np.zeros(40, np.int64)).shape == (40, 4)
    assert predictor.word_logits(graphs, np.array([0, 1] * 20)).shape == (40, 20)
    tails = predictor.tail_logits(graphs, np.zeros(40, np.int64))
    assert tails.shape == (40, 8)
    hidden = dataclasses.replace(ONE_FACT, triples=np.array([[0, 2, 7]], np.int32))
    assert torch.allclose(predictor.tail_logits([hidden], np.array([0])), tails[:1], atol=1e-5)
    # The answer can't depend on the masked entity itself; the batch's other graphs change nothing.
    other = dataclasses.replace(graphs[1], anchors=np.array([1, 6], np.int32))
    assert torch.allclose(predictor.entity_logits([other], np.array([1])), entities[1:2], atol=1e-5)


@pytest.mark.parametrize("what", ["types", "positions"])
def test_a_flat_graph_has_neither_types_nor_soft_positions(what):
    same = []
    for flat in (False, True):
        _, model = make(flat=flat)
        # They begin alike.
        torch.nn.init.normal_(model.encoder.embeddings.token_type_embeddings.weight)
        piece = batch_of(ONE_FACT, labels=[(1, 10)]).pieces[0]
        other = dataclasses.replace(piece, **{what: getattr(piece, what).flip(1)})
        same.append(torch.equal(model.eval().states(piece), model.states(other)))
    assert same == [False, True]


class Asked(TorchDispatchMode):
    """Operations whose answer the CPU has to wait for, with a device that computes by itself."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "unique_dim", "item", "equal"):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def test_losses_and_gradients_ask_the_device_nothing():
    _, model = make()
    batch = batch_of(ONE_FACT, labels=[(1, 10), (4, 3), (5, 5), (6, 2)])
    with Asked() as asked:
        sum(model.losses(batch).values()).backward()
    assert asked.names == []


def test_a_hidden_anchor_shows_nothing_of_its_entity():
    _, model = make()
    predictor = ColakePredictor(model, SPECIAL, SIZES, 30)
    between = [graph([10, -1, 11, -2], [entity, 5], [(0, 2, 5)]) for entity in (3, 6)]
    for hidden, same in (((True, False), True), ((False, True), False), ((False, False), False)):
        flags = [np.array(hidden)] * 2
        first, second = predictor.relation_logits(between, np.zeros(2, np.int64), flags)
        assert torch.equal(first, second) == same
    tail = [graph([10, -1, 11, -2], [3, entity], [(0, 2, entity)]) for entity in (5, 6)]
    first, second = predictor.relation_logits(tail, np.zeros(2, np.int64), [np.array([False, True])] * 2)
    assert torch.equal(first, second)
    plain = predictor.relation_logits(between, np.zeros(2, np.int64))
    assert torch.equal(plain, predictor.relation_logits(between, np.zeros(2, np.int64), [np.zeros(2, bool)] * 2))
