"""The benchmark of entity classification: a part of a graph that the rest of it does not meet."""

import pytest

from schemas.errors import DataError
from tests.pipelines.imports.made import facts, imported, lines, write
from tests.pipelines.imports.reading import Read
from wikiloom import main

CLUBS, SIZE = 40, 12


def published(folder):
    """Rings of `SIZE` that hang together by one link each; every second one is of class b and, like all, of class a."""
    names = [f"e{club}_{i}" for club in range(CLUBS) for i in range(SIZE)]
    rows = [f"{name} knows {names[n - n % SIZE + (n + 1) % SIZE]}" for n, name in enumerate(names)]
    rows += [f"{names[n]} near {names[(n + SIZE) % len(names)]}" for n in range(0, len(names), SIZE)]
    rows += [f"{name} P31 {names[n - n % SIZE + (n + 3) % SIZE]}" for n, name in enumerate(names)]
    write(folder, {"triples.tsv": lines(*rows), "entities.tsv": lines(*(f"{n} {n} tells_of_{n}" for n in names))})
    classes = [f"{name} a" for name in names] + [f"{name} b" for name in names[::2]]
    return write(folder / "more", {"types.tsv": lines(*classes)}) / "types.tsv"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    types = published(folder / "files")
    return imported("tsv", folder / "files", folder / "data", split="inductive", valid=12, test=120, types=types)


@pytest.fixture(scope="module")
def part(whole, tmp_path_factory):
    return imported("entity-classification", whole.folder, tmp_path_factory.mktemp("part") / "data")


def test_the_part_is_the_test_side_of_the_inductive_split_without_what_is_asked(whole, part):
    sides = {row["entity"]: row["inductive_split"] for row in whole.read("entities").to_pylist()}
    own = {entity for entity, side in sides.items() if side == "test"}
    assert {row["entity"] for row in part.read("entities").to_pylist()} == own
    assert len(own) == 120
    inside = [fact for fact in facts(whole) if fact[0] in own and fact[2] in own]
    assert facts(part, "train") == [fact for fact in inside if fact[1] != "P31"]
    assert part.manifest.rest["drops"]["triples"] == {"instance_of": len(inside) - len(facts(part))}
    rest = {end for head, _, tail in facts(whole) if "train" == sides[head] == sides[tail] for end in (head, tail)}
    assert rest and not rest & own


def test_entities_keep_what_was_said_of_them(whole, part):
    said = {row["entity"]: row for row in whole.read("entities").to_pylist()}
    for row in part.read("entities").to_pylist():
        for name in ("label", "description", "text", "text_mention", "categories", "kind"):
            assert row[name] == said[row["entity"]][name], name


def test_a_fifth_is_train_a_fifth_valid_and_the_cuts_are_nested(part):
    rows = part.read("examples").to_pylist()
    assert {row["task"] for row in rows} == {"entity-classification"} and len(rows) == 120
    splits = {name: sum(row["split"] == name for row in rows) for name in ("train", "valid", "test")}
    assert 12 <= splits["train"] <= 36 and 12 <= splits["valid"] <= 36 and splits["test"] >= 55
    assert {row["group"] for row in rows if row["split"] == "train"} <= {"train-5", "train-20", "train-100"}
    assert {row["group"] for row in rows if row["split"] != "train"} == {"valid", "test"}
    assert {row["label"] for row in rows} == {"a"}, "the more frequent class of the two"


def test_it_is_a_valid_dataset_and_the_same_again(whole, part, tmp_path, capsys):
    assert main(["validate", str(part.folder)]) == 0
    again = imported("entity-classification", whole.folder, tmp_path / "again")
    assert again.digest == part.digest
    capsys.readouterr()


def test_without_an_inductive_split_or_classes_it_says_how_to_make_them(whole, tmp_path):
    bare = imported("tsv", published(tmp_path / "files").parent.parent, tmp_path / "bare")
    with pytest.raises(DataError, match=r"0 entities on the test side .* --split inductive"):
        Read("entity-classification", bare.folder)
    unlabelled = imported("tsv", tmp_path / "files", tmp_path / "u", split="inductive", valid=12, test=120)
    with pytest.raises(DataError, match=r"120 entities .* 0 with a class.*--types"):
        Read("entity-classification", unlabelled.folder)
