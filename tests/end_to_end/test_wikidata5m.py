"""Wikidata5M's published files -> import -> tokens -> KEPLER in all settings -> ranks, against loops over the files."""

import numpy as np
import pytest
import torch

from schemas.hashing import random_u64
from tests.pipelines.imports.made import imported, write
from training.evaluation.run import evaluate
from training.runs import load_run
from training.train import train
from wikiloom import main

QUICK = {
    "encoder.hidden_size": "16",
    "encoder.layers": "1",
    "encoder.intermediate_size": "32",
    "kepler.max_length": "16",
    "kepler.block_length": "16",
    "kepler.blocks": "2",
    "train.steps": "4",
    "train.batch_size": "16",
    "train.valid_batches": "1",
    "train.valid_rows": "1",
    "train.save_every": "4",
}
SIDES = {"train": range(1, 31), "valid": range(101, 107), "test": range(201, 209)}
WORDS = [
    "river",
    "city",
    "poet",
    "stone",
    "blue",
    "old",
    "school",
    "of",
    "north",
    "sea",
    "king",
    "garden",
    "who",
    "wrote",
    "music",
    "war",
]
RELATIONS = ("P31", "P26", "P131")


def draw(purpose, *ids):
    return int(random_u64(0, purpose, *ids) >> np.uint64(1))


def described(entity):
    """Words that no other entity has in this order, so that distances differ by more than a sum's last bits."""
    return " ".join(WORDS[draw("word", entity, place) % len(WORDS)] for place in range(5 + entity % 9))


def facts():
    """(inductive facts by split, facts that join the others with train)."""
    inductive, joining = {}, []
    for side, entities in SIDES.items():
        pairs = [(one, other) for one in entities for other in entities if one != other]
        pairs.sort(key=lambda pair: draw("pair", *pair))
        ring = [(one, one + 1) for one in entities[:-1]]
        chosen = sorted({*ring, *pairs[: 3 * len(entities)]})
        inductive[side] = [(f"Q{h}", RELATIONS[draw("relation", h, t) % 3], f"Q{t}") for h, t in chosen]
    for entity in [*SIDES["valid"], *SIDES["test"]]:
        for number in range(1 + entity % 5):
            other = 1 + draw("other", entity, number) % 30
            ends = (f"Q{entity}", f"Q{other}")[:: 1 if number % 2 else -1]
            joining.append((ends[0], RELATIONS[draw("between", entity, number) % 3], ends[1]))
    return inductive, sorted(set(joining))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the facts of each file by name, the imported dataset)."""
    inductive, joining = facts()
    everything = sorted({fact for rows in inductive.values() for fact in rows} | set(joining), key=hash_of)
    parts = {"train": everything[24:], "valid": everything[:12], "test": everything[12:24]}
    files = {f"wikidata5m_transductive_{split}.txt": rows for split, rows in parts.items()}
    files |= {f"wikidata5m_inductive_{split}.txt": rows for split, rows in inductive.items()}
    numbers = [number for entities in SIDES.values() for number in entities]
    texts = {
        "wikidata5m_entity.txt": "".join(f"Q{n}\tthing {n}\titem {n}\n" for n in numbers),
        "wikidata5m_relation.txt": "".join(f"{name}\trelation {name}\n" for name in RELATIONS),
        "wikidata5m_text.txt": "".join(f"Q{n}\t{described(n)}\n" for n in numbers),
    }
    lines = {name: "".join("\t".join(fact) + "\n" for fact in rows) for name, rows in files.items()}
    folder = tmp_path_factory.mktemp("wikidata5m")
    dataset = imported("wikidata5m", write(folder / "in", lines | texts), folder / "out")
    words = [str(dataset.folder), "--out", str(dataset.folder / "tokens" / "tiny"), "--vocab-size", "150"]
    assert main(["train-tokenizer", *words]) == 0
    words = [str(dataset.folder), "--tokenizer", str(dataset.folder / "tokens" / "tiny"), "--name", "tiny"]
    assert main(["tokenize", *words]) == 0
    return files, dataset


def hash_of(fact):
    return draw("order", *(int(part[1:]) for part in fact))


@pytest.fixture(scope="module")
def runs(made, tmp_path_factory):
    """A run in each setting."""
    folders = {split: tmp_path_factory.mktemp("runs") / split for split in ("inductive", "transductive")}
    for split, folder in folders.items():
        told = QUICK | {"data.split": split}
        assert train("kepler-tiny", made[1].folder, folder, resume=False, dry_run=False, settings=told) == 0
    return folders


def slow_ranks(run, asked, candidates, known):
    """The least and the largest rank of each (fact, side), by loops over names as the files have them: another order of
    summation may put distances in another order that differ by less than 1e-5."""
    opened = load_run(run)
    vectors, relations = opened.scorer().entities, opened.model.relation.weight.detach()
    entity = {name: i for i, name in enumerate(opened.dataset.read("entities")["entity"].to_pylist())}
    relation = {name: i for i, name in enumerate(opened.dataset.read("relations")["relation"].to_pylist())}

    def far(fact):
        head, between, tail = fact
        return (vectors[entity[head]] + relations[relation[between]] - vectors[entity[tail]]).abs().sum().item()

    ranks = []
    for fact, side in asked:
        others = [(name, *fact[1:]) if side == "head" else (*fact[:2], name) for name in candidates]
        gaps = torch.tensor([far(other) for other in others if other == fact or other not in known])
        own = far(fact)
        ranks.append((1 + (gaps < own - 1e-5).sum().item(), (gaps < own + 1e-5).sum().item()))
    return np.array(ranks)


def both_sides(rows):
    return [(fact, side) for fact in rows for side in ("head", "tail")]


def of(files, setting):
    return {split: files[f"wikidata5m_{setting}_{split}.txt"] for split in ("train", "valid", "test")}


def names_of(rows):
    return sorted({name for head, _, tail in rows for name in (head, tail)})


def agree(found, ranks):
    low, high = ranks.T
    assert (high - low).mean() < 0.2
    assert low.mean() - 1e-9 <= found["mr"] <= high.mean() + 1e-9
    assert (1 / high).mean() - 1e-9 <= found["mrr"] <= (1 / low).mean() + 1e-9
    return True


@pytest.mark.slow
def test_the_inductive_ranks_are_those_among_the_entities_of_the_test_file(made, runs):
    rows = of(made[0], "inductive")
    found = evaluate(runs["inductive"], "link-prediction")
    assert found["protocol"]["candidates"] == len(names_of(rows["test"])) == 8
    slow = slow_ranks(runs["inductive"], both_sides(rows["test"]), names_of(rows["test"]), set(rows["test"]))
    assert agree(found["metrics"]["both"], slow)


def test_the_transductive_ranks_are_those_among_all_entities(made, runs):
    rows = of(made[0], "transductive")
    everything = [fact for part in rows.values() for fact in part]
    found = evaluate(runs["transductive"], "link-prediction")
    assert found["protocol"]["candidates"] == len(names_of(everything)) == 44
    slow = slow_ranks(runs["transductive"], both_sides(rows["test"]), names_of(everything), set(everything))
    assert agree(found["metrics"]["both"], slow)


def test_the_semi_inductive_questions_are_the_facts_that_join_test_with_train(made, runs):
    rows = of(made[0], "inductive")
    train_names, test_names = names_of(rows["train"]), names_of(rows["test"])
    kept = {fact for part in rows.values() for fact in part}
    dropped = {fact for part in of(made[0], "transductive").values() for fact in part} - kept
    asked = [(fact, "tail") for fact in dropped if fact[0] in test_names and fact[2] in train_names]
    asked += [(fact, "head") for fact in dropped if fact[2] in test_names and fact[0] in train_names]
    found = evaluate(runs["inductive"], "link-prediction", settings={"setting": "semi-inductive"})
    assert found["protocol"]["triples"] == len(asked) and found["protocol"]["candidates"] == len(train_names)
    assert agree(found["metrics"]["k=0"], slow_ranks(runs["inductive"], asked, train_names, dropped))
    counts = [found["metrics"][f"k={k}"]["questions"] for k in (0, 1, 3, 5)]
    assert counts == sorted(counts, reverse=True) and counts[1] > counts[2] > 0
