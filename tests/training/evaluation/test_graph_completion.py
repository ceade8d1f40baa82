"""Word-knowledge-graph completion: which samples are asked, what their graphs show, and what the figures mean."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from tests.training.evaluation.kg import write_kg
from tests.training.synthetic import make_dataset
from training.baselines import run_baseline
from training.evaluation import bootstrap
from training.evaluation.completion_samples import Sample
from training.evaluation.graph_completion import (
    METRICS,
    PARTS,
    GraphCompletionSettings,
    graph_completion,
    prepare,
    sample_ranks,
)
from training.evaluation.run import evaluate
from training.evaluation.tasks import TASKS
from training.train import train

TRAIN = [("a", "r", "b"), ("b", "s", "c"), ("c", "r", "a"), ("d", "s", "b"), ("a", "t", "d")]
LATER = [("n", "s", "a"), ("n", "t", "c"), ("n", "r", "d"), ("b", "t", "n"), ("m", "u", "b")]
"""Facts of the split test: n and m are in no train triple, u is in none either."""
NAMES = sorted({name for head, _, tail in [*TRAIN, *LATER] for name in (head, tail)})


def example(number, text, head, tail, relation, split="test"):
    """An example; `head` and `tail` are (start, end, entity) or None."""
    mentions = [
        {"start": mention[0], "end": mention[1], "entity": mention[2], "role": role}
        for role, mention in (("head", head), ("tail", tail))
        if mention
    ]
    empty = {"text_b": None, "label": relation, "labels": [], "answers": [], "options": []}
    row = {"example_id": f"test/{number:03d}", "task": "few-shot", "split": split, "group": "test", "text": text}
    return row | {"mentions": mentions, "relation": relation} | empty


def stated(number, head, relation, tail):
    """The example `HEAD meets TAIL`."""
    return example(number, f"{head} meets {tail}", (0, 1, head), (8, 9, tail), relation)


def dataset_of(folder, examples, graphs=()):
    """TRAIN and LATER with these examples; `graphs` are strings whose letters are anchors of a train graph."""
    plain = write_kg(folder / "plain", {"train": TRAIN, "valid": [], "test": LATER})
    index = {name: place for place, name in enumerate(plain.read("entities")["entity"].to_pylist())}
    rows = []
    for number, anchors in enumerate(graphs):
        mentions = [{"start": k, "end": k + 1, "entity_index": index[name]} for k, name in enumerate(anchors)]
        row = {"graph_id": number << 27, "page_id": number, "split": "train", "start": 0, "end": len(anchors)}
        rows.append(row | {"text": anchors, "mentions": mentions, "triples": []})
    splits = {"train": TRAIN, "valid": [], "test": LATER}
    return write_kg(folder / "woven", splits, examples=list(examples), wk_graphs=rows)


class Scores:
    """A system that scores by a hash of the pair; few values, so that there are ties."""

    def __init__(self, relations):
        self._relations = relations

    def relations(self, heads, tails):
        words = random_u64(3, "scores", heads.numpy()[:, None], tails.numpy()[:, None], np.arange(self._relations))
        return torch.from_numpy((words % np.uint64(3)).astype(np.float64))


def test_samples_are_parted_as_counting_by_hand_parts_them(tmp_path):
    pairs = [(h, r, t) for h in NAMES for r in "rstu" for t in NAMES if h != t]
    dataset = dataset_of(tmp_path, [stated(n, *fact) for n, fact in enumerate(pairs)])
    questions = prepare(dataset, "test", GraphCompletionSettings())
    seen = {name for head, _, tail in TRAIN for name in (head, tail)}
    parts, left_out = {"transductive": set(), "inductive": set()}, Counter()
    for head, relation, tail in pairs:
        unseen = (head not in seen) + (tail not in seen)
        if (head, relation, tail) in TRAIN:
            left_out["known_in_train"] += 1
        elif relation == "u":
            left_out["relation_unseen"] += 1
        elif unseen == 2:
            left_out["both_unseen"] += 1
        else:
            parts["inductive" if unseen else "transductive"].add((head, relation, tail))
    names = dataset.read("entities")["entity"].to_pylist()
    relations = dataset.read("relations")["relation"].to_pylist()
    asked = [(names[h], relations[r], names[t]) for h, r, t in questions.triples]
    for part, flags in (("transductive", ~questions.inductive), ("inductive", questions.inductive)):
        assert {fact for fact, flag in zip(asked, flags, strict=True) if flag} == parts[part]
    protocol = questions.protocol
    assert protocol["left_out"] == dict(left_out)
    assert protocol["examples"] == len(pairs) == sum(map(len, parts.values())) + left_out.total()
    assert {part: protocol["samples"][part] for part in parts} == {part: len(own) for part, own in parts.items()}


def test_a_node_of_a_train_graph_is_seen_too(tmp_path):
    facts = [stated(0, "n", "r", "a")]
    for graphs, inductive in (([], True), (["ab", "n"], False)):
        dataset = dataset_of(tmp_path / str(len(graphs)), facts, graphs)
        assert prepare(dataset, "test", GraphCompletionSettings()).inductive.tolist() == [inductive]


def test_every_example_that_is_no_sample_is_counted_with_its_reason(tmp_path):
    head, tail = (0, 1, "a"), (8, 9, "c")
    wrong = {
        "no_head_or_tail": (head, None, "r"),
        "no_entity": ((0, 1, None), tail, "r"),
        "entity_not_in_graph": ((0, 1, "nobody"), tail, "r"),
        "relation_not_in_graph": (head, tail, "unheard of"),
        "head_is_tail": (head, (8, 9, "a"), "r"),
        "mentions_overlap": ((0, 5, "a"), (3, 9, "c"), "r"),
        "too_long": (head, tail, "s"),
    }
    rows = [example(n, "a meets c", *parts) for n, parts in enumerate(wrong.values())]
    dataset = dataset_of(tmp_path, [*rows, stated(99, "a", "s", "c")])
    tokens = tokens_of(tmp_path / "tokens", words=["a", "meets", "c"])
    rows[-1] |= {"text": "a meets c" + " meets" * 20}
    long = dataset_of(tmp_path / "long", [*rows, stated(99, "a", "s", "c")])
    left_out = prepare(dataset, "test", GraphCompletionSettings(max_units=8), tokens).protocol["left_out"]
    assert left_out == dict.fromkeys(list(wrong)[:-1], 1)
    assert prepare(long, "test", GraphCompletionSettings(max_units=8), tokens).protocol["left_out"] == dict.fromkeys(
        wrong, 1
    )
    with pytest.raises(DataError, match=r"has no sample for graph-completion.*known_in_train 1"):
        prepare(dataset_of(tmp_path / "none", [stated(0, *TRAIN[0])]), "test", GraphCompletionSettings())
    with pytest.raises(UsageError, match="Did you mean test"):
        prepare(dataset, "tset", GraphCompletionSettings())


def test_no_graph_states_what_is_asked_and_the_unseen_show_their_neighbours(tmp_path):
    pairs = [(h, r, t) for h in NAMES for r in "rst" for t in NAMES if h != t]
    dataset = dataset_of(tmp_path, [stated(n, *fact) for n, fact in enumerate(pairs)])
    questions = prepare(dataset, "test", GraphCompletionSettings(both_unseen="keep"))
    names = dataset.read("entities")["entity"].to_pylist()
    relations = dataset.read("relations")["relation"].to_pylist()
    for sample, graph, hidden in zip(questions.samples, questions.graphs, questions.hidden, strict=True):
        asked, *others = [(graph.anchors[anchor], relation, tail) for anchor, relation, tail in graph.triples]
        assert asked == (sample.head, sample.relation, sample.tail)
        pair, unseen = (
            {sample.head, sample.tail},
            [place for place in (sample.head, sample.tail) if names[place] in "nm"],
        )
        assert [graph.anchors[k] for k in np.flatnonzero(hidden)] == [a for a in graph.anchors if a in unseen]
        shown = {(names[h], relations[r], names[t]) for h, r, t in others}
        assert shown == {
            (h, r, t) for h, r, t in LATER if h in [names[p] for p in unseen] and names.index(t) not in pair
        }
    shown = prepare(dataset, "test", GraphCompletionSettings(unseen_input="name", neighbours=1))
    assert not any(hidden.any() for hidden in shown.hidden) and max(len(g.triples) for g in shown.graphs) == 2


def test_metrics_equal_a_slow_oracle(tmp_path):
    pairs = [(h, r, t) for h in NAMES for r in "rst" for t in NAMES if h != t]
    dataset = dataset_of(tmp_path, [stated(n, *fact) for n, fact in enumerate(pairs[::2])])
    questions = prepare(dataset, "test", GraphCompletionSettings(resamples=20))
    system = Scores(questions.facts.relations)
    said = {tuple(t) for split in questions.facts.splits.values() for t in split.tolist()}
    said |= {tuple(triple) for triple in questions.triples.tolist()}
    ranks = []
    for head, relation, tail in questions.triples.tolist():
        scores = system.relations(torch.tensor([head]), torch.tensor([tail]))[0].tolist()
        rivals = [s for r, s in enumerate(scores) if r != relation and (head, r, tail) not in said]
        above, tied = sum(s > scores[relation] for s in rivals), sum(s == scores[relation] for s in rivals)
        ranks.append(1 + above + tied / 2)
    assert sample_ranks(system, questions).by("realistic").tolist() == ranks
    found = graph_completion(system, questions)
    of_one = {"mr": lambda r: r, "mrr": lambda r: 1 / r, **{f"hits@{k}": lambda r, k=k: r <= k for k in (1, 3, 10)}}
    for part, flag in (("transductive", False), ("inductive", True)):
        chosen = [n for n, inductive in enumerate(questions.inductive) if inductive == flag]
        assert found[part]["samples"] == len(chosen) > 9
        for name in METRICS:
            by_relation = defaultdict(list)
            for n in chosen:
                by_relation[questions.triples[n, 1]].append(float(of_one[name](ranks[n])))
            every = [value for values in by_relation.values() for value in values]
            assert found[part][name] == pytest.approx(np.mean(every))
            assert found[part][f"macro_{name}"] == pytest.approx(np.mean([np.mean(v) for v in by_relation.values()]))
            ends = found["intervals"][part][f"macro_{name}"]
            assert ends["low"] <= ends["high"]


def test_a_resample_is_a_draw_with_replacement_and_lacks_no_count():
    values, groups = np.array([[1.0, 0.0], [2.0, 1.0], [4.0, 0.0], [8.0, 1.0]]), np.array([5, 5, 9, 7])
    drawn = bootstrap.resampled(values, groups, seed=1, resamples=50)
    for number in range(50):
        rows = [int((int(w) >> 32) * 4 >> 32) for w in random_u64(1, "bootstrap", number, np.arange(4))]
        by_group = defaultdict(list)
        for row in rows:
            by_group[groups[row]].append(values[row])
        assert drawn[number, 0] == pytest.approx(np.mean(values[rows], axis=0))
        assert drawn[number, 1] == pytest.approx(np.mean([np.mean(own, axis=0) for own in by_group.values()], axis=0))
    assert len({tuple(row.ravel()) for row in drawn}) > 10
    assert bootstrap.means(values, groups) == pytest.approx(np.array([[3.75, 0.5], [4.5, 0.5]]))


def test_the_interval_covers_the_mean_of_what_was_drawn_from():
    covered = 0
    for trial in range(60):
        values = (random_u64(trial, "values", np.arange(80)) % np.uint64(1_000)).astype(np.float64)[:, None] / 1_000
        low, high = bootstrap.interval(
            bootstrap.resampled(values, np.zeros(80, np.int64), seed=trial, resamples=300)[:, 0]
        )
        covered += bool(low[0] <= 0.4995 <= high[0])
    assert covered >= 52


def tokens_of(folder, words):
    """tokens/NAME with a tokenizer alone: words with the space before them."""
    vocab = {name: n for n, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁", ",", "."])}
    vocab |= {f"▁{word}": len(vocab) + n for n, word in enumerate(words)}
    vocab |= {letter: len(vocab) + n for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    scores = [(piece, -2.0 if piece.startswith("▁") else -9e3 if piece.startswith("<") else -9.0) for piece in vocab]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    empty = Dataset.__new__(Dataset)
    empty.folder = folder
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return empty


def test_the_words_are_those_of_the_text_without_its_mentions(tmp_path):
    tokens = tokens_of(tmp_path / "tokens", words=["a", "meets", "c", "there"])
    text = "there c meets a"
    rows = [stated(0, "a", "s", "c"), example(1, text, (14, 15, "a"), (6, 7, "c"), "s")]
    ids = {
        name: Tokenizer.from_file(str(tokens.folder / "tokenizer.json")).token_to_id(f"▁{name}")
        for name in text.split()
    }
    forwards, backwards = prepare(dataset_of(tmp_path, rows), "test", GraphCompletionSettings(), tokens).graphs
    assert forwards.units.tolist() == [-1, ids["meets"], -2] and forwards.triples[0, 0] == 0
    assert backwards.units.tolist() == [ids["there"], -1, ids["meets"], -2] and backwards.triples[0, 0] == 1
    assert forwards.anchors.tolist() == backwards.anchors.tolist()[::-1]


def test_a_rule_and_an_embedding_answer_by_the_command_that_lists_them(tmp_path):
    dataset = dataset_of(tmp_path, [stated(0, "a", "s", "c"), stated(1, "n", "t", "a")])
    folder = run_baseline("majority", dataset.folder, "graph-completion", tmp_path / "majority", {"resamples": "5"})
    (path,) = (folder / "results").glob("graph-completion-test-*.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["baselines"].keys() == TASKS["graph-completion"].rules.keys() - {"majority"}
    assert {part: result["metrics"][part]["samples"] for part in ("transductive", "inductive")} == {
        "transductive": 1,
        "inductive": 1,
    }
    pytest.importorskip("pykeen")
    run_baseline("transe", dataset.folder, "graph-completion", tmp_path / "transe", {"epochs": "1", "dim": "4"})
    again = evaluate(tmp_path / "transe", "graph-completion")
    assert again["metrics"]["inductive"]["macro_mrr"] > 0


def test_examples_of_another_dataset_are_told_by_their_ids(tmp_path):
    here = dataset_of(tmp_path / "here", [stated(0, "a", "s", "c")])
    order = {"train": [("a", "s", "d"), ("d", "s", "c"), ("c", "q", "z")], "valid": [], "test": []}
    rows = [stated(1, "d", "s", "c"), stated(2, "n", "t", "a"), stated(3, "z", "s", "a"), stated(4, "a", "q", "c")]
    there = write_kg(tmp_path / "there", order, examples=rows)
    questions = prepare(here, "test", GraphCompletionSettings(examples=str(there.folder)))
    names = here.read("entities")["entity"].to_pylist()
    assert [(names[h], names[t]) for h, _, t in questions.triples] == [("d", "c"), ("n", "a")]
    assert questions.protocol["left_out"] == {"entity_not_in_graph": 1, "relation_not_in_graph": 1}
    assert questions.examples.digest == there.digest != questions.protocol["graph"] == here.digest


def test_a_trained_colake_reads_the_samples(tmp_path):
    rows = [example(0, "person0 is born in city3", (0, 7, "Q31"), (19, 24, "Q10"), "P2")]
    data = make_dataset(tmp_path / "data", examples=rows)
    settings = {"train.steps": "2", "train.batch_size": "8", "encoder.hidden_size": "16", "encoder.heads": "2"}
    train("colake-tiny", data, tmp_path / "run", resume=False, dry_run=False, settings=settings)
    result = evaluate(tmp_path / "run", "graph-completion", settings={"resamples": "3"})
    assert sum(result["metrics"][part]["samples"] for part in PARTS) == 1
    assert result["baselines"].keys() == {"majority", "frequency", "cooccurrence"}
    sample = prepare(Dataset(data), "test", GraphCompletionSettings(), Dataset(data).tokens("tiny"))
    assert isinstance(sample.samples[0], Sample) and (sample.graphs[0].units < 0).sum() == 2
