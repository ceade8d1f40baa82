"""What JAKET reads: its mentions, pairs, blocks and classes, and what is held out of them."""

import numpy as np
import pytest
import torch

import training.feeds.jaket
from schemas.dataset import Dataset
from tests.training.models.jaket_case import batches_of, make
from tests.training.synthetic import make_dataset
from training.config_file import load_config
from training.data.categories import NONE, read_categories
from training.data.graphs import IGNORE
from training.feeds.jaket import categories_of, linked_entities, open_graph


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("jaket") / "dataset", categories=True)


def test_mentions_are_the_links_of_the_pages(data):
    _, source, system = make(data, jaket_entity__share=0)
    names = source.dataset.read("entities", columns=["label"])["label"].to_pylist()
    tokenizer_ids = source.tokens.read("entities", None, ["name_ids"])["name_ids"].to_pylist()
    [batch] = batches_of(system)
    targets, count = batch.blocks.nodes, 0
    for piece in batch.pieces:
        shown = torch.where(piece.labels == IGNORE, piece.ids, piece.labels).flatten()
        for place, target in zip(piece.places, piece.linked, strict=True):
            [name] = tokenizer_ids[targets[target]]
            assert int(shown[place]) == name, names[targets[target]]
            count += 1
    assert count > 50


def test_a_mention_that_is_asked_for_has_no_entity_and_its_gold_among_the_candidates(data):
    _, source, system = make(data, jaket_entity__share=0.3, jaket_mask__share=0.0, jaket_word__weight=0)
    names = source.tokens.read("entities", None, ["name_ids"])["name_ids"].to_pylist()
    [batch] = batches_of(system)
    asked = 0
    assert len(batch.candidates) == len(batch.candidates.unique())
    for piece in batch.pieces:
        assert not set(piece.asked.flatten().tolist()) & set(piece.places.tolist())
        for ends, gold in zip(piece.asked, piece.gold, strict=True):
            assert [int(piece.ids.flatten()[ends[0]])] == names[batch.candidates[gold]]
            asked += 1
    assert asked == batch.counts["entity"] > 10


def test_words_of_asked_mentions_are_masked_where_that_is_wanted(data):
    _, source, system = make(data, jaket_surface__share=1, jaket_mask__share=0.0, jaket_word__weight=0)
    [batch] = batches_of(system)
    shown = [int(piece.ids.flatten()[end]) for piece in batch.pieces for end in piece.asked[:, 0]]
    assert set(shown) == {source.special.mask}


def test_the_triple_of_a_pair_is_in_no_block(data):
    _, _, system = make(data, jaket_inverse="true", jaket_neighbours=10_000)
    for step in range(3):
        [batch] = batches_of(system, step)
        nodes = batch.blocks.nodes
        assert batch.counts["relation"] > 10
        pairs = {(int(nodes[h]), int(r), int(nodes[t])) for h, t, r in batch.pairs}
        count = system.model.relation_head.out_features
        for edges in batch.blocks.edges:
            for v, u, r in edges.tolist():
                head, tail = (u, v) if r >= count else (v, u)
                assert (int(nodes[head]), r % count, int(nodes[tail])) not in pairs


def test_instance_of_is_not_in_the_graph_unless_that_is_wanted(data, monkeypatch):
    dataset = Dataset(data)
    relations = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    monkeypatch.setattr("training.feeds.jaket.INSTANCE_OF", relations[3])
    every = linked_entities(load_config("jaket-tiny", {}), dataset)
    kinds = [
        set(open_graph(load_config("jaket-tiny", {"jaket.instance_of": told}), dataset, every).relations.tolist())
        for told in ("false", "true")
    ]
    assert kinds[1] - kinds[0] == {3}


def test_held_out_classes_are_seen_by_no_training_batch(data):
    config, source, system = make(data, jaket_held__out=0.3)
    classes = categories_of(config, source.dataset)
    held = set(np.flatnonzero(classes.of("valid") + classes.of("test") != 2 * NONE).tolist())
    assert len(held) > 20
    for step in range(6):
        for batch in batches_of(system, step):
            nodes = batch.blocks.nodes
            assert not {int(nodes[target]) for target, _ in batch.classified} & held
    valid = {int(batch.blocks.nodes[target]) for batch in system.valid for target, _ in batch.classified}
    assert valid and valid <= set(np.flatnonzero(classes.of("valid") != NONE).tolist())


def validated(system):
    """The classes and the relations that validation asks for."""
    classes = [int(label) for batch in system.valid for label in batch.classified[:, 1]]
    return classes, {int(kind) for batch in system.valid for kind in batch.pairs[:, 2]}


def test_validation_asks_for_no_relation_that_is_not_in_the_graph(data, monkeypatch):
    relations = Dataset(data).read("relations", columns=["relation"])["relation"].to_pylist()
    assert 3 in validated(make(data)[2])[1]
    monkeypatch.setattr("training.feeds.jaket.INSTANCE_OF", relations[3])
    classes, kinds = validated(make(data)[2])
    assert classes and len(kinds) > 2 and 3 not in kinds


def test_validation_asks_for_nothing_of_train_where_nothing_is_held_out(data, monkeypatch):
    known = training.feeds.jaket.read_triples
    monkeypatch.setattr(
        "training.feeds.jaket.read_triples",
        lambda dataset, split, setting: known(dataset, split, setting)[: None if split == "train" else 0],
    )
    _, _, system = make(data, jaket_held__out=0)
    assert validated(system) == ([], set())


def test_classes_are_the_most_frequent_category_of_each_entity(data):
    found = read_categories(Dataset(data), 10, 0.1)
    assert found.names == ["person", "city"]  # 72 and 24; there are 8 jobs and 6 countries
    assert np.bincount(found.labels[found.labels >= 0]).tolist() == [72, 24]
