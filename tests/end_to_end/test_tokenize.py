"""wikiloom tokenize: the same tokens however it runs; the dataset stays as it is."""

import itertools
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines import tokens
from pipelines.validate import validate
from schemas.dataset import Dataset
from schemas.hashing import random_u64
from schemas.manifest import read_manifest
from tests.conftest import digest, wikiloom
from tests.end_to_end.test_kills import FORKS, count_files
from tests.pipelines import tokenizers
from wikiloom import main


@pytest.fixture(scope="module")
def tokenizer(demo_dataset, tmp_path_factory):
    """A folder with the tokenizer.json of a byte-level BPE, made of the examples' words."""
    folder = tmp_path_factory.mktemp("tokenizer") / "bytes"
    folder.mkdir()
    texts = Dataset(demo_dataset).read("pages", None, ["text"])["text"].to_pylist()
    tokenizers.byte_level(texts, 1_000).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def dataset(demo_dataset, tmp_path):
    """A dataset of one's own, without the work files."""
    return shutil.copytree(demo_dataset, tmp_path / "d", ignore=shutil.ignore_patterns(".build"))


@pytest.fixture(scope="module")
def whole(demo_dataset, tokenizer, tmp_path_factory):
    """A copy of the examples' dataset with tokens/bytes, made in one go."""
    out = tmp_path_factory.mktemp("whole") / "d"
    shutil.copytree(demo_dataset, out, ignore=shutil.ignore_patterns(".build"))
    tokenize(out, tokenizer)
    return out


def tokenize(folder, tokenizer, *more):
    """The command in this process: Beam is imported once for all tests."""
    assert main(list(map(str, ["tokenize", folder, "--tokenizer", tokenizer, *more]))) == 0


def document(folder):
    return json.loads((folder / "tokens/bytes/manifest.json").read_text())


def test_the_dataset_stays_as_it_is_and_the_manifest_says_what_was_made(whole, demo_dataset, tokenizer):
    assert digest(whole) == digest(demo_dataset)
    assert list(validate(whole)) == []
    manifest = document(whole)
    assert manifest["dataset"] == digest(demo_dataset)
    assert (manifest["tokenizer_name"], manifest["parameters"]) == ("bytes", {"max_length": 512})
    assert (manifest["vocab_size"], manifest["special"]["mask"]) == (1_000, 4)
    assert str(whole) not in json.dumps(manifest) and str(tokenizer) not in json.dumps(manifest)
    for table, counts in manifest["tokens"].items():
        assert counts["in"] == counts["out"] + sum(manifest["drops"].get(table, {}).values()) > 0
    made = Dataset(whole).tokens("bytes")
    for table in ("wk_graphs", "entities", "relations", "pages"):
        assert made.rows(table) == Dataset(whole).rows(table)
    columns = {"wk_graphs": ["units", "mention_ids"], "pages": ["ids"], "entities": ["ids", "name_ids"]}
    for table, names in columns.items():
        rows = made.read(table, None, names)
        written = sum(len(ids) for name in names for ids in rows[name].to_pylist())
        marks = sum(unit < 0 for units in rows["units"].to_pylist() for unit in units) if table == "wk_graphs" else 0
        assert written - marks == manifest["tokens"][table]["out"]


def test_show_prints_the_nodes_that_a_model_reads(whole, capsys):
    graph = next(row for row in Dataset(whole).read("wk_graphs").to_pylist() if row["triples"])
    [row] = [
        row
        for row in Dataset(whole).tokens("bytes").read("wk_graphs").to_pylist()
        if row["graph_id"] == graph["graph_id"]
    ]
    assert main(["show", str(whole), "--graph", str(graph["graph_id"]), "--tokens", "bytes"]) == 0
    said = capsys.readouterr().out
    nodes = said.splitlines()
    nodes = [line.split() for line in nodes[next(i for i, line in enumerate(nodes) if "position" in line) :]]
    nodes = [words for words in nodes if words and words[0].isdigit()]
    shown = [words[2] if words[1] == "entity," else words[1] for words in nodes]
    assert shown.count("word") == sum(unit >= 0 for unit in row["units"]) + 2
    assert (shown.count("anchor"), shown.count("relation")) == (len(row["anchors"]), len(row["triples"]))
    assert [int(words[0]) for words in nodes] == list(range(len(nodes)))
    assert main(["show", str(whole), "--graph", str(graph["graph_id"]), "--tokens", "nothing"]) == 1
    assert "has no tokens/nothing" in capsys.readouterr().err


def test_texts_are_whole_and_descriptions_are_cut_and_counted(dataset, tokenizer):
    tokenize(dataset, tokenizer, "--max-length", 8)
    data, made = Dataset(dataset), Dataset(dataset).tokens("bytes")
    library = tokenizers.Tokenizer.from_file(str(tokenizer / "tokenizer.json"))

    def encode(texts):
        return [library.encode(text, add_special_tokens=False).ids for text in texts]

    pages, texts = made.read("pages").to_pylist(), data.read("pages", None, ["text"])["text"].to_pylist()
    assert [row["ids"] for row in pages] == encode(texts)
    assert [library.decode(row["ids"]) for row in pages] == texts
    entities, rows = data.read("entities").to_pylist(), made.read("entities").to_pylist()
    whole = encode(row["text"] for row in entities)
    assert [row["ids"] for row in rows] == [ids[:8] for ids in whole]
    names = encode(row["label"] or row["entity"] for row in entities)
    assert [row["name_ids"] for row in rows] == [ids[:8] for ids in names]
    cut = [max(len(ids) - 8, 0) for ids in [*whole, *names]]
    assert document(dataset)["drops"]["entities"]["too_long"] == sum(cut) > 0
    assert document(dataset)["tokens"]["entities"]["texts_cut"] == sum(tokens > 0 for tokens in cut)
    relations, rows = data.read("relations").to_pylist(), made.read("relations").to_pylist()
    described = [
        f"{row['label']}: {row['description']}" if row["description"] else row["label"] or row["relation"]
        for row in relations
    ]
    assert [row["ids"] for row in rows] == [ids[:8] for ids in encode(described)]


def test_links_and_own_mentions_are_spans_of_their_tokens(whole, tokenizer):
    data, made = Dataset(whole), Dataset(whole).tokens("bytes")
    library = tokenizers.Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    index = {entity: place for place, entity in enumerate(data.read("entities")["entity"].to_pylist())}
    known = 0
    for page, row in zip(data.read("pages").to_pylist(), made.read("pages").to_pylist(), strict=True):
        links = [link for link in page["links"] if link["entity"] in index]
        known += len(links)
        said = [library.decode(row["ids"][m["start"] : m["end"]]) for m in row["mentions"]]
        left = [(index[link["entity"]], page["text"][link["start"] : link["end"]]) for link in links]
        for mention, words in zip(row["mentions"], said, strict=True):
            place = next(i for i, (entity, text) in enumerate(left) if entity == mention["entity_index"])
            assert left[place][1] in words
            assert mention["source"] == ["link", "self", "repeat"].index(links[place]["source"])
            del left[: place + 1], links[: place + 1]
    assert known - document(whole)["tokens"]["pages"].get("links_without_tokens", 0) == sum(
        len(row["mentions"]) for row in made.read("pages").to_pylist()
    )
    named = 0
    for entity, row in zip(data.read("entities").to_pylist(), made.read("entities").to_pylist(), strict=True):
        mention = entity["text_mention"]
        assert (mention is None) == (row["mention_start"] == -1)
        if mention is not None:
            words = library.decode(row["ids"][row["mention_start"] : row["mention_end"]])
            assert entity["text"][mention["start"] : mention["end"]] in words
            named += 1
    assert named > 10 and known > 100


@pytest.mark.parametrize("range_bytes", [1, 200_000])
def test_ranges_of_any_size_have_the_same_digest(whole, dataset, tokenizer, monkeypatch, range_bytes):
    plan = tokens.plan_row_groups
    planned = []

    def plan_small(path, sizes, _):
        pieces = list(plan(path, sizes, range_bytes))
        planned.extend(pieces)
        return iter(pieces)

    monkeypatch.setattr(tokens, "plan_row_groups", plan_small)
    tokenize(dataset, tokenizer)
    assert len(planned) > 4
    assert digest(dataset / "tokens/bytes") == digest(whole / "tokens/bytes")


def test_planned_ranges_cover_every_row_group_once():
    path = Path("x.parquet")
    for sizes, limit in itertools.product(([], [5], [1, 1, 1, 9, 1], [9, 9]), (1, 3, 100)):
        pieces = list(tokens.plan_row_groups(path, sizes, limit))
        assert [group for _, first, end in pieces for group in range(first, end)] == list(range(len(sizes)))
        assert all(sum(sizes[first:end]) <= limit or end - first == 1 for _, first, end in pieces)


class Stop(Exception):
    """What a test puts in the place of a kill."""


def test_stopped_before_any_range_or_merge_it_goes_on_and_ends_with_the_same_digest(
    whole, dataset, tokenizer, monkeypatch
):
    made, limit = [], 0
    run_jobs = tokens.run_jobs

    def until_limit(label, jobs, function, options):
        def one(job):
            if len(made) == limit:
                raise Stop
            made.append(job.folder)
            function(job)

        for job in jobs:  # Beam would wrap the exception
            if not job.marker.exists():
                one(job)
        run_jobs(label, jobs, function, options)

    monkeypatch.setattr(tokens, "run_jobs", until_limit)
    while True:
        try:
            tokenize(dataset, tokenizer)
            break
        except Stop:
            limit += 1
            assert not (dataset / "tokens/bytes/manifest.json").exists()
    assert limit > 3
    assert len(made) == len(set(made))
    assert digest(dataset / "tokens/bytes") == digest(whole / "tokens/bytes")
    assert not (dataset / "tokens/bytes/.build").exists()


def run(words):
    """The command in a child; what it says is not of interest."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    raise SystemExit(main(list(map(str, words))))


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_digest(whole, dataset, tokenizer):
    words, killed = ["tokenize", dataset, "--tokenizer", tokenizer], 0
    for moment in sorted((random_u64(0, "kill", np.arange(10)) % np.uint64(60)).tolist()):
        process = FORKS.Process(target=run, args=(words,))
        process.start()
        while process.is_alive() and count_files(dataset / "tokens") < moment:
            time.sleep(0.001)
        process.kill()
        process.join()
        killed += process.exitcode != 0
    tokenize(dataset, tokenizer)
    assert killed > 3
    assert digest(dataset / "tokens/bytes") == digest(whole / "tokens/bytes")
    assert list(validate(dataset)) == []


def test_done_it_is_left_alone_and_changed_it_is_made_again(whole, dataset, tokenizer, tmp_path):
    tokenize(dataset, tokenizer)
    manifest = dataset / "tokens/bytes/manifest.json"
    before = manifest.stat().st_mtime_ns
    tokenize(dataset, tokenizer, "--range-mb", 1)
    tokenize(dataset, dataset / "tokens/bytes")  # from the copy beside the tokens
    assert manifest.stat().st_mtime_ns == before
    next((dataset / "tokens/bytes/pages").glob("*")).unlink()
    tokenize(dataset, tokenizer)
    assert list(validate(dataset)) == []
    tokenize(dataset, tokenizer, "--max-length", 9)
    assert digest(dataset / "tokens/bytes") != digest(whole / "tokens/bytes")
    shutil.copytree(tokenizer, tmp_path / "bytes")
    text = (tokenizer / "tokenizer.json").read_text()
    (tmp_path / "bytes/tokenizer.json").write_text(text + "\n")
    tokenize(dataset, tmp_path / "bytes")
    assert read_manifest(dataset / "tokens/bytes").rest["tokenizer"] != document(whole)["tokenizer"]
    assert digest(dataset / "tokens/bytes") == digest(whole / "tokens/bytes")
    assert list(validate(dataset)) == []


@pytest.mark.slow
def test_two_worker_processes_have_the_same_digest(whole, dataset, tokenizer):
    done = wikiloom("tokenize", dataset, "--tokenizer", tokenizer, "--workers", 2)
    assert done.stderr == ""
    assert digest(dataset / "tokens/bytes") == digest(whole / "tokens/bytes")


def with_json(tokenizer, folder, change):
    """A tokenizer that is not quite one."""
    found = json.loads((tokenizer / "tokenizer.json").read_text())
    change(found)
    (folder / "t").mkdir()
    (folder / "t/tokenizer.json").write_text(json.dumps(found))
    return folder / "t"


def without_unknown(found):
    """WordPiece that raises where it meets a word it does not know, but not before."""
    found["model"] = {"type": "WordPiece", "unk_token": "[x]", "continuing_subword_prefix": "##"}
    found["model"] |= {"max_input_chars_per_word": 100, "vocab": found_vocabulary()}
    found["pre_tokenizer"] = {"type": "WhitespaceSplit"}


def found_vocabulary():
    return {token: number for number, token in enumerate(tokenizers.ROBERTA)}


HOSTILE = {
    "no-json": (lambda found: found.clear(), "no tokenizer"),
    "wrong-type": (lambda found: found.update(model=7), "no tokenizer"),
    "wrong-model": (lambda found: found["model"].update(vocab=["a"]), "no tokenizer"),
    "unknown-part": (lambda found: found.update(pre_tokenizer={"type": "Exec", "code": "x"}), "no tokenizer"),
    "not-a-masked-lm": (lambda found: found.update(added_tokens=[], model=plain_model()), "no <s> or"),
    "huge-id": (lambda found: found["model"]["vocab"].update(zz=2**31 + 5), "has id 2147483653"),
    "raises-when-used": (without_unknown, "can't be used"),
}


def plain_model():
    return {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_or_hostile_tokenizer_is_one_clear_line(name, dataset, tokenizer, tmp_path, capfd):
    change, message = HOSTILE[name]
    folder = with_json(tokenizer, tmp_path, change)
    assert main(["tokenize", str(dataset), "--tokenizer", str(folder)]) == 1
    said = capfd.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (dataset / "tokens/t/manifest.json").exists()


def test_a_tokenizer_json_that_is_too_large_is_not_read(dataset, tmp_path, capsys):
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(100 * 2**20)
    assert main(["tokenize", str(dataset), "--tokenizer", str(tmp_path), "--name", "x"]) == 1
    assert "104,857,600 bytes, expected at most" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x", "x" * 200, ""])
def test_a_name_that_leaves_tokens_is_refused(dataset, tokenizer, capsys, name):
    words = ["tokenize", str(dataset), "--tokenizer", "." if not name else str(tokenizer), "--name", name]
    assert main(words) == 2
    assert "--name" in capsys.readouterr().err


def test_tokens_are_not_written_through_a_link(dataset, tokenizer, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (dataset / "tokens").mkdir()
    (dataset / "tokens/bytes").symlink_to(tmp_path / "elsewhere")
    assert main(["tokenize", str(dataset), "--tokenizer", str(tokenizer)]) == 1
    assert "symbolic link" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_model_of_the_hub_is_one_clear_line_without_a_network(dataset, capsys):
    assert main(["tokenize", str(dataset), "--tokenizer", "FacebookAI/roberta-base"]) == 1
    said = capsys.readouterr().err
    assert "FacebookAI/roberta-base is no folder with tokenizer.json, nor could the hub give it" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"), [(["--worker", "2"], "--workers"), (["--max-length", "1"], "--max-length 1: expected 8")]
)
def test_a_wrong_option_is_named_with_its_command(dataset, tokenizer, words, message, capsys):
    assert main(["tokenize", str(dataset), "--tokenizer", str(tokenizer), *words]) == 2
    assert message in capsys.readouterr().err
