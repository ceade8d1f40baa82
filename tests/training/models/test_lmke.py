"""LMKE and C-LMKE: what they read and learn, and how they rank."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from transformers import ElectraConfig, ElectraModel

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.models import lmke_case as case
from tests.training.models.test_kepler_variants import require_ranks_of
from tests.training.models.test_matching import (
    SPECIAL,
    degrees_of_case,
    feed_of_case,
    indices,
    matcher_of_case,
    naive,
    rows_of,
    vectors_of_case,
)
from tests.training.steps import ALONE
from training.config_file import load_config
from training.data.sequences import HIDDEN
from training.data.setting import TRIPLE
from training.data.splits import train_and_valid
from training.evaluation.run import evaluate
from training.feeds import trained_triples
from training.feeds.lmke import fact_texts
from training.matching import Ranking, Vectors
from training.models.lmke import CLmkeScorer, LmkeScorer
from training.optim import build_optimizer
from training.predict import predict
from training.sources import open_source
from training.step import LABELS, learner, part, train_step, validate, whole_batch
from training.systems import build_system
from training.train import train

SMALL = {
    "encoder.hidden_size": "16", "encoder.intermediate_size": "32", "encoder.layers": "1", "encoder.heads": "2",
    "train.batch_size": "16", "train.valid_batches": "2", "train.threads": "1",
}  # fmt: skip


def make(recipe, made_up, **changes):
    config = load_config(recipe, SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()})
    dataset = Dataset(made_up)
    source = open_source(dataset, dataset.tokens("tiny"))
    torch.manual_seed(0)
    return config, source, build_system(config, source)


def batch_of(system, step=0):
    (batch,) = system.build(step, system.loader.take(step))
    return batch


@pytest.mark.parametrize("keys", ["side", "batch", "all"])
def test_every_known_answer_of_a_query_is_positive_and_nothing_else(made_up, keys):
    _, source, system = make("c-lmke-tiny", made_up, lmke_keys=keys)
    train_rows = source.dataset.read("triples", "train")
    known = set(zip(*(train_rows[name].to_pylist() for name in TRIPLE), strict=True))
    several = 0
    for batch, learned in ((batch_of(system), True), (system.valid[0], False)):
        answers = {tuple(pair) for pair in batch.answers.tolist()}
        asked = batch.queries.parts.tolist()
        assert len(set(map(tuple, asked))) == len(asked)
        found = [0, 0]
        for query, parts in enumerate(asked):
            side = int(batch.sides[query])
            assert parts[0 if side == 0 else 2] == HIDDEN
            facts = [(entity, *parts[1:]) if side == 0 else (*parts[:2], entity) for entity in batch.entities.tolist()]
            expected = {(query, key) for key, fact in enumerate(facts) if fact in known}
            own = {pair for pair in answers if pair[0] == query}
            assert expected <= own
            # Beyond these only the answers of the batch's own triples, which in train are known.
            assert expected == own or not learned
            several += len(own) > 1
            found[side] += int(batch.asked[query])
        assert found[0] == found[1] == batch.counts["link"] / 2
    assert several > 2


def test_what_is_held_out_of_train_is_no_answer_and_counts_in_no_degree(made_up, monkeypatch):
    def no_valid(name, train, valid, **more):
        return train_and_valid(name, train, dataclasses.replace(valid, rows=valid.rows[:0]), **more)

    monkeypatch.setattr("training.feeds.train_and_valid", no_valid)
    config, source, system = make("c-lmke-tiny", made_up, lmke_keys="all")
    rows = source.dataset.read("triples", "train")
    train = set(zip(*(rows[name].to_pylist() for name in TRIPLE), strict=True))
    learned = set(map(tuple, trained_triples(config, source).tolist()))
    held_out = train - learned
    assert learned < train and len(held_out) == min(32, rows.num_rows // 10)
    ends = [entity for head, _, tail in learned for entity in (head, tail)]
    assert system.model.degrees.expm1().round().tolist() == [ends.count(e) for e in range(source.sizes.entities)]
    passed = 0
    for step in range(3):
        batch = batch_of(system, step)
        answers = {tuple(pair) for pair in batch.answers.tolist()}
        for query, (head, relation, tail) in enumerate(batch.queries.parts.tolist()):
            for key, entity in enumerate(batch.entities.tolist()):
                fact = (entity, relation, tail) if head == HIDDEN else (head, relation, entity)
                assert ((query, key) in answers) == (fact in learned)
                passed += fact in held_out
    assert passed


def test_keys_are_the_batchs_own_side_or_both_or_all(made_up):
    found = {keys: batch_of(make("c-lmke-tiny", made_up, lmke_keys=keys)[2]) for keys in ("side", "batch", "all")}
    side, both, every = (found[keys] for keys in ("side", "batch", "all"))
    assert torch.equal(side.entities, both.entities) and len(every.entities) > len(both.entities)
    assert bool((both.times == 1).all()) and bool((every.times == 1).all())
    assert 0 < int(side.times[0].sum()) < len(side.entities) and side.times.max() == 1
    assert bool((side.times.sum(dim=0) > 0).all())
    repeated = batch_of(make("c-lmke-tiny", made_up, lmke_keys="side", lmke_repeated_keys="true")[2])
    assert repeated.times.sum(dim=1).tolist() == [16, 16]


class Slow:
    """Scores by one sequence and one pair at a time, from the texts and the weights."""

    def __init__(self, model, source, config):
        self.model, self.own = model.eval(), config.lmke
        tokens = source.tokens.read
        self.texts = [row or names for row, names in zip(*self._columns(tokens("entities")), strict=True)]
        self.relation_texts = [row or names for row, names in zip(*self._columns(tokens("relations")), strict=True)]
        facts = source.dataset.read("triples", "train")
        ends = np.concatenate([facts["head_index"].to_numpy(), facts["tail_index"].to_numpy()])
        self.degrees = torch.from_numpy(np.bincount(ends, minlength=len(self.texts))).double()
        self.vectors = list(range(len(self.texts)))

    @staticmethod
    def _columns(rows):
        return rows["ids"].to_pylist(), rows["name_ids"].to_pylist()

    @torch.no_grad()
    def state(self, encoder, parts, place):
        """`parts` are (token's row, text); the state at the holder of one of them."""
        words = self.model.encoder.get_input_embeddings().weight
        rows, holders = [words[0]], []
        for row, text in parts:
            holders.append(len(rows))
            rows += [row, *words[text]]
        rows.append(words[2])
        states = encoder(inputs_embeds=torch.stack(rows)[None]).last_hidden_state[0]
        return states[0 if place is None else holders[place]]

    def part(self, entity):
        return self.model.entity.weight[entity], self.texts[entity][: self.own.entity_length]

    def middle(self, relation):
        return self.model.relation.weight[relation], self.relation_texts[relation][: self.own.relation_length]

    @torch.no_grad()
    def _scores(self, query, given):
        if self.model.classifier is not None:
            return self.model.classifier(query)
        own = Vectors(self.keys, (self.degrees + 1).log().float())
        return naive(self.model.matcher, Vectors(query[None], own.degrees[given : given + 1]), own)[0]

    @functools.cached_property
    def keys(self):
        parts = ((self.model.entity.weight[e], text[: self.own.key_length]) for e, text in enumerate(self.texts))
        return torch.stack([self.state(self.model.key_encoder, [part], 0) for part in parts])

    def tails(self, head, relation):
        mask = (self.model.mask.weight[1], [])
        return self._scores(self.state(self.model.encoder, [self.part(head), self.middle(relation), mask], 2), head)

    def heads(self, relation, tail):
        mask = (self.model.mask.weight[0], [])
        return self._scores(self.state(self.model.encoder, [mask, self.middle(relation), self.part(tail)], 0), tail)


@pytest.mark.parametrize("variant", ["contrastive", "masked"])
def test_ranks_are_those_of_one_sequence_and_one_pair_at_a_time(made_up, variant):
    config, source, system = make("c-lmke-tiny", made_up, lmke_variant=variant, lmke_entity_length=5)
    torch.nn.init.normal_(system.model.mask.weight)
    scorer, slow = CLmkeScorer(system.model, fact_texts(config, source)), Slow(system.model, source, config)
    triples = np.array([[3, 0, 7], [40, 2, 1], [40, 2, 3], [9, 4, 9]])
    require_ranks_of(slow, scorer, triples)
    heads, relations, tails = torch.from_numpy(triples.T.copy())
    expected = [(slow.tails(h, r)[t] + slow.heads(r, t)[h]) / 2 for h, r, t in triples.tolist()]
    assert torch.allclose(scorer.triples(heads, relations, tails), torch.stack(expected), atol=1e-5)
    among = scorer.relations(heads[:2], tails[:2])
    assert torch.allclose(among[[0, 1], relations[:2]], torch.stack(expected[:2]), atol=1e-5)
    some = torch.tensor([2, 7, 30])
    assert torch.allclose(
        scorer.among(some).tails(heads, relations), scorer.tails(heads, relations)[:, some], atol=1e-5
    )


def test_a_candidates_degree_changes_its_own_score_alone(made_up):
    config, source, system = make("c-lmke-tiny", made_up)
    test = source.dataset.read("triples", "test")
    heads, relations, golds = (torch.from_numpy(test[name].to_numpy().astype(np.int64))[:8] for name in TRIPLE)
    texts = fact_texts(config, source)
    scores = CLmkeScorer(system.model, texts).tails(heads, relations)
    entity = int(next(gold for gold in golds if gold not in heads))
    system.model.degrees[entity] += 3
    changed = CLmkeScorer(system.model, texts).tails(heads, relations) != scores
    assert changed[:, entity].all() and changed.sum() == len(heads)
    # So do the golds' degrees, permuted among the golds.
    own = golds.unique()
    own = own[~torch.isin(own, heads)]
    system.model.degrees[own] = torch.arange(len(own), dtype=torch.float32)
    scores = CLmkeScorer(system.model, texts).tails(heads, relations)
    system.model.degrees[own] = system.model.degrees[own].roll(1)
    changed = (CLmkeScorer(system.model, texts).tails(heads, relations) != scores).any(dim=0)
    assert len(own) > 2 and changed.nonzero().flatten().tolist() == own.tolist()
    trained = system.model.matcher
    batch = batch_of(system)
    queries, keys = system.model.queries(batch.queries, batch.given), system.model.keys(batch.keys, batch.entities)
    more = dataclasses.replace(
        keys, degrees=keys.degrees + torch.nn.functional.one_hot(torch.tensor(1), len(keys.degrees))
    )
    differs = (trained(queries, keys) != trained(queries, more)).any(dim=0)
    assert differs.nonzero().flatten().tolist() == [1]


def test_degrees_are_those_in_train_and_none_where_they_are_not_told(made_up):
    _, source, system = make("c-lmke-tiny", made_up)
    facts = source.dataset.read("triples", "train")
    ends = facts["head_index"].to_pylist() + facts["tail_index"].to_pylist()
    counted = [ends.count(entity) for entity in range(source.sizes.entities)]
    assert torch.allclose(system.model.degrees.expm1(), torch.tensor(counted, dtype=torch.float32), atol=1e-3)
    assert not make("c-lmke-tiny", made_up, lmke_degrees="false")[2].model.degrees.any()


VARIANTS = {
    "batch": {},
    "masked": {"lmke_variant": "masked", "lmke_self_adversarial": "off"},
}


def test_a_summed_loss_is_the_mean_times_the_queries_of_a_step(made_up):
    assert make("c-lmke-tiny", made_up, lmke_summed="true")[2].model.weights == {"link": 32.0}


@pytest.mark.parametrize("name", [*VARIANTS, "lmke"])
def test_fifty_steps_lower_the_loss_of_facts_held_out(name, made_up):
    recipe = "lmke-tiny" if name == "lmke" else "c-lmke-tiny"
    config, _, system = make(recipe, made_up, optim_clip_norm=0, **VARIANTS.get(name, {}))
    learning, (term,) = learner(config, system.model, ALONE), system.model.weights
    before = validate(learning, system.valid)[f"valid/{term}"]
    for step in range(50):
        batches = system.build(step, system.loader.take(step))
        train_step(learning, batches, part(whole_batch(batches, system.model, ALONE), LABELS), step, 0.01)
    assert validate(learning, system.valid)[f"valid/{term}"] < 0.95 * before


def test_both_encoders_begin_alike_and_share_words_and_tokens(made_up):
    _, source, system = make("c-lmke-tiny", made_up)
    named = dict(system.model.named_parameters())
    keys = {name for name in named if name.startswith("key_encoder.")}
    assert len(keys) > 10 and "key_encoder.embeddings.word_embeddings.weight" not in named
    for name in keys:
        assert torch.equal(named[name], named[name.removeprefix("key_")])
    words = sum(p.numel() for name, p in named.items() if name.startswith("encoder."))
    others = sum(p.numel() for name, p in named.items() if name.split(".")[0] in ("entity", "relation", "mask"))
    assert others == 16 * (source.sizes.entities + source.sizes.relations + 2)
    assert sum(named[name].numel() for name in keys) < words


def test_tokens_begin_as_the_mean_of_their_names_or_at_random(made_up):
    _, source, system = make("c-lmke-tiny", made_up)
    words = system.model.encoder.get_input_embeddings().weight
    for name, table in (("entities", system.model.entity), ("relations", system.model.relation)):
        names = source.tokens.read(name)["name_ids"].to_pylist()
        assert torch.allclose(table.weight[1], words[names[1]].mean(dim=0), atol=1e-6)
    assert torch.equal(system.model.mask.weight, words[[source.special.eos] * 2])
    random = make("c-lmke-tiny", made_up, lmke_initial_rows="random")[2].model
    assert 0.018 < random.entity.weight.std() < 0.022 and random.mask.weight[0, 0] != random.mask.weight[1, 0]


def test_what_is_not_the_encoders_has_a_learning_rate_of_its_own(made_up):
    config, _, system = make("c-lmke-tiny", made_up, optim_rest_scale=10)
    names = {id(parameter): name for name, parameter in system.model.named_parameters()}
    groups = build_optimizer(system.model, config.optim).param_groups
    scales = {names[id(p)]: group.get("scale", 1.0) for group in groups for p in group["params"]}
    for name, scale in scales.items():
        assert scale == (1 if name.startswith(("encoder.", "key_encoder.")) else 10)
    learning = learner(config, system.model, ALONE)
    batches = [batch_of(system)]
    train_step(learning, batches, part(whole_batch(batches, system.model, ALONE), LABELS), 0, 1e-3)
    assert {group["lr"] for group in learning.optimizer.param_groups} == {1e-3, 1e-2}


def test_lmke_reads_a_fact_of_entities_without_texts(made_up):
    config, source, system = make("lmke-tiny", made_up, lmke_entity_length=0, lmke_relation_length=0)
    texts, model = fact_texts(config, source), system.model
    facts = texts.facts(np.array([[3, 0, 7], [9, 1, 2]]))
    assert facts.lengths.tolist() == [5, 5]
    scorer, slow = LmkeScorer(model, texts), Slow(model, source, config)
    expected = [
        model.classifier(slow.state(model.encoder, [slow.part(h), slow.middle(r), slow.part(t)], None))[0]
        for h, r, t in ((3, 0, 7), (9, 1, 2))
    ]
    found = scorer.triples(torch.tensor([3, 9]), torch.tensor([0, 1]), torch.tensor([7, 2]))
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)
    assert len(scorer.triples(*torch.empty(3, 0, dtype=torch.int64))) == 0


def test_an_entity_without_a_text_and_without_a_train_fact_is_ranked():
    feed = feed_of_case()
    alone = feed.texts.alone(np.array([6]))
    assert alone.pieces[0].ids.tolist() == [[SPECIAL.bos, SPECIAL.mask, SPECIAL.eos]]
    ranking = Ranking(matcher_of_case(), Vectors(case.key_vectors(), degrees_of_case()))
    assert degrees_of_case()[6] == 0
    queries, _ = vectors_of_case(feed.batch(rows_of(indices(case.BATCH))))
    assert ranking.scores(queries).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data.split": "inductive", "lmke.keys": "all"}, "must not meet"),
        ({"data.split": "inductive", "lmke.variant": "masked"}, "must not meet"),
        ({"lmke.initial_matcher": "product", "lmke.matcher_hidden": "1"}, "2 or more"),
        ({"encoder.max_positions": "4"}, "takes 5 tokens in c-lmke"),
        ({"lmke.negatives": "2"}, r'lmke\.negatives = 2 does nothing with system = "c-lmke"'),
        (
            {"lmke.self_adversarial": "off", "lmke.adversarial_temperature": "0.1"},
            r'lmke\.adversarial_temperature = 0\.1 does nothing with lmke\.self_adversarial = "off"',
        ),
        ({"lmke.repeated_keys": "true"}, r'lmke\.repeated_keys = true does nothing with lmke\.keys = "batch"'),
        ({"lmke.variant": "masked", "lmke.degrees": "false"}, r'lmke\.degrees = false .* lmke\.variant = "masked"'),
    ],
)
def test_what_does_not_go_together_is_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        load_config("c-lmke-tiny", settings)


@pytest.mark.parametrize(
    ("key", "value"), [("variant", "masked"), ("keys", "all"), ("summed", "true"), ("self_adversarial", "off")]
)
def test_lmke_refuses_what_only_c_lmke_reads(key, value):
    with pytest.raises(UsageError, match=rf'lmke\.{key} = .* does nothing with system = "lmke"'):
        load_config("lmke-tiny", {f"lmke.{key}": value})


@pytest.mark.parametrize("recipe", ["c-lmke-tiny", "lmke-tiny"])
def test_words_may_be_narrower_than_states(recipe, made_up, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ElectraModel(ElectraConfig(vocab_size=4_000, embedding_size=8, **sizes)).save_pretrained(tmp_path)
    _, source, system = make(recipe, made_up, encoder_name=tmp_path)
    assert system.model.entity.weight.shape == (source.sizes.entities, 8)
    assert all(bool(loss.isfinite()) for loss in system.model.losses(batch_of(system)).values())


@pytest.fixture(scope="module")
def runs(made_up, tmp_path_factory):
    """Two short runs, by recipe."""
    folder = tmp_path_factory.mktemp("lmke")
    more = {"train.steps": "4", "train.valid_every": "4", "train.save_every": "4"}
    for recipe in ("c-lmke-tiny", "lmke-tiny"):
        train(recipe, made_up, folder / recipe, resume=False, dry_run=False, settings=SMALL | more)
    return folder


def test_a_c_lmke_run_ranks_and_predicts(runs, made_up):
    run = runs / "c-lmke-tiny"
    result = evaluate(run, "link-prediction")
    assert 0 < result["metrics"]["both"]["mrr"] <= 1
    rows = predict(run, head="person3", relation="born in", top=3)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert len(predict(run, head="person3", tail="city2", top=2)) == 2
    with pytest.raises(DataError, match="its data alone"):
        predict(run, head_text="a person", relation="born in")


def test_an_lmke_run_classifies_and_does_not_rank(runs):
    result = evaluate(runs / "lmke-tiny", "triple-classification")
    assert 0 < result["metrics"]["all"]["accuracy"] <= 1 and result["baselines"]["seen-pattern"]
    with pytest.raises(DataError, match="triple-classification"):
        evaluate(runs / "lmke-tiny", "link-prediction")
