"""KEPLER's variants: each learns, ranks as a ranking written here does, and reads the texts that it should."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.dataset import Dataset
from tests.training.models.test_kepler import batches_of, slow_knowledge_loss, weights_of
from tests.training.synthetic import World, make_dataset
from training.comparison import _with_known
from training.config import KeplerConfig
from training.config_file import load_config
from training.data.batch import Columns, Ragged, offsets
from training.data.graphs import IGNORE
from training.data.negatives import known_facts
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.triples import TripleFeed, conditioned, descriptions
from training.evaluation.ranking import rank_triples
from training.evaluation.run import evaluate
from training.metrics import read_metrics
from training.predict import predict
from training.runs import load_run
from training.sources import open_sources
from training.systems import build_system
from training.train import train

VARIANTS = ("wiki", "wordnet", "w+w", "rel", "cond", "onlydesc", "ke")
SMALL = {
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.layers": "1",
    "encoder.heads": "2",
    "train.batch_size": "16",
    "train.valid_batches": "2",
    "train.threads": "1",
    "train.steps": "50",
    "train.valid_every": "50",
    "train.save_every": "50",
    "kepler.blocks": "4",
    "optim.lr": "1e-2",
}
OWN = {"w+w": {"kepler.second_batch": "8"}, "ke": {"kepler.blocks": "0"}}
NAME = 7
SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A smaller graph in the same words, without pages. Read only."""
    folder = tmp_path_factory.mktemp("second") / "dataset"
    return make_dataset(folder, World(countries=3, seed=1), pages=False, vocabulary=World())


@pytest.fixture(scope="module")
def runs(made_up, second, tmp_path_factory):
    """name -> a run of 50 steps, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("variants")

    def run(name):
        if not (folder / name).exists():
            settings = {**SMALL, **OWN.get(name, {})}
            more = [second] if name == "w+w" else []
            train(
                f"kepler-{name}-tiny", made_up, folder / name, resume=False, dry_run=False, settings=settings, more=more
            )
        return folder / name

    return run


def make(name, *datasets, **changes):
    settings = SMALL | OWN.get(name, {}) | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    config = load_config(f"kepler-{name}-tiny", settings)
    opened = [Dataset(folder) for folder in datasets]
    source = open_sources(config, opened, [dataset.tokens("tiny") for dataset in opened])
    torch.manual_seed(0)
    return config, source, build_system(config, source)


class Slow:
    """Scores by one text and one distance at a time, from the tables and the weights."""

    def __init__(self, folder, data=None, table="relation"):
        run = load_run(folder, data)
        self.config, self.model, tokens = run.config.kepler, run.network, run.tokens
        self.entities = [ids or names for ids, names in self._texts(tokens, "entities")]
        self.relations = [ids or names for ids, names in self._texts(tokens, "relations")]
        self.table = getattr(self.model, table)
        self.vectors = [self.vector(self.cut(text, self.config.max_length - 2)) for text in self.entities]

    @staticmethod
    def _texts(tokens, table):
        rows = tokens.read(table)
        return zip(rows["ids"].to_pylist(), rows["name_ids"].to_pylist(), strict=True)

    @staticmethod
    def cut(text, length):
        return [0, *text[:length], 2]

    @torch.no_grad()
    def vector(self, ids):
        return self.model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0, 0]

    def relation(self, index):
        if self.table is not None:
            return self.table.weight[index].detach()
        return self.vector(self.cut(self.relations[index], self.config.relation_length - 2))

    def given(self, entity, relation):
        if not self.config.conditioned:
            return self.vectors[entity]
        behind = self.cut(self.relations[relation], self.config.relation_length - 2)[1:]
        return self.vector(self.cut(self.entities[entity], self.config.max_length - 2 - len(behind)) + behind)

    def tails(self, head, relation):
        query = self.given(head, relation) + self.relation(relation)
        return torch.stack([-(query - vector).norm(p=self.config.norm) for vector in self.vectors])

    def heads(self, relation, tail):
        query = self.given(tail, relation) - self.relation(relation)
        return torch.stack([-(query - vector).norm(p=self.config.norm) for vector in self.vectors])


def require_ranks_of(slow, scorer, triples):
    """The scorer's ranks of these triples are those of `slow`, but for what rounding can move."""
    surely, (heads, relations, tails) = 0, torch.from_numpy(triples.copy()).unbind(dim=1)
    alone, rows = scorer.triples(heads, relations, tails), np.arange(len(triples))
    for (head, relation, tail), score in zip(triples.tolist(), alone.tolist(), strict=True):
        both = slow.tails(head, relation)[tail] + slow.heads(relation, tail)[head]
        assert score == pytest.approx(both.item() / 2, abs=1e-4)
    assert torch.allclose(scorer.relations(heads, tails)[rows, relations], alone, atol=1e-4)
    for side, number in (("tail", 2), ("head", 0)):
        ranks = rank_triples(scorer, triples, side, None, len(slow.vectors))
        for (head, relation, tail), found in zip(triples.tolist(), ranks.by("realistic").tolist(), strict=True):
            scores = slow.tails(head, relation) if side == "tail" else slow.heads(relation, tail)
            gold = scores[(head, relation, tail)[number]]
            best, worst = int((scores > gold + 1e-5).sum()) + 1, int((scores > gold - 1e-5).sum())
            assert best <= found <= worst
            surely += best == worst
    assert surely >= len(triples)


def held_out(dataset):
    rows = dataset.read("triples", "test")
    return np.stack([rows[f"{name}_index"].to_numpy() for name in ("head", "relation", "tail")], axis=1).astype(
        np.int64
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_in_fifty_steps_and_ranks_as_by_hand(name, runs, made_up):
    folder = runs(name)
    lines = [line for line in read_metrics(folder) if "valid/ke" in line]
    for term in ("ke", "ke2", "mlm"):
        expected = {"ke2": name == "w+w", "mlm": name != "ke"}.get(term, True)
        assert (f"valid/{term}" in lines[0]) == expected == (f"weight/{term}" in lines[0])
        assert not expected or lines[-1][f"valid/{term}"] < 0.95 * lines[0][f"valid/{term}"], term
    run = load_run(folder)
    require_ranks_of(Slow(folder), run.scorer(), held_out(run.dataset)[:10])
    triples = run.dataset.rows("triples", "test")
    assert evaluate(folder, "link-prediction")["protocol"]["triples"] == triples


def test_a_run_on_two_graphs_answers_for_either(runs, second):
    folder = runs("w+w")
    run = load_run(folder, second)
    assert run.dataset.digest == Dataset(second).digest and run.graph == "ke2"
    require_ranks_of(Slow(folder, second, "second_relation"), run.scorer(), held_out(run.dataset)[:10])
    assert evaluate(folder, "link-prediction", second)["digest"] == Dataset(second).digest
    assert predict(folder, head="city0", relation="P1", data=second)[0]["label"]


@pytest.mark.parametrize("name", ["wiki", "rel", "cond"])
def test_predict_scores_as_the_ranking_does_and_takes_texts(name, runs, made_up):
    folder = runs(name)
    slow, text = Slow(folder), Dataset(made_up).read("entities")["text"][6].as_py()
    for asked in ({"head": "Q7"}, {"head_text": text}):
        rows = predict(folder, relation="P1", top=500, **asked)
        assert [row["score"] for row in rows] == pytest.approx(sorted(slow.tails(6, 0).tolist())[::-1], abs=1e-4)
        relations = {row["relation"]: row["score"] for row in predict(folder, tail="Q1", **asked)}
        both = [float(slow.tails(6, number)[0] + slow.heads(number, 0)[6]) / 2 for number in range(6)]
        assert [relations[f"P{number + 1}"] for number in range(6)] == pytest.approx(both, abs=1e-4)
    for asked in ({"tail": "Q7"}, {"tail_text": text}):
        rows = predict(folder, relation="P1", top=500, **asked)
        assert [row["score"] for row in rows] == pytest.approx(sorted(slow.heads(0, 6).tolist())[::-1], abs=1e-4)


def test_a_conditioned_loss_equals_the_paper_by_loops(made_up):
    changes = {"kepler_in_batch": "false", "kepler_negatives": 2, "kepler_self_adversarial": 0}
    config, _, system = make("cond", made_up, kepler_self_negatives="false", **changes)
    model, facts, gamma = system.model, batches_of(system, 0)[0].facts, config.kepler.gamma
    texts = torch.cat([model.embed(piece) for piece in facts.texts])
    vectors = [texts[row] for row in facts.rows]
    head_weights, tail_weights = weights_of(model, facts)
    total = torch.zeros(())
    for b in range(len(facts.heads)):
        relation = model.relation.weight[facts.relations[b]]
        head, tail, head_r, tail_r = (
            vectors[column[b]] for column in (facts.heads, facts.tails, facts.given_heads, facts.given_tails)
        )
        positive = ((head_r + relation - tail).norm(p=1) + (head + relation - tail_r).norm(p=1)) / 2
        total = total - torch.nn.functional.logsigmoid(gamma - positive)
        for u in range(head_weights.shape[1]):
            as_head, as_tail = (vectors[u] + relation - tail_r).norm(p=1), (head_r + relation - vectors[u]).norm(p=1)
            for weight, far in ((head_weights[b, u], as_head), (tail_weights[b, u], as_tail)):
                total = total - weight * torch.nn.functional.logsigmoid(far - gamma)
    assert torch.isclose(model.losses(system.build(0, system.loader.take(0))[0])["ke"], total, rtol=1e-4)


@pytest.mark.parametrize("name", ["wiki", "rel"])
def test_an_entity_of_another_micro_batch_that_makes_a_fact_is_known_whatever_a_relation_is_read_from(name, made_up):
    _, _, system = make(name, made_up, kepler_pre_batch=1)
    facts, dataset = batches_of(system, 0)[0].facts, Dataset(made_up)
    columns = (dataset.read("triples", "train")[name].to_pylist() for name in TRIPLE)
    train, own, every = set(zip(*columns, strict=True)), len(facts.entities), range(dataset.rows("entities"))
    found = _with_known((facts.head_negatives, facts.tail_negatives), facts, torch.tensor(every))
    others = [{(row, place - own) for row, place in side.known.tolist() if place >= own} for side in found]
    triples = list(enumerate(facts.triples.tolist()))
    assert others[0] == {(row, e) for row, (_, r, t) in triples for e in every if (e, r, t) in train}
    assert others[1] == {(row, e) for row, (h, r, _) in triples for e in every if (h, r, e) in train}


@pytest.mark.parametrize(("name", "kinds"), [("wiki", 1), ("rel", 2), ("cond", 2)])
def test_each_distinct_text_of_a_step_is_encoded_once(name, kinds, made_up):
    _, _, system = make(name, made_up, train_batch_size=64)
    facts = batches_of(system, 0)[0].facts
    rows = [tuple(row[real].tolist()) for piece in facts.texts for row, real in zip(piece.ids, piece.real, strict=True)]
    assert len(rows) == len(set(rows)) == int(facts.rows.max()) + 1
    assert len({len(row) for row in rows}) > kinds  # short ones and long ones
    # Every triple reads the right texts: the head's, the relation's, and of a conditioned one both.
    triples = zip(facts.heads, facts.relations, facts.given_heads, strict=True)
    for head, relation, given_head in itertools.islice(triples, 10):
        text = rows[facts.rows[given_head]]
        if name == "cond":
            alone = rows[facts.rows[head]]
            assert text[: len(alone) - 1] == alone[: len(text[: len(alone) - 1])] and text.count(2) == 2
        else:
            assert text == rows[facts.rows[head]]
        if name == "rel":
            assert len(rows[facts.rows[relation]]) < 6


def described(texts, max_length):
    """Descriptions; an entity without one has NAME's."""
    ids = Ragged(np.array([t for text in texts for t in text], np.int32), offsets(np.array([len(t) for t in texts])))
    names = Ragged(np.full(len(texts), NAME, np.int32), np.arange(len(texts) + 1))
    return descriptions(ids, names, SPECIAL, max_length=max_length, encode_tokens=64)


texts = st.lists(st.integers(5, 99), max_size=40)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.integers(6, 12), st.integers(0, 30))
def test_a_conditioned_text_never_loses_the_relation(pairs, relation_length, room):
    max_length = relation_length + 2 + room
    entities, relations = map(described, zip(*pairs, strict=True), (max_length, relation_length))
    every = np.arange(len(pairs))
    found = conditioned(entities, relations, every, every)
    for place, (entity, relation) in enumerate(pairs):
        text = found.tokens.take(np.array([place])).values.tolist()
        behind = (relation or [NAME])[: relation_length - 2]
        assert text[-len(behind) - 2 :] == [2, *behind, 2]
        kept = text[1 : -len(behind) - 2]
        assert text[0] == 0 and kept == (entity or [NAME])[: len(kept)]
        assert len(text) == max_length or (len(text) < max_length and len(kept) == len(entity or [NAME]))
    assert found.tokens.lengths.max() <= found.longest <= max_length


def test_the_second_graph_has_its_own_margin_and_relations(made_up, second):
    changes = {"kepler_second_gamma": 2.5, "kepler_second_batch": 16, "kepler_self_adversarial": 0}
    config, _, system = make("w+w", made_up, second, **changes)
    model, batch = system.model, batches_of(system, 0)[0]
    assert len(batch.facts.heads) == 16 and len(batch.second.heads) == 16
    bound = 4.5 / 16
    assert 0.8 * bound < model.second_relation.weight.abs().max() <= bound < model.relation.weight.abs().max()
    losses = model.losses(batch)
    assert torch.isclose(losses["ke"], slow_knowledge_loss(config.kepler, None, model, batch.facts), rtol=1e-4)
    # The second loss, by hand, with the second margin and the second table.
    model.relation, model.second_relation = model.second_relation, model.relation
    slow = slow_knowledge_loss(dataclasses.replace(config.kepler, gamma=2.5), None, model, batch.second)
    assert torch.isclose(losses["ke2"], slow, rtol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_each_parameter_that_learns_has_a_gradient(name, made_up, second):
    # Ranks wait for all of them.
    _, _, system = make(name, made_up, *([second] if name == "w+w" else []))
    torch.stack([*system.model.losses(batches_of(system, 0)[0]).values()]).sum().backward()
    assert [key for key, p in system.model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_without_blocks_no_text_is_read_and_no_word_is_predicted(made_up, monkeypatch):
    _, _, system = make("ke", made_up)
    (batch,) = batches_of(system, 0)
    assert batch.blocks is None and set(system.loader.plans) == {"triples"}
    monkeypatch.setattr(type(system.model.word_head), "forward", lambda *_: pytest.fail("a word was predicted"))
    assert set(system.model.losses(batch)) == set(system.model.weights) == {"ke"}


def test_only_descriptions_are_read_where_the_corpus_is_descriptions(made_up):
    _, source, system = make("onlydesc", made_up)
    described = set(map(tuple, source.tokens.read("entities")["ids"].to_pylist()))
    for step in range(3):
        blocks = batches_of(system, step)[0].blocks
        # What is predicted is as it was, and the rest is seldom another word's.
        for ids, labels, real in zip(blocks.ids, blocks.labels, blocks.real, strict=True):
            original = torch.where(labels == IGNORE, ids, labels)[real].tolist()[1:-1]
            assert any(tuple(original) == text[: len(original)] for text in described)


@pytest.mark.parametrize(("changes", "texts"), [({}, 4), ({"conditioned": True}, 8), ({"relations": "described"}, 5)])
def test_what_has_the_same_text_shares_one_encoding(changes, texts):
    triples = np.array([[0, 0, 1], [2, 0, 3], [2, 1, 4]])
    entities = described([[5, 6], [11], [5, 6], [8, 9, 10], []], 16)  # 0 and 2 are told apart by nothing, 4 has a name
    config = KeplerConfig(in_batch=True, negatives=0, **changes)
    numbers = dict(zip(TRIPLE, triples.T, strict=True)) | {"row": np.arange(3)}
    feed = TripleFeed(
        entities,
        described([[20], [20]], 6) if changes else None,
        known_facts(triples, 5, 2),
        config,
        0,
        "triples/train",
    )
    facts = feed.batch(Part(Columns(3, numbers, {}), np.zeros(3, np.int64)))
    rows = [tuple(row[real].tolist()) for piece in facts.texts for row, real in zip(piece.ids, piece.real, strict=True)]
    assert len(rows) == len(set(rows)) == texts and (0, NAME, 2) in rows
    first, second, third = (rows[facts.rows[head]] for head in facts.given_heads)
    assert first == second == third == ((0, 5, 6, 2, 20, 2) if config.conditioned else (0, 5, 6, 2))
    assert len({int(facts.rows[head]) for head in facts.given_heads}) == 1
    assert len(set(facts.heads.tolist())) == 2  # still two entities
    if config.relations == "described":
        assert {rows[facts.rows[relation]] for relation in facts.relations} == {(0, 20, 2)}
    else:
        assert facts.relations.tolist() == [0, 0, 1]
