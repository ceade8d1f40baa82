"""LASS: the authors' scores on the same weights, negatives that are false, every candidate read with every query."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.models import lass_case as case
from tests.training.steps import ALONE
from training.config import Config, EncoderConfig, LassConfig
from training.config_file import load_config
from training.data.batch import Columns, ragged, ragged_rows
from training.data.false_facts import FactFeed
from training.data.links import FactBatch, FactTexts
from training.data.negatives import known_facts
from training.data.sequences import Layout, sequences
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.evaluation.facts import read_facts
from training.evaluation.ranking import KnownAnswers, rank_triples
from training.evaluation.run import evaluate
from training.evaluation.state_file import weights_digest
from training.metrics import read_metrics
from training.models.lass import Lass, LassScorer, part_means
from training.predict import predict
from training.runs import load_run
from training.sources import open_source
from training.step import LABELS, learner, part, train_step, whole_batch
from training.systems import build_system
from training.train import train

GOLDEN = json.loads((Path(__file__).parent / "golden" / "lass.json").read_text())
SPECIAL = SpecialTokens(bos=case.CLS, pad=case.PAD, eos=case.SEP, unk=3, mask=4)
SMALL = {"encoder.hidden_size": "16", "encoder.intermediate_size": "32", "encoder.heads": "2", "lass.negatives": "2"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The folder of the case's encoder."""
    folder = tmp_path_factory.mktemp("bert")
    model = BertModel(case.config(BertConfig), add_pooling_layer=False)
    case.fill(model)
    model.save_pretrained(folder)
    return str(folder)


def of_case(bert, tokens=1000, **changes):
    """(our model, the case's facts as our texts)."""
    encoder = EncoderConfig(name=bert, max_positions=case.POSITIONS, dropout=0.0)
    config = Config(recipe="case", system="lass", encoder=encoder, lass=LassConfig(**changes))
    layout = Layout(SPECIAL, case.LONGEST, separated=config.lass.separators)
    texts = FactTexts(ragged_rows(case.ENTITIES), ragged_rows(case.RELATIONS), layout, None, tokens)
    torch.manual_seed(0)
    return Lass(config, case.WORDS).eval(), texts


@pytest.mark.parametrize("separators", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_scores_are_those_of_the_authors_model(bert, separators, scaled):
    model, texts = of_case(bert, separators=separators, scaled=scaled)
    golden = GOLDEN["separators" if separators else "none"]
    found = texts.facts(np.array(case.FACTS)).pieces
    ids = {n: ids[real].tolist() for p in found for n, ids, real in zip(p.rows.tolist(), p.ids, p.real, strict=True)}
    assert [ids[n] for n in range(len(case.FACTS))] == golden["ids"]
    theirs = torch.tensor(golden["scores"])
    if not scaled:
        theirs = case.OFFSET - (case.OFFSET - theirs) * case.HIDDEN**0.5
    assert torch.allclose(LassScorer(model, texts).triples(*torch.tensor(case.FACTS).T), theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("weight", "corrupted", "golden"),
    [("code", "all", "loss"), ("paper", "entity", "loss"), ("paper", "all", "loss, positives 3 times")],
)
@pytest.mark.parametrize("tokens", [1, 40, 1000])
def test_the_loss_is_that_of_the_authors_model(bert, weight, corrupted, golden, tokens):
    model, texts = of_case(bert, tokens, positive_weight=weight, corrupted=corrupted)
    batch = FactBatch(texts.facts(np.array(case.FACTS)), torch.tensor(case.LABELS, dtype=torch.float32))
    loss = model.losses(batch)["triple"] / batch.counts["triple"]
    assert loss.item() == pytest.approx(GOLDEN["none"][golden], rel=1e-5)


def test_a_part_is_the_mean_of_the_states_at_its_own_tokens(bert):
    _, texts = of_case(bert, separators=True)
    [piece] = sequences((texts.entities, texts.relations, texts.entities), np.array(case.FACTS), texts.fact).pieces(
        10_000
    )
    states = torch.randn(*piece.ids.shape, 5, generator=torch.Generator().manual_seed(0))
    found = part_means(states, piece)
    for b, row in enumerate(piece.rows.tolist()):
        place = 1
        ids = GOLDEN["separators"]["ids"][row]
        ends = [i for i, token in enumerate(ids) if token == case.SEP]
        for p, end in enumerate(ends):
            total = torch.zeros(5)
            for i in range(place, end):
                total += states[b, i]
            assert torch.allclose(found[b, p], total / (end - place), atol=1e-6)
            place = end + 1


def test_the_classifier_reads_the_first_state(bert):
    model, texts = of_case(bert, head="cls", separators=True)
    scores = LassScorer(model, texts).triples(*torch.tensor(case.FACTS).T)
    for row, ids in enumerate(GOLDEN["separators"]["ids"]):
        first = model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0, 0]
        assert float(scores[row]) == pytest.approx(model.classifier(first).item(), abs=1e-5)


def feed_of(triples, negatives, entities=9, relations=3, every_part=True):
    ids = (ragged_rows([[i] for i in range(count)]) for count in (entities, relations))
    texts = FactTexts(*ids, Layout(SPECIAL, 9), None, 1000)
    known = known_facts(triples, entities, relations)
    return FactFeed(texts, known, 7, "triples/train", negatives, every_part)


def part_of(triples, epoch=0):
    numbers = dict(zip(TRIPLE, triples.T, strict=True)) | {"row": np.arange(len(triples))}
    return Part(Columns(len(triples), numbers, {}), np.full(len(triples), epoch))


def facts_of(batch):
    """The facts of a batch, whose parts have one token each, in order."""
    found = torch.empty(len(batch.labels), 3, dtype=torch.int64)
    for piece in batch.facts.pieces:
        found[piece.rows] = piece.ids[:, 1:4]
    return found.numpy()


TRIPLES = np.array([[h, r, t] for h in range(9) for r in range(3) for t in range(9) if (h + 2 * r + t) % 3 == 0])


def test_each_triple_has_so_many_false_ones_of_each_kind():
    feed = feed_of(TRIPLES, 2)
    batch = feed.batch(part_of(TRIPLES))
    facts = facts_of(batch).reshape(len(TRIPLES), 7, 3)
    assert (batch.labels.reshape(-1, 7).numpy() == [True, *[False] * 6]).all()
    assert (facts[:, 0] == TRIPLES).all()
    differs = facts[:, 1:] != TRIPLES[:, None]
    assert (differs == np.repeat(np.eye(3, dtype=bool), 2, axis=0)).all()
    true = {tuple(triple) for triple in TRIPLES.tolist()}
    assert not true & {tuple(fact) for fact in facts[:, 1:].reshape(-1, 3).tolist()}
    assert {int(head) for head in facts[:, 1, 0]} == set(range(9))
    again, later = (facts_of(feed.batch(part_of(TRIPLES, epoch))).reshape(facts.shape) for epoch in (0, 1))
    assert (again == facts).all() and (later != facts).any()
    few = facts_of(feed.batch(part_of(TRIPLES).slice(5, 9))).reshape(-1, 7, 3)
    assert (few == facts[5:9]).all()


def test_of_one_entity_a_coin_chooses_the_side():
    batch = feed_of(TRIPLES, 1, every_part=False).batch(part_of(TRIPLES))
    facts = facts_of(batch).reshape(len(TRIPLES), 2, 3)
    differs = facts[:, 1] != TRIPLES
    assert (differs.sum(axis=1) == 1).all() and not differs[:, 1].any()
    assert 0.3 < differs[:, 0].mean() < 0.7


def test_what_can_only_become_true_is_left_out():
    triples = np.array([[0, 0, 1], [1, 0, 2]])
    batch = feed_of(triples, 1, entities=5, relations=1).batch(part_of(triples))
    assert batch.counts == {"triple": 2 * 3} and batch.labels.sum() == 2
    assert batch.sizes["padded_tokens"] == 5 * 6
    # Of a fact that train does not have, which only the one relation could replace, nothing is false.
    held_out = feed_of(triples[:1], 1, entities=5, relations=1).batch(part_of(triples[1:]))
    assert held_out.labels.tolist() == [1, 0, 0] and (facts_of(held_out)[0] == triples[1]).all()


def test_a_coin_that_leaves_nothing_to_be_made_false_makes_none():
    triples = np.array([[h, 0, t] for h in range(3) for t in range(3)])
    batch = feed_of(triples, 2, entities=3, relations=1, every_part=False).batch(part_of(triples))
    assert batch.labels.tolist() == [1.0] * 9 and (facts_of(batch) == triples).all()


def opened(made_up, **changes):
    settings = SMALL | {"train.valid_batches": "1"} | {key.replace("_", ".", 1): str(v) for key, v in changes.items()}
    dataset, config = Dataset(made_up), load_config("lass-tiny", settings)
    torch.manual_seed(0)
    return config, build_system(config, open_source(dataset, dataset.tokens("tiny")))


@pytest.mark.parametrize("head", ["mean", "cls"])
def test_the_loss_falls(made_up, head):
    config, system = opened(made_up, lass_head=head, optim_lr=3e-3)
    learning, losses = learner(config, system.model, ALONE), []
    for step in range(50):
        batches = system.build(step, system.loader.take(step))
        labels = part(whole_batch(batches, system.model, ALONE), LABELS)
        losses.append(train_step(learning, batches, labels, step, config.optim.lr)["train/loss"])
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert np.mean(losses[-5:]) < 0.45 < -np.log(1 / 2)


def test_micro_batches_add_up_and_empty_ones_are_nothing(made_up):
    _, system = opened(made_up, train_batch_size=4)
    _, cut = opened(made_up, train_batch_size=4, train_micro_batch=1)
    rows = system.loader.take(0)
    [whole], parts = system.build(0, rows), cut.build(0, cut.loader.take(0))
    sums = [sum(system.model.losses(batch)["triple"].item() for batch in some) for some in ([whole], parts)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-4)
    [nothing] = system.build(0, {name: one.slice(0, 0) for name, one in rows.items()})
    assert system.model.losses(nothing) == {} and nothing.counts == {"triple": 0} and not len(nothing.lengths)


@pytest.fixture(scope="module")
def run(made_up, tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("lass") / "run"
    settings = SMALL | {"train.steps": "20", "train.batch_size": "8", "train.valid_batches": "1", "train.threads": "1"}
    train("lass-tiny", made_up, folder, resume=False, dry_run=False, settings=settings)
    return folder


def score_of_one(run, texts, fact):
    """f of a fact, read alone, its means by loops over its tokens."""
    parts = [table.slice(i, i + 1).values.tolist() for table, i in zip(texts, fact, strict=True)]
    special = run.source.special
    ids = [special.bos, *parts[0], *parts[1], *parts[2], special.eos]
    with torch.no_grad():
        states = run.model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
    place, means = 1, []
    for own in parts:
        means.append(sum(states[place + i] for i in range(len(own))) / len(own))
        place += len(own)
    gap = means[0] + means[1] - means[2]
    return 7 - float(gap @ gap) / 2 / states.shape[1] ** 0.5


def test_ranks_equal_those_of_facts_that_are_read_one_by_one(run, made_up):
    opened, facts = load_run(run), read_facts(Dataset(made_up))
    names = [ragged(opened.tokens.read(table, None, ["name_ids"])["name_ids"]) for table in ("entities", "relations")]
    known = {tuple(triple) for triple in facts.triples("train", "valid", "test").tolist()}
    triples = facts.splits["test"][:1]
    for side, place in (("head", 0), ("tail", 2)):
        [gold] = triples.tolist()
        others = [[e if p == place else part for p, part in enumerate(gold)] for e in range(facts.entities)]
        candidates = [fact for fact in others if fact == gold or tuple(fact) not in known]
        scores = {tuple(fact): score_of_one(opened, (*names, names[0]), fact) for fact in candidates}
        rank = 1 + sum(score > scores[tuple(gold)] + 1e-5 for score in scores.values())
        filters = KnownAnswers(facts, ("train", "valid", "test"), side)
        [found] = rank_triples(opened.scorer(), triples, side, filters, facts.entities).by("realistic").tolist()
        assert found == rank


def test_candidates_are_read_alone(run):
    scorer = load_run(run).scorer()
    heads, relations = torch.tensor([7, 8]), torch.tensor([0, 1])
    every = scorer.tails(heads, relations)
    few = scorer.among(torch.tensor([3, 5])).tails(heads, relations)
    assert torch.allclose(few, every[:, [3, 5]], atol=1e-5)
    assert torch.allclose(scorer.heads(relations, heads)[:, 4], scorer.triples(torch.full((2,), 4), relations, heads))
    assert torch.allclose(scorer.relations(heads, heads)[:, 0], scorer.triples(heads, torch.zeros(2).long(), heads))


def test_a_shortlist_of_all_gives_the_same_ranks_and_says_so(run):
    result = evaluate(run, "link-prediction", settings={"triples": "20"})
    again = evaluate(run, "link-prediction", settings={"triples": "20", "shortlist": "999", "shortlist_by": str(run)})
    assert again["metrics"]["both"] == result["metrics"]["both"]
    told = again["protocol"]["shortlist"]
    assert told == {"answers": 999, "by": "run", "weights": weights_digest(run)[:8]}
    assert again["protocol"]["variant"] == f"shortlist=999,shortlist_by={told['weights']},triples=20"
    with pytest.raises(DataError, match="is not a run"):
        evaluate(run, "link-prediction", settings={"shortlist": "5", "shortlist_by": "nowhere"})


def test_its_scores_classify_triples(run):
    assert 0.4 < evaluate(run, "triple-classification")["metrics"]["all"]["auc"] <= 1


def test_facts_that_are_written_alike_are_read_once_and_tie(bert):
    model, _ = of_case(bert)
    entities = [[5, 6], [7, 8, 9], [5, 6], [10]]
    texts = FactTexts(ragged_rows(entities), ragged_rows(case.RELATIONS), Layout(SPECIAL, case.LONGEST), None, 1000)
    read = []
    scores = model.scores
    model.scores = lambda piece: (read.append(len(piece.ids)), scores(piece))[1]
    found = LassScorer(model, texts).tails(torch.tensor([1, 3, 1]), torch.tensor([0, 2, 0]))
    assert sum(read) == 2 * 3
    assert torch.equal(found[:, 0], found[:, 2]) and torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_a_run_answers_and_its_log_has_the_loss(run):
    assert {"train/triple", "valid/triple"} <= {name for entry in read_metrics(run) for name in entry}
    for question in ({"head": "city0", "relation": "P1"}, {"relation": "P1", "tail": "country0"}):
        rows = predict(run, **question, top=3)
        assert [row["rank"] for row in rows] == [1, 2, 3]
    assert "relation" in predict(run, head="city0", tail="country0", top=1)[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoder.frozen": "true"}, "nothing to learn"),
        ({"encoder.max_positions": "6", "lass.separators": "true"}, "takes 7 tokens in lass"),
        ({"lass.head": "cls", "lass.scaled": "false"}, r'lass\.scaled = false does nothing with lass\.head = "cls"'),
        ({"lass.head": "cls", "lass.offset": "5"}, r"lass\.offset = 5\.0 does nothing"),
    ],
)
def test_what_teaches_nothing_or_has_no_room_is_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        load_config("lass-tiny", settings)
