"""One's own graph from tab-separated files: what the options do, against the rules said slowly."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.validate import validate
from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import facts, imported, lines, write

NAMES = ["Q2", "Q10", "P2", "ä", "b", "node 3", "😀"]
ROWS = st.lists(
    st.tuples(*(st.sampled_from(NAMES), st.sampled_from(["P1", "knows"]), st.sampled_from(NAMES))),
    min_size=1,
    max_size=25,
)
TOLD = st.lists(st.tuples(st.sampled_from([*NAMES, "alone"]), st.sampled_from(["one", "two's", ""])), max_size=12)
FAMILY = [f"p{i} {relation} p{j}" for i in range(12) for j in range(12) for relation in ("knows", "likes") if i < j]


def joined(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


@settings(max_examples=12)
@given(ROWS, TOLD, TOLD, st.sampled_from(["official", "transductive"]), st.randoms(use_true_random=False))
def test_neither_the_order_of_lines_nor_a_copy_of_a_file_changes_the_dataset(
    tmp_path_factory, rows, told, longer, split, chance
):
    folder = tmp_path_factory.mktemp("tsv")
    rows = [(*row, chance.choice(["train", "valid", "test"])) for row in rows] if split == "official" else rows
    digests = set()
    for number in range(2):
        files = {"triples.tsv": joined(rows), "entities.tsv": joined(told), "relations.tsv": "knows\tknows\tsomebody\n"}
        source = write(folder / f"in{number}", {**files, "long.tsv": joined(longer)})
        made = imported("tsv", source, folder / f"out{number}", split=split, text=source / "long.tsv")
        assert list(validate(made.folder)) == []
        digests.add(made.digest)
        rows, told, longer = (chance.sample(own, len(own)) for own in (rows, told, longer))
    assert len(digests) == 1


@given(ROWS)
@settings(max_examples=10)
def test_counts_are_of_train_and_every_line_is_accounted_for(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tsv")
    chosen = [(*row, ("train", "valid", "test")[i % 3]) for i, row in enumerate(rows)]
    made = imported("tsv", write(folder / "in", {"triples.tsv": joined(chosen)}), folder / "out")
    assert facts(made) == sorted(rows)
    train = [row for row in chosen if row[3] == "train"]
    out, into, relations = (Counter(row[i] for row in train) for i in (0, 2, 1))
    entities = made.read("entities").to_pylist()
    assert {row["entity"] for row in entities} == {name for row in rows for name in (row[0], row[2])}
    for row in entities:
        assert (row["out_degree"], row["in_degree"]) == (out[row["entity"]], into[row["entity"]])
    for row in made.read("relations").to_pylist():
        assert row["frequency"] == relations[row["relation"]]
    stage = made.manifest.rest["stages"]["graph"]
    assert stage["in"] == len(rows) == stage["out"]["triples"]


def test_of_two_lines_the_one_that_says_something_wins_and_of_two_that_do_the_larger_in_utf8(tmp_path):
    source = write(
        tmp_path / "in",
        {"triples.tsv": "a\tr\tb\n", "entities.tsv": "a\t\na\tAda\nb\tabc\nb\tzoo's\n", "relations.tsv": ""},
    )
    made = imported("tsv", source, tmp_path / "out")
    assert {row["entity"]: row["label"] for row in made.read("entities").to_pylist()} == {"a": "Ada", "b": "zoo's"}


def test_labels_descriptions_and_longer_texts(tmp_path):
    source = write(
        tmp_path / "in",
        {
            "triples.tsv": "a\tr\tb\nb\tr\tc\n",
            "entities.tsv": "a\tAda\tshort\nb\tBob\nalone\tSolo\nd\n",
            "relations.tsv": "r\tis with\tof two people\nunused\tno one\n",
            "long.tsv": "a\tAda is a\tlong story\nnobody\tx\nb\t\n",
            "types.tsv": "a\tperson\na\tartist\nb\tperson\nb\tperson\nnobody\tperson\n",
        },
    )
    made = imported("tsv", source, tmp_path / "out", text=source / "long.tsv", types=source / "types.tsv")
    rows = {row["entity"]: row for row in made.read("entities").to_pylist()}
    assert list(validate(made.folder)) == []
    shown = {name: (row["label"], row["text"], row["text_source"], row["categories"]) for name, row in rows.items()}
    assert shown == {
        "a": ("Ada", "Ada is a\tlong story", "description", ["artist", "person"]),
        "b": ("Bob", "Bob", "label", ["person"]),
        "c": (None, "", "none", []),
        "d": (None, "", "none", []),
        "alone": ("Solo", "Solo", "label", []),
    }
    assert rows["a"]["text_mention"] == {"start": 0, "end": 3}
    relations = {row["relation"]: (row["label"], row["description"]) for row in made.read("relations").to_pylist()}
    assert relations == {"r": ("is with", "of two people"), "unused": ("no one", None)}
    drops = made.manifest.rest["drops"]
    assert drops["--text long.tsv"] == {"empty": 1, "not_in_graph": 1}
    assert drops["--types types.tsv"] == {"duplicate_line": 1, "not_in_graph": 1}


def test_official_splits_keep_what_is_there_twice_and_new_ones_do_not(tmp_path):
    rows = lines(
        "a r b train", "a r b train", "a r b test", "c r a valid", "c r b valid_negatives", "a r b test_negatives"
    )
    source = write(tmp_path / "in", {"triples.tsv": rows})
    official = imported("tsv", source, tmp_path / "official")
    assert [official.rows("triples", split) for split in official.table("triples").splits] == [2, 1, 1, 1, 1]
    assert official.manifest.rest["graph"]["repeats"] == {
        "duplicate_triples": 1,
        "triples_of_two_splits": 1,
        "negatives_that_are_facts": 1,
    }
    assert {row["label"] for row in official.read("triples", "test_negatives").to_pylist()} == {False}
    new = imported("tsv", source, tmp_path / "new", split="transductive")
    assert new.manifest.rest["drops"]["graph"] == {"duplicate_triple": 2}
    assert sum(new.rows("triples", split) for split in ("train", "valid", "test")) == 2
    assert list(validate(official.folder)) + list(validate(new.folder)) == []


def test_new_splits_have_the_sizes_that_are_asked_for(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": lines(*FAMILY)})
    made = imported("tsv", source, tmp_path / "out", split="transductive", valid=8, test=6)
    assert [made.rows("triples", split) for split in ("train", "valid", "test")] == [len(FAMILY) - 14, 8, 6]
    chain = [f"n{i} next n{i + 1}" for i in range(80)] + [f"n{i} after n{i + 2}" for i in range(78)]
    source = write(tmp_path / "chain", {"triples.tsv": lines(*chain)})
    cut = imported("tsv", source, tmp_path / "cut", split="inductive", valid=10, test=10)
    sides = Counter(row["inductive_split"] for row in cut.read("entities").to_pylist())
    assert (sides["valid"], sides["test"]) == (10, 10)
    assert list(validate(made.folder)) + list(validate(cut.folder)) == []


def test_a_smaller_train_fraction_is_part_of_a_larger_one_and_no_entity_is_lost(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": lines(*(f"{row} train" for row in FAMILY), "p0 knows p0 test")})
    made = {share: imported("tsv", source, tmp_path / str(share), train_fraction=share) for share in (0.1, 0.5, 1.0)}
    kept = {share: set(facts(dataset, "train")) for share, dataset in made.items()}
    assert kept[0.1] < kept[0.5] < kept[1.0] == {tuple(row.split()) for row in FAMILY}
    assert abs(len(kept[0.5]) - 66) < 25
    for dataset in made.values():
        assert dataset.rows("triples", "test") == 1
        assert dataset.rows("entities") == 12
        stage, dropped = dataset.manifest.rest["stages"]["graph"], dataset.manifest.rest["drops"].get("graph", {})
        assert stage["in"] == stage["out"]["triples"] + sum(dropped.values())
        assert list(validate(dataset.folder)) == []


CHAINS = [
    f"{part}{i} r{i % 2} {part}{i + 1} {'valid' if i % 10 == 4 else 'train'}" for part in "abc" for i in range(30)
]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (FAMILY, {"split": "transductive", "valid": 20, "test": 20, "train_fraction": 0.05}),
        ([*CHAINS, "x r0 y test"], {"split": "inductive", "valid": 2, "test": 2}),
        ([*CHAINS, "x r0 y test"], {"split": "inductive", "valid": 2, "test": 2, "train_fraction": 0.3}),
    ],
)
def test_what_train_lacks_by_publication_or_fraction_is_no_fault_of_the_dataset(tmp_path, rows, options):
    made = imported("tsv", write(tmp_path / "in", {"triples.tsv": lines(*rows)}), tmp_path / "out", **options)
    train, held_out = (
        {name for split in splits for row in facts(made, split) for name in (row[0], row[2])}
        for splits in (["train"], ["valid", "test"])
    )
    assert held_out - train, "nothing is lacking, so nothing is tested"
    assert list(validate(made.folder)) == []


def test_a_new_split_without_a_fraction_still_has_to_cover_valid_and_test(tmp_path):
    rows = [*CHAINS, "x r0 y test"]
    source = write(tmp_path / "in", {"triples.tsv": lines(*rows)})
    made = imported("tsv", source, tmp_path / "out", split="inductive", valid=2, test=2)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["graph"]["split"]["published"] = False
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    assert any("that train has not" in problem for problem in validate(made.folder))


def test_a_header_is_told_from_data(tmp_path):
    for name, line in (("triples.tsv", "Head relation tail"), ("entities.tsv", "id label description")):
        source = write(tmp_path / name, {"triples.tsv": lines(*FAMILY), "relations.tsv": ""})
        write(source, {name: lines(line, *FAMILY)})
        with pytest.raises(DataError, match=f"{name}, line 1: expected no header"):
            imported("tsv", source, tmp_path / "out")


def test_a_line_with_other_columns_than_the_first_is_told_so(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": lines("a r b train", "a r c")})
    with pytest.raises(DataError, match=r"line 2: expected head TAB .* with 4 columns, as in its first line"):
        imported("tsv", source, tmp_path / "out")


def test_a_file_in_place_of_its_folder_is_told_so(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": lines("a r b")})
    with pytest.raises(DataError, match=r"is a file\. Give --from the folder"):
        imported("tsv", source / "triples.tsv", tmp_path / "out")


def test_excluded_facts_are_away_and_counted_and_no_other(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": lines(*FAMILY)})
    listed = [*FAMILY[:5], "p1 knows nobody", FAMILY[0]]
    (tmp_path / "listed.tsv").write_text(lines(*listed))
    made = imported("tsv", source, tmp_path / "out", exclude_triples=tmp_path / "listed.tsv")
    assert facts(made) == sorted(tuple(row.split()) for row in FAMILY[5:])
    assert made.manifest.rest["graph"]["excluded_triples"] == {"listed": 6, "found": 5, "removed": 5}
    assert made.manifest.rest["drops"]["graph"] == {"excluded": 5}


def test_types_as_json(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": "a\tr\tb\n", "t.json": json.dumps({"a": ["x", "w"], "z": ["x"]})})
    made = imported("tsv", source, tmp_path / "out", types=source / "t.json")
    assert {row["entity"]: row["categories"] for row in made.read("entities").to_pylist()} == {"a": ["x", "w"], "b": []}


def test_types_of_wikidata_items_are_those_of_the_freebase_ids_that_stand_for_them(tmp_path):
    files = {
        "train.txt": lines("/m/1 r /m/2", "/m/3 r /m/1"),
        "valid.txt": lines("/m/2 r /m/1"),
        "test.txt": lines("/m/2 r /m/4"),
    }
    known = {"/m/1": {"wikidata_id": "Q1"}, "/m/2": {"wikidata_id": "Q2"}, "/m/3": {"wikidata_id": "Q1"}, "/m/4": {}}
    types = {"Q1": ["Q5"], "Q2": ["Q7", "Q5"], "/m/4": ["Q9"], "Q8": ["Q5"]}
    source = write(tmp_path / "in", {**files, "entity2wikidata.json": json.dumps(known)})
    (tmp_path / "types.json").write_text(json.dumps(types))
    made = imported("fb15k-237", source, tmp_path / "out", types=tmp_path / "types.json")
    found = {row["entity"]: row["categories"] for row in made.read("entities").to_pylist()}
    assert found == {"/m/1": ["Q5"], "/m/3": ["Q5"], "/m/2": ["Q7", "Q5"], "/m/4": ["Q9"]}
    assert made.manifest.rest["drops"]["--types types.json"] == {"not_in_graph": 1}


def test_names_that_look_like_items_come_by_number(tmp_path):
    source = write(
        tmp_path / "in", {"triples.tsv": lines(*(f"Q{n} P{n} Q{n}" for n in (10, 9, 100)), "z P2 z", "P9 P1 P9")}
    )
    made = imported("tsv", source, tmp_path / "out", split="transductive", valid=0, test=0)
    assert made.read("entities")["entity"].to_pylist() == ["P9", "Q9", "Q10", "Q100", "z"]
    assert made.read("relations")["relation"].to_pylist() == ["P1", "P2", "P9", "P10", "P100"]
    assert list(validate(made.folder)) == []


def test_another_dataset_is_not_overwritten_and_the_same_import_is_repeated(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": "a\tr\tb\n"})
    one = imported("tsv", source, tmp_path / "out").digest
    assert imported("tsv", source, tmp_path / "out").digest == one
    write(tmp_path / "umls", dict.fromkeys(("train.tsv", "dev.tsv", "test.tsv"), "a\tr\tb\n"))
    with pytest.raises(DataError, match=r"holds another dataset \(tsv\)"):
        imported("umls", tmp_path / "umls", tmp_path / "out")


def test_wrong_options_are_one_line(tmp_path):
    source = write(tmp_path / "in", {"triples.tsv": "a\tr\tb\n"})
    for options, words in (
        ({"split": "official"}, "have no split"),
        ({"split": "official", "valid": 3}, "the official splits have their size"),
        ({"train_fraction": 0.0}, "expected a share above 0"),
        ({"valid": -1}, "--valid -1"),
    ):
        with pytest.raises(UsageError, match=words):
            imported("tsv", source, tmp_path / "out", **options)
    split = write(tmp_path / "split", {"triples.tsv": "a\tr\tb\ttrain\n"})
    with pytest.raises(UsageError, match="the files have splits"):
        imported("tsv", split, tmp_path / "out", test=3)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="Did you mean wn18rr"):
        imported("wn18r", source, tmp_path / "out")
    with pytest.raises(DataError, match="No inductive split"):
        imported("tsv", source, tmp_path / "out", split="inductive", valid=5, test=5)
