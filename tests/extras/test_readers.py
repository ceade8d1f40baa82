"""Other projects read the Parquet without our code: datasets, DuckDB and Polars, each in an environment of its own."""

import gzip
import json
import re
import subprocess

import pytest

from schemas.dataset import Dataset
from schemas.tables import TABLES
from tests.conftest import DEMO_INPUTS, EXAMPLES, ROOT, wikiloom
from tests.extras.environments import make_environment, run_python

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]

READERS = {
    "datasets": ["datasets"],
    "duckdb": ["duckdb"],
    "polars": ["polars"],
}

SCRIPTS = {
    "datasets": """
import json, sys, yaml
from datasets import load_dataset
folder = sys.argv[1]
card = yaml.safe_load(open(folder + "/README.md").read().split("---")[1])
rows = {}
for config in card["configs"]:
    for split in (part["split"] for part in config["data_files"]):
        name = config["config_name"]
        eager = load_dataset(folder, name, split=split)
        stream = sum(1 for _ in load_dataset(folder, name, split=split, streaming=True))
        assert len(eager) == stream, (name, split, len(eager), stream)
        rows[f"{name}/{split}"] = stream
        if name == "pages":
            for page in eager:
                for link in page["links"]:
                    assert page["text"][link["start"]:link["end"]].strip()
print(json.dumps(rows))
""",
    "duckdb": """
import duckdb, glob, json, os, sys
rows = {}
for table in json.loads(sys.argv[2]):
    for part in sorted({os.path.basename(f).split("-")[0] for f in glob.glob(f"{sys.argv[1]}/{table}/*.parquet")}):
        source = f"'{sys.argv[1]}/{table}/{part}-*.parquet'"
        rows[f"{table}/{part}"] = duckdb.sql(f"select count(*) from {source}").fetchall()[0][0]
        duckdb.sql(f"select * from {source}").fetchall()
link = '''select substr(text, l.start + 1, l."end" - l.start) from
    (select text, unnest(links) as l from '%s/pages/*.parquet')''' % sys.argv[1]
rows["anchors"] = sorted(r[0] for r in duckdb.sql(link).fetchall())
print(json.dumps(rows))
""",
    "polars": """
import glob, json, os, sys
import polars as pl
rows = {}
for table in json.loads(sys.argv[2]):
    for part in sorted({os.path.basename(f).split("-")[0] for f in glob.glob(f"{sys.argv[1]}/{table}/*.parquet")}):
        rows[f"{table}/{part}"] = pl.read_parquet(f"{sys.argv[1]}/{table}/{part}-*.parquet").height
pages = pl.read_parquet(f"{sys.argv[1]}/pages/*.parquet", columns=["text", "links"]).explode("links").unnest("links")
anchors = pages.drop_nulls("start").select(pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start")))
rows["anchors"] = sorted(anchors["text"].to_list())
print(json.dumps(rows))
""",
}


@pytest.fixture(scope="module")
def tiny_shards(tmp_path_factory):
    """The examples without a line to reject, in shards of a few rows."""
    folder = tmp_path_factory.mktemp("tiny")
    lines = gzip.decompress((EXAMPLES / "wikidata-mini.json.gz").read_bytes()).splitlines()

    def whole(line):
        try:
            return "id" in json.loads(line.rstrip(b","))
        except (ValueError, TypeError):
            return False

    kept = [line.rstrip(b",") for line in lines if line.strip() not in (b"[", b"]", b",") and whole(line)]
    (folder / "w.json").write_bytes(b"\n".join(kept) + b"\n")
    words = [*DEMO_INPUTS[:2], "--wikidata", folder / "w.json", "--set", "rows_per_shard=40"]
    wikiloom("build", *words, "--out", folder / "d")
    assert Dataset(folder / "d").rows("rejects") == 0
    return folder / "d"


@pytest.fixture(scope="module", params=list(READERS))
def reader(request, tmp_path_factory):
    """(name, python of an environment that holds this reader and nothing of ours)."""
    folder = tmp_path_factory.mktemp(request.param)
    python = make_environment(folder, READERS[request.param])
    missing = subprocess.run([python, "-c", "import wikiloom"], cwd=folder, capture_output=True, check=False)
    assert missing.returncode, "the environment must not hold our code"
    return request.param, python


@pytest.mark.parametrize("which", ["demo_dataset", "tiny_shards"])
def test_every_table_and_split_reads_with_the_rows_of_the_manifest(reader, which, request, tmp_path):
    name, python = reader
    folder = request.getfixturevalue(which)
    dataset = Dataset(folder)
    found = run_python(python, SCRIPTS[name], [folder, json.dumps(list(dataset.manifest.tables))], tmp_path)
    anchors = found.pop("anchors", None)
    expected = {}
    for table in dataset.manifest.tables:
        for part in TABLES[table].parts:
            split = part if TABLES[table].splits or name != "datasets" else "train"
            if dataset.shards(table, part) and (dataset.rows(table) or name != "datasets"):
                expected[f"{table}/{split}"] = dataset.rows(table, part)
    assert found == expected
    if anchors is not None:
        pages = dataset.read("pages").to_pylist()
        assert anchors == sorted(p["text"][link["start"] : link["end"]] for p in pages for link in p["links"])


@pytest.fixture(scope="module")
def task_folders(tmp_path_factory):
    """Imports of text tasks, and one of them woven with a graph."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "fewrel").mkdir()
    sentence = {"tokens": ["Ada", "met", "Bob"], "h": ["ada", "Q7259", [[0]]], "t": ["bob", "Q46633", [[2]]]}
    odd = {**sentence, "h": ["ada", "Q7259", []]}
    (folder / "fewrel/train_wiki.json").write_text(json.dumps({"P26": [sentence]}))
    (folder / "fewrel/val_wiki.json").write_text(json.dumps({"P40": [sentence, odd]}))
    (folder / "metaqa/1-hop").mkdir(parents=True)
    (folder / "metaqa/kb.txt").write_text("Kismet|directed_by|William Dieterle\n")
    for name in ("train", "dev", "test"):
        (folder / f"metaqa/1-hop/{name}.txt").write_text("who directed [Kismet]\tWilliam Dieterle\n")
    for name in ("fewrel", "metaqa"):
        wikiloom("import", name, "--from", folder / name, "--out", folder / f"{name}-tables")
    tables = folder / "metaqa-tables"
    wikiloom("weave", "--text", tables, "--graph", tables, "--out", folder / "woven")
    return [folder / "fewrel-tables", tables, folder / "woven"]


def test_every_table_and_split_of_text_tasks_loads_by_its_name(task_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    python = make_environment(folder, READERS["datasets"])
    for data in task_folders:
        dataset = Dataset(data)
        expected = {
            f"{table}/{part if TABLES[table].splits else 'train'}": dataset.rows(table, part)
            for table in dataset.manifest.tables
            for part in TABLES[table].parts
            if dataset.rows(table, part)
        }
        assert "examples/train" in expected
        assert run_python(python, SCRIPTS["datasets"], [data], folder) == expected


def test_the_facts_of_fewrel_are_written_by_the_documented_query(task_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("duckdb")
    python = make_environment(folder, READERS["duckdb"])
    (query,) = re.findall(r"```sql\n(copy .*?)```", (ROOT / "docs/imports.md").read_text(encoding="utf-8"), re.S)
    script = f"import os, duckdb\nos.chdir({str(task_folders[0])!r})\nduckdb.sql({query!r})\nprint('{{}}')"
    run_python(python, script, [], folder)
    facts = sorted((task_folders[0] / "facts.tsv").read_text().splitlines())
    (task_folders[0] / "facts.tsv").unlink()
    assert facts == ["Q7259\tP26\tQ46633", "Q7259\tP40\tQ46633"]


def test_the_cards_queries_run(reader, demo_dataset, tmp_path):
    name, python = reader
    card = (demo_dataset / "README.md").read_text()
    language = {"datasets": "python", "duckdb": "sql"}.get(name)
    if language is None:
        pytest.skip("the card has no block for this reader")
    blocks = re.findall(rf"```{language}\n(.*?)```", card, re.S)
    assert blocks
    for block in blocks:
        script = block if language == "python" else f"import duckdb\nassert duckdb.sql({block!r}).fetchall()"
        run_python(python, f"import os\nos.chdir({str(demo_dataset)!r})\n{script}\nprint('{{}}')", [], tmp_path)


def test_readme_names_the_extras_that_exist():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"pipelines", "training", "baselines", "bench", "gcp", "minilm", "onnx", "spacy", "dev"} == set(extras)
