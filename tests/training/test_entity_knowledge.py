"""A trained JAKET on another graph than its own, and what it answers."""

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError
from tests.training.models.jaket_case import SMALL
from tests.training.synthetic import World, make_dataset
from training.config_file import load_config
from training.data.categories import NONE, read_categories
from training.data.graphs import read_graphs
from training.entity_knowledge import LinkedTexts, open_knowledge
from training.evaluation.run import evaluate
from training.export import export
from training.models.jaket_predictor import JaketPredictor, _written
from training.runs import load_run
from training.train import train

LARGE, LITTLE = World(), World(countries=3, seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("knowledge") / "dataset", LARGE, categories=True)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("knowledge") / "run"
    settings = SMALL | {"train.threads": "1", "train.steps": "30", "train.save_every": "30", "jaket.inverse": "true"}
    assert train("jaket-tiny", data, out, resume=False, dry_run=False, settings=settings) == 0
    return out


def test_on_its_own_graph_it_is_the_run_with_a_memory_made_now(run, data):
    encoder, loaded = open_knowledge(run, Dataset(data)), load_run(run)
    for name, value in encoder.network.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name]), name
    every = np.arange(encoder.network.memory.rows)
    assert torch.allclose(encoder.network.memory.weight, loaded.model.memory.encode(every), atol=1e-6)


def test_another_graph_has_a_memory_of_its_own_and_gradients_reach_all_halves(run, tmp_path):
    other = Dataset(make_dataset(tmp_path / "other", LITTLE, vocabulary=LARGE))
    encoder = open_knowledge(run, other, inverse=True, relations="described")
    assert encoder.network.memory.rows == other.rows("entities") < 110
    ids = torch.randint(5, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    texts = LinkedTexts(ids, torch.ones_like(ids, dtype=torch.bool), torch.tensor([2, 3, 12]), torch.tensor([7, 7, 40]))
    before = encoder.network.memory.weight.clone()
    encoder(texts).square().sum().backward()
    learns = ("encoder.embeddings.word", "encoder.encoder.layer.0.", "encoder.encoder.layer.1.", "knowledge.", "merge.")
    for part in learns:
        found = [p for name, p in encoder.network.named_parameters() if name.startswith(part)]
        assert found and all(p.grad is not None and p.grad.abs().sum() > 0 for p in found if p.ndim > 1), part
    assert torch.equal(encoder.network.memory.weight, before)
    vectors = encoder.entities(np.array([1, 4]))
    assert vectors.shape == (2, 16) and vectors.requires_grad
    assert encoder.network.relation_memory.abs().sum() > 0


def test_tokens_of_another_vocabulary_are_refused(run, tmp_path):
    other = Dataset(make_dataset(tmp_path / "other", LITTLE))
    with pytest.raises(DataError, match="of another model"):
        open_knowledge(run, other)


def test_graphs_bring_the_words_of_their_anchors(data):
    dataset = Dataset(data)
    names = dataset.tokens("tiny").read("entities", None, ["ids", "name_ids"]).to_pylist()
    graphs = read_graphs(dataset.tokens("tiny"), "train")
    pages = {tuple(row["ids"]) for row in dataset.tokens("tiny").read("pages", "train", ["ids"]).to_pylist()}
    for graph in graphs:
        words, spans = _written(graph)
        assert tuple(words.tolist()) in pages
        for anchor, (start, end) in zip(graph.anchors, spans, strict=True):
            assert words[start:end].tolist() == names[anchor]["name_ids"]


@pytest.mark.parametrize("surface", ["shown", "masked"])
def test_the_entity_that_is_asked_for_is_not_read(run, data, surface):
    loaded = load_run(run)
    predictor = JaketPredictor(loaded.model, loaded.config, loaded.source, surface)
    graph = next(graph for graph in read_graphs(loaded.tokens, "train") if len(graph.anchors) > 2)
    seen = []
    loaded.model.knowledge.register_forward_pre_hook(lambda _module, given: seen.append(given))
    predictor.known = lambda entities, known=predictor.known: seen.append(set(entities.tolist())) or known(entities)
    logits = predictor.entity_logits([graph], np.array([1]))
    assert logits.shape == (1, 110)
    others = set(graph.anchors.tolist()) - {int(graph.anchors[1])}
    assert seen[0] == others


def test_masked_entities_and_categories_are_evaluated_beside_their_rules(run, data, capsys):
    for split in ("valid", "test"):
        found = evaluate(run, "entity-classification", split=split)
        classes = read_categories(Dataset(data), 2, 0.1)
        gold = classes.of(split)
        assert found["metrics"]["all"]["entities"] == (gold != NONE).sum()
        train = classes.of("train")
        common = np.bincount(train[train != NONE]).argmax()
        share = (gold == common).sum() / (gold != NONE).sum()
        assert found["baselines"]["majority"]["all"]["accuracy"] == pytest.approx(share)
    for surface in ("shown", "masked"):
        found = evaluate(run, "masked", split="train", settings={"surface": surface})
        assert found["metrics"].keys() == {"entity"}
        assert found["protocol"]["surface"] == surface
    assert len(list((run / "results").glob("masked-*.json"))) == 2
    assert "cooccurrence" in capsys.readouterr().out
    assert evaluate(run, "masked-words", split="train")["metrics"]["words"]["queries"] > 10


def test_categories_that_were_trained_on_can_not_be_asked_for_as_held_out(run):
    found = evaluate(run, "entity-classification", settings={"held_out": "0.3"})
    assert found["protocol"]["held_out"] == 0.1  # as the run was trained


def test_its_language_model_is_no_plain_encoder_to_export(run, tmp_path):
    with pytest.raises(DataError, match="LayerNorm between its halves"):
        export(run, tmp_path / "out")


def test_a_run_without_a_graph_network_is_no_knowledge_encoder(tmp_path, data):
    config = load_config("jaket-tiny", {"jaket.knowledge": "none"})
    assert "entity" not in config.jaket.weights
    with pytest.raises(DataError):
        open_knowledge(tmp_path, Dataset(data))
