"""Fine-tuning: what a model reads, what it begins with, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from schemas.dataset import Dataset
from tests.training.test_export import SMALL
from training.data.collate import ENTITY, WORD
from training.data.labelled import LabelledInput, LabelledReader, labelled_batch
from training.data.special import special_tokens
from training.evaluation.starts import start_of_run
from training.export import export
from training.finetune import Classifier, FinetuneSettings, Lesson, MarkerClassifier, Part, finetune
from training.runs import load_run
from training.train import train

TEXT = "city1 is a city . its capital is person2 ."


@pytest.fixture(scope="module")
def tokenizer(made_up):
    return Tokenizer.from_file(str(Dataset(made_up).tokens("tiny").folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def run(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune") / "run"
    train("colake-tiny", made_up, folder, resume=False, dry_run=False, settings=SMALL)
    return folder


def mention(text, surface, role, entity=None):
    start = text.index(surface)
    return {"start": start, "end": start + len(surface), "entity": entity, "role": role}


def row(text, *mentions, text_b=None):
    return {"text": text, "text_b": text_b, "mentions": list(mentions)}


def reader(tokenizer, entities=None, max_length=64):
    markers = {"head": (1000, 1001), "tail": (1002, 1003)}
    return LabelledReader(tokenizer, special_tokens(tokenizer), markers, entities, max_length)


def words(tokenizer, found):
    names = {1000: "[HD]", 1001: "[/HD]", 1002: "[TL]", 1003: "[/TL]"}
    return " ".join(names.get(word) or tokenizer.id_to_token(word) for word in found.words)


def test_the_mention_stays_between_markers_and_its_entity_stands_at_its_first_word(tokenizer):
    read = reader(tokenizer, {"Q7": 4, "Q9": 5})
    found = read.read(row(TEXT, mention(TEXT, "city1", "head", "Q7"), mention(TEXT, "person2", "tail", "Q9")))
    assert words(tokenizer, found) == "<s> [HD] city1 [/HD] is a city . its capital is [TL] person2 [/TL] . </s>"
    assert found.entities == [(4, 2), (5, 12)]
    assert [found.words[place] for _, place in found.entities] == [
        tokenizer.token_to_id(w) for w in ("city1", "person2")
    ]
    batch = labelled_batch([found, LabelledInput([0, 7, 2], [0, 0, 0], [])], pad=1)
    assert batch.types[0].tolist() == [WORD] * 16 + [ENTITY] * 2 and batch.ids[0, -2:].tolist() == [4, 5]
    assert batch.positions[0].tolist() == [*range(16), 2, 12] and batch.real.sum(dim=1).tolist() == [18, 3]
    assert batch.ids[1].tolist() == [0, 7, 2] + [1] * 15


def test_without_nodes_every_word_of_a_linked_mention_is_linked(tokenizer):
    read = dataclasses.replace(reader(tokenizer, {"Q7": 4, "Q9": 5, "Q1": 6}), nodes=False)
    capital = mention(TEXT, "its capital is", "context", "Q9")
    overlaps = mention(TEXT, "is person2", "context", "Q1")
    found = read.read(row(TEXT, mention(TEXT, "city1", "head", "Q7"), capital, overlaps))
    linked = [(at, [tokenizer.id_to_token(word) for word in found.words[a:b]]) for at, a, b in found.linked]
    assert linked == [(4, ["city1"]), (5, ["its", "capital", "is"])], "of two that overlap the first"
    assert found.entities == []
    both, spelt = read.pair(found, found), [found.words[start:end] for _, start, end in found.linked]
    assert [both.words[start:end] for _, start, end in both.linked] == spelt * 2
    batch = labelled_batch([LabelledInput([0, 7, 2], [0, 0, 0], []), found], pad=1)
    assert batch.types.max() == WORD
    assert batch.ids.flatten()[batch.linked[:, 0]].tolist() == [word for own in spelt for word in own]
    assert batch.linked[:, 1].tolist() == [4, 5, 5, 5]


def test_an_entity_is_one_node_a_role_is_marked_once_and_the_unknown_is_counted(tokenizer):
    read = reader(tokenizer, {"Q7": 4})
    marked = [
        mention(TEXT, "city1", "head", "Q7"),
        mention(TEXT, "city ", "head", "Q7"),
        mention(TEXT, "capital", "context", "Q1"),
    ]
    found = read.read(row(TEXT, *marked, mention(TEXT, "person2", "tail")))
    assert words(tokenizer, found).count("[HD]") == 1 and found.entities == [(4, 2)]
    assert read.counts == {"mentions_linked": 2, "mentions_unknown": 1, "texts_cut": 0}
    plain = reader(tokenizer)
    assert plain.read(row(TEXT, *marked)).entities == [] and plain.counts == {"texts_cut": 0}


def test_overlapping_and_adjacent_mentions_keep_their_markers_in_order(tokenizer):
    found = reader(tokenizer).read(row(TEXT, mention(TEXT, "city1 is", "head"), mention(TEXT, "a city", "tail")))
    assert words(tokenizer, found).startswith("<s> [HD] city1 is [/HD] [TL] a city [/TL] . ")
    found = reader(tokenizer).read(row(TEXT, mention(TEXT, "city1 is a", "head"), mention(TEXT, "is", "tail")))
    assert words(tokenizer, found).startswith("<s> [HD] city1 [TL] is [/TL] a [/HD] city ")


def test_a_long_text_is_cut_around_its_markers(tokenizer):
    read = reader(tokenizer, {"Q1": 0, "Q9": 5}, max_length=10)
    long = "is a city . " * 10 + "its capital is person2 ."
    found = read.read(row(long, mention(long, "capital", "head", "Q1"), mention(long, "person2", "tail", "Q9")))
    assert len(found.words) == 10 and {"[HD]", "[/HD]", "[TL]", "[/TL]"} <= set(words(tokenizer, found).split())
    assert [tokenizer.id_to_token(found.words[place]) for _, place in found.entities] == ["capital", "person2"]
    early = reader(tokenizer, {"Q1": 0}, max_length=10)
    assert words(tokenizer, early.read(row(long, mention(long, "a", "head")))).startswith("<s> is [HD] a ")
    assert early.read(row(long, mention(long, "person2", "context", "Q1"))).entities == []
    assert early.counts == {"texts_cut": 2, "mentions_cut": 1} and read.counts["texts_cut"] == 1


def test_the_places_of_the_markers_before_the_mentions_are_known_in_the_order_of_the_roles(tokenizer):
    read = reader(tokenizer)
    found = read.read(row(TEXT, mention(TEXT, "person2", "tail"), mention(TEXT, "city1", "head")))
    assert found.marks == [1, 11] and [found.words[place] for place in found.marks] == [1000, 1002]
    assert read.read(row(TEXT, mention(TEXT, "person2", "tail"))).marks == [0, 9], "<s> stands for what is not there"
    far = f"city1 {'is a city . ' * 10}person2"
    cut = reader(tokenizer, max_length=10).read(
        row(far, mention(far, "city1", "head"), mention(far, "person2", "tail"))
    )
    assert cut.marks == [1, 0]
    batch = labelled_batch([found, cut], pad=1)
    assert batch.marks.tolist() == [[1, 11], [1, 0]] and reader(tokenizer).read(row(TEXT)).marks == [0, 0]


def test_a_masked_mention_is_one_mask_and_shows_no_entity(tokenizer):
    read = reader(tokenizer, {"Q7": 4, "Q9": 5})
    long = {**mention(TEXT, "city1 is a", "head", "Q7"), "masked": True}
    found = read.read(row(TEXT, long, mention(TEXT, "person2", "tail", "Q9")))
    assert words(tokenizer, found) == "<s> [HD] <mask> [/HD] city . its capital is [TL] person2 [/TL] . </s>"
    assert found.entities == [(5, 10)] and found.marks == [1, 9] and read.counts["mentions_linked"] == 1
    tail = {**mention(TEXT, "is a city", "tail"), "masked": True}
    assert words(tokenizer, read.read(row(TEXT, mention(TEXT, "city1", "head"), tail))).startswith(
        "<s> [HD] city1 [/HD] [TL] <mask> [/TL] . its"
    )
    assert words(tokenizer, read.read(row(TEXT, long, {**mention(TEXT, "is", "tail"), "masked": True}))).startswith(
        "<s> [HD] <mask> [TL] <mask> [/TL] <mask> [/HD] city"
    )


def test_mentions_alone_are_shown_without_the_text_around_them(tokenizer):
    read = reader(tokenizer, {"Q7": 4, "Q9": 5})
    only = row(TEXT, mention(TEXT, "city1 is", "head", "Q7"), mention(TEXT, "person2", "tail", "Q9"))
    found = read.read({**only, "only_mentions": True})
    assert words(tokenizer, found) == "<s> [HD] city1 is [/HD] [TL] person2 [/TL] </s>"
    assert found.entities == [(4, 2), (5, 6)] and found.marks == [1, 5]


def test_two_texts_are_framed_as_their_vocabularys_family_does_and_share_the_room(tokenizer):
    found = reader(tokenizer).read(row("a city", text_b="its capital ."))
    assert words(tokenizer, found) == "<s> a city </s> </s> its capital . </s>"
    assert found.segments == [0] * 5 + [1] * 4
    cut = reader(tokenizer, max_length=12).read(row("a " * 3, text_b="is " * 30))
    assert words(tokenizer, cut) == "<s> a a a </s> </s> is is is is is </s>"
    both = reader(tokenizer, max_length=12).read(row("a " * 30, text_b="is " * 30))
    assert words(tokenizer, both) == "<s> a a a a </s> </s> is is is is </s>"


def lesson(inputs, targets, labels, head=None, markers=0, loss="label", **more):
    part = Part(np.arange(len(inputs), dtype=np.uint64), inputs, targets)

    def score(logits, gold):
        return {"accuracy": float((logits.argmax(dim=1) == gold).double().mean())}

    main = lambda metrics: metrics["accuracy"]  # noqa: E731
    return Lesson(loss, labels, markers, head, part, part, {"": part}, score, main, **more)


@torch.no_grad()
def test_the_words_states_without_entities_are_those_of_an_export(run, tmp_path):
    """Position parity: fine-tuning reads a text at the positions that pre-training and an export read it at."""
    from transformers import AutoModel

    start = start_of_run(load_run(run))
    ids = [0, *start.tokenizer.encode(TEXT, add_special_tokens=False).ids, 2]
    model = Classifier(start, lesson([], torch.empty(0), ["a"]), torch.empty(0, 16), 0.0).eval()
    ours = model.states(labelled_batch([LabelledInput(ids, [0] * len(ids), [])], 1))
    plain = AutoModel.from_pretrained(export(run, tmp_path / "out")).eval()
    assert torch.equal(ours, plain(input_ids=torch.tensor([ids])).last_hidden_state)


@torch.no_grad()
def test_the_classifier_begins_as_the_runs_head_and_relation_rows(run):
    opened = load_run(run)
    start, network = start_of_run(opened), opened.network
    labels = ["P2", "no_relation", "P1"]
    model = Classifier(start, lesson([], torch.empty(0), labels, "relation", 4), torch.empty(0, 16), 0.3)
    assert torch.equal(model.dense.weight, network.relation_head.dense.weight)
    assert torch.equal(model.norm.weight, network.relation_head.norm.weight)
    assert torch.equal(model.decoder.weight[0], network.relation.weight[1])
    assert torch.equal(model.decoder.weight[2], network.relation.weight[0])
    assert model.decoder.bias[2] == network.relation_head.bias[0] and model.decoder.bias[1] == 0
    old, new = network.encoder.get_input_embeddings().weight, model.encoder.get_input_embeddings().weight
    assert torch.equal(new[: len(old)], old) and len(new) == len(old) + 4
    assert network.encoder.get_input_embeddings().num_embeddings == len(old), "the run's own encoder stays as it was"
    start.encoder.requires_grad_(False)
    again = Classifier(start, lesson([], torch.empty(0), labels), torch.empty(0, 16), 0.3)
    assert all(weight.requires_grad for weight in again.parameters()), "a frozen encoder is fine-tuned as a whole, too"
    start.encoder.requires_grad_(True)
    typed = Classifier(start, lesson([], torch.empty(0), labels, "entity", 2), torch.empty(0, 16), 0.3)
    assert torch.equal(typed.dense.weight, network.entity_head.dense.weight)


def test_entities_that_a_run_knows_come_with_their_rows_and_stay_frozen(run):
    opened = load_run(run)
    start = start_of_run(opened)
    known, rows = start.entities(["Q2", "Q999999", "Q1"])
    assert known == ["Q2", "Q1"] and torch.equal(rows, opened.network.memory.weight[[1, 0]])
    model = Classifier(start, lesson([], torch.empty(0), ["a"]), rows, 0.3)
    assert "entities" not in dict(model.named_parameters()) and torch.equal(model.entities, rows)


@torch.no_grad()
def test_keplers_form_classifies_the_states_at_the_start_markers_one_after_the_other(run):
    start = start_of_run(load_run(run))
    model = MarkerClassifier(start, lesson([], torch.empty(0), ["a", "b"], "relation", 4), torch.empty(0, 16), 0.3)
    words = start.encoder.get_input_embeddings().num_embeddings
    one = LabelledInput([0, words, 7, words + 1, 8, words + 2, 9, words + 3, 2], [0] * 9, [], [1, 5])
    other = LabelledInput([0, words + 2, 9, words + 3, 2], [0] * 5, [], [0, 1])
    batch = labelled_batch([one, other], 1)
    states = model.eval().states(batch)
    by_hand = torch.stack([torch.cat([states[0, 1], states[0, 5]]), torch.cat([states[1, 0], states[1, 1]])])
    assert torch.equal(model.vectors(batch, "markers"), by_hand) and by_hand.shape == (2, 32)
    hidden = torch.tanh(by_hand @ model.head.dense.weight.T + model.head.dense.bias)
    torch.testing.assert_close(model(batch), hidden @ model.head.decoder.weight.T + model.head.decoder.bias)
    assert model.encoder.get_input_embeddings().num_embeddings == words + 4, "the markers are new words"


def test_it_learns_by_the_markers_what_stands_between_them(run):
    """Every text has both words; the class is which of them is marked."""
    start = start_of_run(load_run(run))
    words = start.encoder.get_input_embeddings().num_embeddings
    left = LabelledInput([0, words, 7, words + 1, 8, 2], [0] * 6, [], [1])
    right = LabelledInput([0, 7, words, 8, words + 1, 2], [0] * 6, [], [2])
    task = lesson([left, right] * 24, torch.arange(48) % 2, ["left", "right"], markers=2, form="markers")
    found = finetune(start, task, torch.empty(0, 16), SETTINGS, lambda step, loss: None)
    assert [seed["reported"][""]["accuracy"] for seed in found] == [1.0, 1.0]


def test_groups_of_a_reported_part_are_scored_on_their_own(run):
    start = start_of_run(load_run(run))
    groups = {"": {"even": torch.arange(0, 16, 2), "odd": torch.arange(1, 16, 2)}}
    task = lesson(entity_examples(16), torch.arange(16) % 2, ["even", "odd"], groups=groups)
    rows = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    (found,) = finetune(start, task, rows, dataclasses.replace(SETTINGS, epochs=1, seeds=1), lambda step, loss: None)
    reported = found["reported"][""]
    assert reported["accuracy"] == (reported["even"]["accuracy"] + reported["odd"]["accuracy"]) / 2


def entity_examples(count):
    """Texts that are all alike, whose class is their entity's."""
    return [LabelledInput([0, 7, 8, 2], [0] * 4, [(number % 2, 1)]) for number in range(count)]


SETTINGS = FinetuneSettings(epochs=12, seeds=2, lr=2e-2, batch_size=8, device="cpu")


def test_it_learns_what_only_the_entities_tell(run):
    start = start_of_run(load_run(run))
    targets = torch.arange(48) % 2
    rows = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    with_entities = lesson(entity_examples(48), targets, ["even", "odd"])
    found = finetune(start, with_entities, rows, SETTINGS, lambda step, loss: None)
    assert [seed["reported"][""]["accuracy"] for seed in found] == [1.0, 1.0]
    without = [LabelledInput(one.words, one.segments, []) for one in with_entities.train.inputs]
    blind = finetune(start, lesson(without, targets, ["even", "odd"]), rows, SETTINGS, lambda step, loss: None)
    assert [seed["reported"][""]["accuracy"] for seed in blind] == [0.5, 0.5]


def test_a_seed_gives_the_same_numbers_whatever_else_is_run_and_another_seed_others(run):
    start, steps = start_of_run(load_run(run)), []
    task = lesson(entity_examples(40), torch.arange(40) % 2, ["even", "odd"])
    rows = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    settings = FinetuneSettings(epochs=1, seeds=2, lr=1e-3, batch_size=16, device="cpu", seed=5)
    losses = []
    finetune(start, task, rows, settings, lambda step, loss: (steps.append(step), losses.append(loss)))
    torch.manual_seed(123)
    again = []
    second = FinetuneSettings(epochs=1, seeds=1, lr=1e-3, batch_size=16, device="cpu", seed=6)
    finetune(start, task, rows, second, lambda step, loss: again.append(loss))
    assert steps == [1, 2, 3, 4, 5, 6] and losses[3:] == again and losses[:3] != again


def test_the_epoch_is_the_first_of_those_that_are_best_where_it_is_chosen(run):
    start = start_of_run(load_run(run))
    curve = iter([0.2, 0.7, 0.7, 0.1])
    task = lesson(entity_examples(16), torch.arange(16) % 2, ["even", "odd"])
    states = []

    def main(metrics):
        states.append(metrics["accuracy"])
        return next(curve)

    settings = FinetuneSettings(epochs=4, seeds=1, lr=3e-2, batch_size=4, device="cpu")
    rows = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    (found,) = finetune(start, dataclasses.replace(task, main=main), rows, settings, lambda step, loss: None)
    assert found["epoch"] == 2 and found["curve"] == [0.2, 0.7, 0.7, 0.1] and found["select"] == 0.7
    # What is reported is the model of that epoch, not of the last one.
    assert found["reported"][""]["accuracy"] == states[1]
