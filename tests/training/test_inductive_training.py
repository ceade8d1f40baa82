"""KEPLER in the inductive setting: a test entity is met in evaluation, never in training."""

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.synthetic import World, make_dataset
from training.config_file import load_config
from training.data.negatives import corrupt_tails, known_facts
from training.evaluation.link_prediction import SIDES, LinkPredictionSettings, prepare
from training.evaluation.run import evaluate
from training.evaluation.starts import open_start
from training.feeds.jaket import linked_entities
from training.feeds.kepler import entity_descriptions
from training.models.kepler import KeplerScorer
from training.predict import predict
from training.scoring import ShownFacts
from training.sources import open_source
from training.systems import build_system
from training.train import train

SMALL = {
    "encoder.hidden_size": "16",
    "encoder.layers": "1",
    "encoder.intermediate_size": "32",
    "kepler.blocks": "4",
    "train.batch_size": "16",
    "train.valid_batches": "1",
    "data.split": "inductive",
}


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """The made-up world; one country with its cities and their people is test's, another one valid's. No pages."""
    world = World()
    sides = {}
    for country, side in ((4, "valid"), (5, "test")):
        cities = [6 + 4 * country + i for i in range(4)]
        people = [h for h, r, t in world.facts if r == 1 and t in cities]
        sides |= dict.fromkeys([country, *cities, *people], side)
    return make_dataset(tmp_path_factory.mktemp("held-out") / "dataset", world, pages=False, sides=sides), sides


def make(held_out, **changes):
    dataset = Dataset(held_out[0])
    config = load_config("kepler-tiny", SMALL | {key.replace("_", ".", 1): str(v) for key, v in changes.items()})
    source = open_source(dataset, dataset.tokens("tiny"))
    torch.manual_seed(0)
    return config, source, build_system(config, source)


def texts_of(source):
    """The entity of each text of the tokens."""
    rows = source.tokens.read("entities", columns=["ids"])["ids"].to_pylist()
    return {tuple(ids): entity for entity, ids in enumerate(rows)}


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_test_entity_is_unseen_in_train(held_out, in_batch):
    _, source, system = make(held_out, kepler_in_batch=in_batch, kepler_negatives=4)
    entity_of, special, met = texts_of(source), {0, 1, 2}, set()
    batches = [batch for step in range(30) for batch in system.build(step, system.loader.take(step))]
    for batch in batches:
        for piece in batch.facts.texts:
            met |= {entity_of[tuple(i for i in row if i not in special)] for row in piece.ids.tolist()}
    assert met == {entity for entity in range(source.sizes.entities) if entity not in held_out[1]}
    # Nor is its description among the blocks of text: its name is a word that nothing else says.
    names = World().names
    words = source.tokens.read("entities", columns=["name_ids"])["name_ids"].to_pylist()
    only = {words[entity][0] for entity, side in held_out[1].items() if names[entity].startswith("person")}
    blocks = [batch.blocks for batch in batches]
    seen = {i for block in blocks for i in block.labels.where(block.labels >= 0, block.ids).flatten().tolist()}
    assert only and not only & seen


OF_JAKET = {key: value for key, value in SMALL.items() if not key.startswith("kepler.")} | {"encoder.layers": "2"}


def test_jaket_links_asks_for_and_reads_no_test_entity(held_out):
    dataset = Dataset(held_out[0])
    config = load_config("jaket-tiny", OF_JAKET | {"jaket.roots": "16", "jaket.inverse": "true"})
    source = open_source(dataset, dataset.tokens("tiny"))
    system = build_system(config, source)
    words = source.tokens.read("entities", columns=["name_ids"])["name_ids"].to_pylist()
    only = {words[entity][0] for entity in held_out[1] if World().names[entity].startswith("person")}
    met, seen = set(), set()
    for batch in [batch for step in range(20) for batch in system.build(step, system.loader.take(step))]:
        met |= {*batch.blocks.nodes.tolist(), *batch.candidates.tolist()}
        for piece in batch.pieces:
            seen |= set(piece.labels.where(piece.labels >= 0, piece.ids).flatten().tolist())
    assert met == {entity for entity in range(source.sizes.entities) if entity not in held_out[1]}
    assert only and not only & seen


@pytest.mark.parametrize(("split", "expected"), [("inductive", False), ("transductive", True)])
def test_a_jaket_run_says_how_many_entities_it_has_met(held_out, tmp_path, split, expected):
    settings = OF_JAKET | {"train.steps": "1", "train.threads": "1", "jaket.roots": "4", "data.split": split}
    assert train("jaket-tiny", held_out[0], tmp_path / "run", resume=False, dry_run=False, settings=settings) == 0
    met = open_start(tmp_path / "run").met
    assert met([*(f"Q{entity + 1}" for entity in held_out[1]), "Q9999"]) == expected * len(held_out[1])
    assert met(["Q1", "Q2"]) == 2


def test_jaket_needs_a_split_to_be_told_of_it(made_up):
    dataset = Dataset(made_up)
    config, empty = load_config("jaket-tiny", {"data.split": "inductive"}), dataset.read("triples", "train")[:0]
    assert linked_entities(config, dataset).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.feeds.jaket.read_triples", lambda *_: empty)
        with pytest.raises(DataError, match="has no inductive split"):
            linked_entities(config, dataset)


def test_valid_batches_ask_about_entities_of_valid(held_out):
    _, source, system = make(held_out, train_valid_rows=1)
    entity_of, asked = texts_of(source), set()
    for batch in system.valid:
        order = [row for piece in batch.facts.texts for row in piece.ids.tolist()]
        entities = [entity_of[tuple(i for i in row if i not in (0, 1, 2))] for row in order]
        asked |= {entities[place] for place in (*batch.facts.heads.tolist(), *batch.facts.tails.tolist())}
        assert not {e for e in entities if held_out[1].get(e) == "test"}
    assert asked and {held_out[1].get(entity) for entity in asked} == {"valid"}


def test_entities_to_draw_from_are_drawn_alike_and_no_other_is():
    known = known_facts(np.array([[3, 0, 7]]), entities=20, relations=1, drawn_from=np.array([3, 7, 11, 19]))
    words = np.random.default_rng(0).integers(0, 2**64, size=(1, 4_000, 8), dtype=np.uint64)
    drawn, counts = np.unique(corrupt_tails(np.array([[3, 0, 7]]), known, words), return_counts=True)
    assert drawn.tolist() == [3, 11, 19]
    assert (abs(counts / 4_000 - 1 / 3) < 0.03).all()


def test_colake_reads_no_triples(held_out):
    with pytest.raises(UsageError, match="colake reads graphs, not triples"):
        load_config("colake-tiny", {"data.split": "inductive"})


@pytest.fixture(scope="module")
def trained(held_out, tmp_path_factory):
    """A run of a few steps in each setting."""
    runs = {}
    for split in ("transductive", "inductive"):
        settings = SMALL | {"data.split": split, "train.steps": "3", "train.save_every": "3", "train.valid_every": "3"}
        runs[split] = tmp_path_factory.mktemp("runs") / split
        train("kepler-tiny", held_out[0], runs[split], resume=False, dry_run=False, settings=settings)
    return runs


def test_a_run_is_evaluated_in_its_own_setting_and_refused_in_the_other(trained):
    for split, other in (("transductive", "inductive"), ("inductive", "transductive")):
        assert evaluate(trained[split], "link-prediction")["protocol"]["setting"] == split
        with pytest.raises(DataError, match=f"trained on the {split} train triples"):
            evaluate(trained[split], "link-prediction", settings={"setting": other})


def test_the_inductive_evaluation_encodes_the_entities_of_the_split_alone(held_out, monkeypatch):
    config, source, system = make(held_out)
    encoded = []
    monkeypatch.setattr(
        "training.models.kepler.embed_all",
        lambda model, texts, entities: encoded.append(entities.tolist()) or torch.zeros(len(entities), 16),
    )
    questions = prepare(source.dataset, "test", LinkPredictionSettings(setting="inductive"))
    scorer = questions.candidates.narrow(KeplerScorer(system.model, entity_descriptions(config, source)))
    heads, relations, tails = torch.from_numpy(questions.triples.copy()).unbind(dim=1)
    for side in SIDES:
        scores = scorer.tails(heads, relations) if side == "tail" else scorer.heads(relations, tails)
        assert scores.shape == (len(heads), len(questions.candidates))
    assert encoded == [sorted(entity for entity, side in held_out[1].items() if side == "test")]


def test_a_narrow_scorer_gives_the_wide_ones_scores(held_out):
    config, source, system = make(held_out)
    wide = KeplerScorer(system.model, entity_descriptions(config, source))
    chosen = torch.tensor([2, 5, 40, 41])
    narrow, heads, relations = wide.among(chosen), torch.tensor([5, 5, 7]), torch.tensor([0, 1, 2])
    assert torch.allclose(narrow.tails(heads, relations), wide.tails(heads, relations)[:, chosen], atol=1e-4)
    assert torch.allclose(narrow.heads(relations, heads), wide.heads(relations, heads)[:, chosen], atol=1e-4)


def test_predict_says_in_which_split_of_the_runs_setting_a_fact_is(trained, held_out):
    head, relation, tail = next(fact for fact in World().facts if held_out[1].get(fact[0]) == "test" and fact[1] == 1)
    rows = predict(trained["inductive"], head=f"Q{head + 1}", relation=f"P{relation + 1}", top=200)
    assert next(row["known"] for row in rows if row["entity"] == f"Q{tail + 1}") == "test"


def test_an_unseen_entity_is_the_mean_of_its_text_and_of_what_its_facts_say(held_out):
    config, source, system = make(held_out)
    wide = KeplerScorer(system.model, entity_descriptions(config, source))
    unseen = torch.tensor([entity for entity, side in held_out[1].items() if side == "test"][:2])
    narrow, asked = wide.among(torch.arange(4)), torch.tensor([0, 3])
    shown = ShownFacts(
        torch.tensor([[1, 2, 0], [0, 0, 4]]),
        torch.tensor([[0, 1, 2], [3, 3, 0]]),
        torch.tensor([[True, False, True], [False, True, True]]),
    )
    forward, backward = narrow.tails_shown(unseen, asked, shown), narrow.heads_shown(asked, unseen, shown)
    relation, norm = system.model.relation.weight.detach(), config.kepler.norm
    for query in range(2):
        place = wide.entities[unseen[query]].clone()
        for r, other, first in zip(
            *(part[query] for part in (shown.relations, shown.others, shown.as_head)), strict=True
        ):
            place += wide.entities[other] + (-relation[r] if first else relation[r])
        place /= 4
        for entity in range(4):
            gaps = [place + relation[asked[query]] - wide.entities[entity]]
            gaps.append(wide.entities[entity] + relation[asked[query]] - place)
            slow = [-gap.norm(p=norm).item() for gap in gaps]
            assert [side[query, entity].item() for side in (forward, backward)] == pytest.approx(slow, rel=1e-4)


def test_a_run_answers_semi_inductive_questions(trained):
    result = evaluate(trained["inductive"], "link-prediction", settings={"setting": "semi-inductive", "shots": "0,1"})
    assert all(result["metrics"][f"k={k}"]["mrr"] > 0 for k in (0, 1))
    with pytest.raises(DataError, match="trained on the transductive train triples"):
        evaluate(trained["transductive"], "link-prediction", settings={"setting": "semi-inductive"})
