"""wikiloom link: files in, JSON lines or Parquet out, and every way to give a wrong file."""

import json

import pyarrow.parquet as pq
import pytest

from tests.training.links import write_links
from wikiloom import main


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_links(tmp_path_factory.mktemp("links") / "d")


def link(*words):
    return main(["link", *map(str, words)])


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_line_is_a_text_and_every_link_says_its_line(dataset, tmp_path, capsys):
    texts = write(tmp_path, "texts.txt", "\ufeffIn Paris\r\n\nParis Hilton\u2028in France")
    assert link(dataset, "--text", texts) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [list(row) for row in rows] == [["line", "start", "end", "entity", "score"]] * 3
    assert [(row["line"], row["start"], row["end"], row["entity"]) for row in rows] == [
        (1, 3, 8, "Q90"),
        (3, 0, 12, "Q47899"),
        (3, 16, 22, "Q142"),
    ]
    assert "3 texts, 3 links" in said.err


def test_a_jsonl_file_may_give_the_mentions(dataset, tmp_path, capsys):
    lines = [
        {"id": 1, "text": "Paris\nHilton", "mentions": [{"start": 6, "end": 12}, {"start": 0, "end": 5}]},
        {"text": "Paris\nFrance"},
        {"text": "Paris", "mentions": []},
    ]
    texts = write(tmp_path, "texts.jsonl", "\n".join(map(json.dumps, lines)))
    assert link(dataset, "--text", texts) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [(row["line"], row["start"], row["entity"]) for row in rows] == [
        (1, 6, None),
        (1, 0, "Q90"),
        (2, 0, "Q90"),
        (2, 6, "Q142"),
    ]
    assert (rows[0]["score"], rows[1]["score"]) == (0, 0.6)
    assert "3 texts, 3 links, 1 given mentions without a candidate" in said.err


def test_parquet_has_the_same_rows_and_documents_itself(dataset, tmp_path, capsys):
    texts = write(tmp_path, "texts.txt", "In Paris\nParis Hilton in France\n")
    assert link(dataset, "--text", texts) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert link(dataset, "--text", texts, "--out", tmp_path / "new/links.parquet") == 0
    found = pq.read_table(tmp_path / "new/links.parquet")
    assert found.to_pylist() == expected
    assert found.schema.field("start").metadata[b"doc"].startswith(b"first code point")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["links.parquet"]


def test_no_link_is_an_empty_file(dataset, tmp_path):
    assert link(dataset, "--text", write(tmp_path, "t.txt", ""), "--out", tmp_path / "o.parquet") == 0
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"Paris\n\xff", "t.txt, line 2: not UTF-8"),
        ("t.jsonl", '{"text": "a"}\n{"text": 1}', "t.jsonl, line 2: text:"),
        ("t.jsonl", "Paris", "t.jsonl, line 1: Invalid JSON"),
        (
            "t.jsonl",
            '{"text": "Paris", "mentions": [{"start": 0, "end": 6}]}',
            "mention 0-6 in a text of 5 code points",
        ),
        ("t.jsonl", '{"text": "Paris", "mentions": [{"start": 2, "end": 2}]}', "mention 2-2"),
        ("t.jsonl", '{"text": "Paris", "mentions": [{"start": -1, "end": 2}]}', "mentions.0.start"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_place(dataset, tmp_path, capsys, name, content, message):
    out = tmp_path / "o.parquet"
    assert link(dataset, "--text", write(tmp_path, name, content), "--out", out) == 1
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--text", "nothing.txt"], 1, "nothing.txt can't be read"),
        ([], 2, "--text"),
        (["--text", "x", "--set", "min_lnk=1"], 2, "Did you mean min_link"),
        (["--text", "x", "--set", "min_link=2"], 2, "min_link=2"),
        (["--text", "x", "--run", "nothing"], 1, "nothing is not a run"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_helps(dataset, capsys, words, code, message):
    assert link(dataset, *words) == code
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1
