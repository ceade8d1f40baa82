"""A user's mistake is an exit code and at most three lines that say what to do; never a traceback."""

import bz2
import gzip
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import DEMO_INPUTS, wikiloom
from wikiloom import main

WIKIPEDIA, WIKIDATA = DEMO_INPUTS[:2], DEMO_INPUTS[2:]
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
NO_PAGES = b'<mediawiki xml:lang="en"><siteinfo></siteinfo></mediawiki>'


def file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def build(tmp_path, *words, wikipedia=WIKIPEDIA, wikidata=WIKIDATA):
    return ["build", *wikipedia, *wikidata, "--out", tmp_path / "out", *words]


def with_table(tmp_path, demo_dataset, change):
    """A copy of the dataset in which one table is changed."""
    copy = tmp_path / "copy"
    shutil.copytree(demo_dataset, copy)
    change(copy)
    return copy


def other_schema(copy):
    path = next((copy / "triples").glob("train-*"))
    pq.write_table(pa.table({"a": [1]}), path)


def cut_manifest(copy):
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text[: len(text) // 2])


def others_project(tmp_path):
    (tmp_path / "project/.build").mkdir(parents=True)
    (tmp_path / "project/examples").mkdir()
    return tmp_path / "project"


def outside(copy):
    document = json.loads((copy / "manifest.json").read_text())
    document["tables"]["pages"]["shards"][0]["path"] = "../x.parquet"
    (copy / "manifest.json").write_text(json.dumps(document))


def with_pickle(tmp_path, run, name):
    """A copy of a run in which a pickle is planted."""
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(b"\x80\x04cos\nsystem\n(S'touch planted'\ntR.")
    return tmp_path / "run"


# name: (words made from tmp_path and dataset, exit code, what the message must hold)
CASES = {
    "unknown-command": (lambda t, d: ["biuld"], 2, "Did you mean build?"),
    "missing-file": (lambda t, d: build(t, wikipedia=("--wikipedia", t / "no.xml.bz2")), 1, "no.xml.bz2"),
    "a-folder-for-a-dump": (lambda t, d: build(t, wikipedia=("--wikipedia", t)), 1, "folder"),
    "empty-dump": (lambda t, d: build(t, wikipedia=("--wikipedia", file(t, "e.xml", b""))), 1, "e.xml"),
    "empty-gz": (
        lambda t, d: build(t, wikidata=("--wikidata", file(t, "e.json.gz", gzip.compress(b"")))),
        1,
        "e.json.gz",
    ),
    "html-error-page": (lambda t, d: build(t, wikipedia=("--wikipedia", file(t, "p.xml", HTML))), 1, "HTML"),
    "dump-without-pages": (
        lambda t, d: build(t, wikipedia=("--wikipedia", file(t, "n.xml.bz2", bz2.compress(NO_PAGES)))),
        1,
        "n.xml.bz2",
    ),
    "json-for-xml": (lambda t, d: build(t, wikipedia=("--wikipedia", WIKIDATA[1])), 1, "wikidata-mini.json.gz"),
    "entity-over-several-lines": (
        lambda t, d: build(t, wikidata=("--wikidata", file(t, "w.json", b'[\n  {\n    "id": "Q1"\n  }\n]\n'))),
        1,
        "w.json: JSON spread over several lines",
    ),
    "xml-for-json": (lambda t, d: build(t, wikidata=("--wikidata", WIKIPEDIA[1])), 1, "enwiki-mini.xml.bz2"),
    "neither-ours-nor-beams": (lambda t, d: build(t, "--neighbours", "3"), 2, "--neighbors"),
    "misspelt-beam-flag": (lambda t, d: build(t, "--runer=FnApiRunner"), 2, "--runner"),
    "unknown-runner": (lambda t, d: build(t, "--runner=NoSuchRunner"), 2, "NoSuchRunner"),
    "wrong-keep": (
        lambda t, d: build(t, "--keep", "papr"),
        2,
        "--keep papr: expected all, linked, paper. Did you mean",
    ),
    "wrong-only": (
        lambda t, d: build(t, "--only", "graphs"),
        2,
        "--only graphs: expected align, graph, wikidata, wikipedia, wk_graphs. Did you mean graph?",
    ),
    "no-number": (lambda t, d: build(t, "--neighbors", "many"), 2, "error: --neighbors: invalid"),
    "negative-neighbors": (lambda t, d: build(t, "--neighbors", "-1"), 2, "--neighbors"),
    "unknown-parameter": (lambda t, d: build(t, "--set", "pasage_chars=300"), 2, "passage_chars"),
    "parameter-without-value": (lambda t, d: build(t, "--set", "passage_chars"), 2, "key=value"),
    "neither-true-nor-false": (lambda t, d: build(t, "--set", "keep_pairs_together=yes"), 2, "true or false"),
    "unknown-splitter": (lambda t, d: build(t, "--set", "sentences=nltk"), 2, "rules or spacy"),
    "share-out-of-range": (lambda t, d: build(t, "--set", "max_dropped=2"), 2, "0 to 0.5"),
    "no-count": (lambda t, d: build(t, "--set", "test_entities=many"), 2, "a whole number"),
    "out-is-somebodys-folder": (
        lambda t, d: ["build", *DEMO_INPUTS, "--out", file(t, "mine.txt", b"x").parent],
        1,
        "not empty",
    ),
    "out-is-a-file": (lambda t, d: ["build", *DEMO_INPUTS, "--out", file(t, "f", b"x")], 1, "is a file"),
    "only-before-its-time": (lambda t, d: build(t, "--only", "graph"), 1, "wikidata"),
    "malformed-exclusions": (
        lambda t, d: build(t, "--exclude-triples", file(t, "x.tsv", b"Q1 loves Q2\n")),
        1,
        "line 1",
    ),
    "exclusion-beyond-int64": (
        lambda t, d: build(t, "--exclude-triples", file(t, "x.tsv", b"Q1\tP31\tQ9999999999999999999\n")),
        1,
        "line 1",
    ),
    "exclusions-no-text": (lambda t, d: build(t, "--exclude-triples", file(t, "x.tsv", b"\x80\x81\x82")), 1, "line 1"),
    "exclusions-cut": (
        lambda t, d: build(t, "--exclude-triples", file(t, "x.tsv.gz", gzip.compress(b"Q1\tP1\tQ2\n" * 999)[:40])),
        1,
        "cut or damaged",
    ),
    "redirect-table-alone": (
        lambda t, d: build(
            t, "--redirects", file(t, "redirect.sql", b"INSERT INTO `redirect` VALUES (1,0,'A','','');")
        ),
        2,
        "page.sql",
    ),
    "props-of-another-table": (
        lambda t, d: build(t, "--page-props", file(t, "p.sql", b"INSERT INTO `page` VALUES (1,0,'A',0,0,0);")),
        1,
        "expected table page_props",
    ),
    "no-truth-value": (lambda t, d: build(t, "--set", "self_mentions=yes"), 2, "expected true or false"),
    "templates-with-a-mistake": (
        lambda t, d: build(t, "--templates", file(t, "t.toml", b'[templates]\n"heron" = "{1"\n')),
        1,
        "t.toml: [templates] 'heron': expected a partner for each brace, found '{1'.",
    ),
    "templates-no-text": (lambda t, d: build(t, "--templates", file(t, "t.toml", b"\x80")), 1, "t.toml is not UTF-8"),
    "templates-a-dump": (lambda t, d: build(t, "--templates", file(t, "t.toml", b" " * 2**21)), 1, "at most 1 MB"),
    "no-wikipedia-file": (lambda t, d: build(t, wikipedia=("--wikipedia",)), 2, "--wikipedia"),
    "index-alone": (
        lambda t, d: build(t, wikipedia=("--wikipedia", file(t, "w-index.txt.bz2", bz2.compress(b"9:1:A\n")))),
        2,
        "w.xml.bz2",
    ),
    "index-of-another-dump": (
        lambda t, d: build(t, wikipedia=(*WIKIPEDIA, file(t, "enwiki-mini-index.txt", b"9:1:A\n"))),
        1,
        "none does",
    ),
    "no-language": (lambda t, d: build(t, "--language", "../en"), 2, "--language"),
    "out-below-a-file": (lambda t, d: ["build", *DEMO_INPUTS, "--out", file(t, "f", b"x") / "d"], 1, "--out"),
    "out-with-a-cut-manifest": (
        lambda t, d: ["build", *DEMO_INPUTS, "--out", with_table(t, d, cut_manifest)],
        1,
        "manifest.json",
    ),
    "out-has-a-build-folder-of-another-tool": (
        lambda t, d: ["build", *DEMO_INPUTS, "--out", others_project(t)],
        1,
        "not empty",
    ),
    "no-out": (lambda t, d: ["build", *DEMO_INPUTS], 2, "--out"),
    "describe-no-dataset": (lambda t, d: ["describe", t], 1, "manifest.json"),
    "validate-cut-manifest": (lambda t, d: ["validate", with_table(t, d, cut_manifest)], 1, "manifest.json"),
    "validate-path-outside": (lambda t, d: ["validate", with_table(t, d, outside)], 1, "../x.parquet"),
    "audit-no-dataset": (lambda t, d: ["audit", t], 1, "manifest.json"),
    "audit-no-list": (lambda t, d: ["audit", d, "--exclude-triples", t / "no.tsv"], 1, "no.tsv is missing"),
    "audit-malformed-list": (
        lambda t, d: ["audit", d, "--exclude-triples", file(t, "x.tsv", b"Q1\tP31\n")],
        1,
        "x.tsv, line 1",
    ),
    "audit-no-share": (lambda t, d: ["audit", d, "--overlap", "0"], 2, "--overlap"),
    "audit-other-schema": (lambda t, d: ["audit", with_table(t, d, other_schema)], 1, "triples"),
    "diff-no-dataset": (lambda t, d: ["diff", d, t], 1, "manifest.json"),
    "diff-one": (lambda t, d: ["diff", d], 2, "diff"),
    "explain-no-dataset": (lambda t, d: ["explain", t, "Q42"], 1, "manifest.json"),
    "explain-nothing": (lambda t, d: ["explain", d, " "], 2, "empty name"),
    "explain-unknown": (lambda t, d: ["explain", d, "Parsi"], 1, "Paris"),
    "other-schema": (lambda t, d: ["train", "kepler-tiny", "--data", with_table(t, d, other_schema)], 1, "triples"),
    "tokenizer-missing": (lambda t, d: ["tokenize", d, "--tokenizer", t], 1, "tokenizer.json"),
    "tokenizer-malformed": (
        lambda t, d: ["tokenize", d, "--tokenizer", file(t, "tokenizer.json", b"{}").parent, "--name", "x"],
        1,
        "tokenizer",
    ),
    "tokenizer-into-a-file": (
        lambda t, d: ["train-tokenizer", d, "--vocab-size", "500", "--out", file(t, "f", b"x")],
        1,
        "f: File exists",
    ),
    "tokens-name-outside": (lambda t, d: ["tokenize", d, "--tokenizer", t, "--name", "../x"], 2, "--name"),
    "unknown-recipe": (lambda t, d: ["train", "keppler-tiny", "--data", d], 2, "kepler-tiny"),
    "unknown-toml-key": (
        lambda t, d: ["train", file(t, "r.toml", b'system = "kepler"\n[optim]\nwarmup_step = 1\n'), "--data", d],
        2,
        "warmup_steps",
    ),
    "broken-toml": (lambda t, d: ["train", file(t, "r.toml", b"system = \n"), "--data", d], 2, "r.toml"),
    "unknown-setting": (lambda t, d: ["train", "kepler-tiny", "--data", d, "--set", "kepler.gama=1"], 2, "gamma"),
    "train-without-data": (lambda t, d: ["train", "kepler-tiny"], 2, "--data"),
    "train-no-dataset": (lambda t, d: ["train", "kepler-tiny", "--data", t], 1, "manifest.json"),
    "resume-nothing": (lambda t, d: ["train", "kepler-tiny", "--data", d, "--resume"], 2, "no run of kepler-tiny"),
    "evaluate-no-run": (lambda t, d: ["evaluate", t, "--task", "link-prediction"], 1, "config.toml"),
    "predict-no-run": (lambda t, d: ["predict", t, "--head", "France", "--relation", "capital"], 1, "config.toml"),
    "unknown-entity": (
        lambda t, d: ["predict", d.parent / "run", "--head", "Atlantis", "--relation", "capital"],
        2,
        "Atlantis",
    ),
    "unknown-relation": (
        lambda t, d: ["predict", d.parent / "run", "--head", "France", "--relation", "capitel"],
        2,
        "capital",
    ),
    "nothing-to-predict": (lambda t, d: ["predict", d.parent / "run", "--head", "France"], 2, "--relation"),
    "pickle-in-a-run": (
        lambda t, d: ["evaluate", with_pickle(t, d.parent / "run", "model.pt"), "--task", "link-prediction"],
        1,
        "model.pt",
    ),
    "task-of-another-system": (lambda t, d: ["evaluate", d.parent / "run", "--task", "masked"], 1, "link-prediction"),
    "unknown-task": (lambda t, d: ["evaluate", d.parent / "run", "--task", "link-predicton"], 2, "link-prediction"),
    "unknown-split": (
        lambda t, d: ["evaluate", d.parent / "run", "--task", "link-prediction", "--split", "tset"],
        (1, 2),
        "test",
    ),
    "resume-another-config": (
        lambda t, d: [
            *TRAIN,
            "--data",
            d.parent / "data",
            "--out",
            d.parent / "run",
            "--resume",
            "--set",
            "optim.lr=1",
        ],
        (1, 2),
        "optim.lr",
    ),
    "unknown-baseline": (lambda t, d: ["baseline", "transee", "--data", d], 2, "transe"),
}


TRAIN = ("train", "kepler-tiny", "--set", "train.steps=2", "--set", "kepler.blocks=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, demo_dataset):
    """A folder with the dataset, a copy of it with tokens, and a run of two steps."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "demo").symlink_to(demo_dataset)
    shutil.copytree(demo_dataset, folder / "data")
    wikiloom(*TRAIN, "--data", folder / "data", "--out", folder / "run")
    return folder / "demo"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_clear_line(name, tmp_path, trained, monkeypatch, capfd):
    words, code, message = CASES[name]
    monkeypatch.chdir(tmp_path)  # where a command writes without being told, it writes here
    assert main([str(word) for word in words(tmp_path, trained)]) in (code if isinstance(code, tuple) else (code,))
    said = capfd.readouterr()
    assert message in said.err + said.out
    assert "Traceback" not in said.err + said.out
    assert len([line for line in said.err.splitlines() if line.strip()]) <= 3, said.err


def test_a_mistake_ends_the_process_with_its_code():
    done = wikiloom("biuld", check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: Unknown command 'biuld'. Did you mean build? See wikiloom --help.\n",
    )
