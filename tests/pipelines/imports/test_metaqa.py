"""MetaQA: the movie graph and its questions, in both layouts."""

import pytest

from schemas.errors import DataError
from tests.pipelines.imports.reading import Read, surfaces


def write(folder, files):
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


BY_ID = {
    "train.tsv": ["0\t0\t1", "0\t1\t2", "0\t0\t1"],
    "dev.tsv": ["0\t0\t1"],
    "test.tsv": ["3\t0\t1"],
    "entity2text.txt": ["0\tKismet", "1\tWilliam Dieterle", "2\t1944", "3\tOther Film", "4\tAlone"],
    "relation2text.txt": ["0\tdirected by", "1\trelease year"],
    "1-hop/dev.txt": ["who directed [Kismet]\tWilliam Dieterle"],
    "2-hop/test.txt": ["films by the director of [Kismet] ?\tOther Film|Kismet|Nobody|Kismet", "[Nobody]\tNobody"],
}
PUBLISHED = {
    "kb.txt": ["Kismet|directed_by|William Dieterle", "Kismet|release_year|1944"],
    "1-hop/vanilla/qa_train.txt": ["who directed [Kismet]\tWilliam Dieterle"],
    "3-hop/vanilla/qa_dev.txt": ["who knows [Somebody]\t1944"],
}


def facts(found):
    return [(row["head"], row["relation"], row["tail"], row["part"]) for row in found.source.facts.to_pylist()]


def test_by_ids_every_triple_is_train_once_and_names_become_entities(tmp_path):
    write(tmp_path, BY_ID)
    found = Read("metaqa", tmp_path)
    assert facts(found) == [("0", "0", "1", 0), ("0", "1", "2", 0), ("3", "0", "1", 0)]
    assert found.counts["train.tsv"] == (3, {"duplicate_triple": 1})
    assert found.counts["dev.tsv"] == (1, {"duplicate_triple": 1})
    assert found.told("entities", "label")["4"] == "Alone", "also one without a triple"
    assert found.told("relations", "label") == {"0": "directed by", "1": "release year"}
    one, two = found.rows
    assert (one["task"], one["group"], one["split"], one["text"]) == ("kgqa", "1-hop", "valid", "who directed Kismet")
    assert (one["answers"], surfaces(one)) == (["1"], [("topic", "0", "Kismet")])
    assert (two["group"], two["split"], two["answers"]) == ("2-hop", "test", ["3", "0"])
    assert two["text"] == "films by the director of Kismet ?"
    assert found.counts["answers"] == (6, {"not_in_graph": 2, "repeated": 1})
    assert found.rejects == [("2-hop test", "2-hop/test/000001", "no_answer_in_graph")]


def test_as_published_names_are_the_entities_and_a_topic_that_the_graph_lacks_has_none(tmp_path):
    write(tmp_path, PUBLISHED)
    found = Read("metaqa", tmp_path)
    assert facts(found)[0] == ("Kismet", "directed_by", "William Dieterle", 0)
    train, valid = found.rows
    assert (train["split"], train["answers"], surfaces(train)) == (
        "train",
        ["William Dieterle"],
        [("topic", "Kismet", "Kismet")],
    )
    assert (valid["group"], valid["split"], surfaces(valid)) == ("3-hop", "valid", [("topic", None, "Somebody")])


def test_a_topic_may_have_brackets_of_its_own(tmp_path):
    question = "who directed [[REC] 2] then\tWilliam Dieterle"
    write(tmp_path, {**PUBLISHED, "kb.txt": [*PUBLISHED["kb.txt"], "[REC] 2|has_genre|Horror"]})
    write(tmp_path, {"1-hop/vanilla/qa_test.txt": [question]})
    row = next(row for row in Read("metaqa", tmp_path).rows if row["split"] == "test")
    assert (row["text"], surfaces(row)) == ("who directed [REC] 2 then", [("topic", "[REC] 2", "[REC] 2")])


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("dev.tsv", "0\t0", "dev.tsv, line 2: expected head TAB relation TAB tail"),
        ("entity2text.txt", "5", "entity2text.txt, line 6: expected id TAB name"),
        ("1-hop/dev.txt", "who directed Kismet\tWilliam", r"dev.txt, line 2: expected words \[topic\] words TAB"),
        ("1-hop/dev.txt", "who directed [Kismet]", r"line 2: expected words"),
    ],
)
def test_a_line_of_another_form_is_one_clear_line(tmp_path, name, line, message):
    write(tmp_path, {**BY_ID, name: [*BY_ID[name], line]})
    with pytest.raises(DataError, match=message):
        Read("metaqa", tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"), [("test.tsv", "expected test.tsv"), ("entity2text.txt", "expected entity2text.txt")]
)
def test_a_file_that_is_missing_is_named(tmp_path, missing, message):
    write(tmp_path, {name: lines for name, lines in BY_ID.items() if name != missing})
    with pytest.raises(DataError, match=message):
        Read("metaqa", tmp_path)


def test_the_graph_alone_is_no_metaqa(tmp_path):
    write(tmp_path, {name: lines for name, lines in BY_ID.items() if "hop" not in name})
    with pytest.raises(DataError, match="no questions of MetaQA"):
        Read("metaqa", tmp_path)
