"""Other projects read the Parquet without our code: datasets, DuckDB, Polars, pandas, each in its own environment."""

import gzip
import json
import os
import re
import subprocess

import pytest

from schemas.dataset import Dataset
from schemas.tables import TABLES
from tests.conftest import DEMO_INPUTS, EXAMPLES, ROOT, wikiloom
from tests.extras.environments import make_environment, run_python
from tests.made_datasets import EXAMPLES_ONLY, GRAPH_ONLY, ROWS, write_dataset

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]

README = (ROOT / "README.md").read_text(encoding="utf-8")
READERS = {
    "datasets": ["datasets"],
    "duckdb": ["duckdb"],
    "polars": ["polars"],
    "pandas": ["pandas", "pyarrow"],
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
            spans = [page["text"][l["start"]:l["end"]] for page in eager for l in page["links"]]
            rows["anchors"] = sorted(rows.get("anchors", []) + spans)
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
if os.path.isdir(sys.argv[1] + "/pages"):
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
if os.path.isdir(sys.argv[1] + "/pages"):
    pages = pl.read_parquet(f"{sys.argv[1]}/pages/*.parquet", columns=["text", "links"])
    links = pages.explode("links").drop_nulls("links").unnest("links")
    anchors = links.select(pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start")))
    rows["anchors"] = sorted(anchors["text"].to_list())
print(json.dumps(rows))
""",
    "pandas": """
import glob, json, os, sys
import pandas as pd
rows = {}
for table in json.loads(sys.argv[2]):
    for part in sorted({os.path.basename(f).split("-")[0] for f in glob.glob(f"{sys.argv[1]}/{table}/*.parquet")}):
        files = sorted(glob.glob(f"{sys.argv[1]}/{table}/{part}-*.parquet"))
        rows[f"{table}/{part}"] = sum(len(pd.read_parquet(file)) for file in files)
if os.path.isdir(sys.argv[1] + "/pages"):
    pages = pd.read_parquet(sys.argv[1] + "/pages", columns=["text", "links"])
    rows["anchors"] = sorted(t[l["start"]:l["end"]] for t, own in pages.itertuples(index=False) for l in own)
print(json.dumps(rows))
""",
}

MARKS = ["\U0001f469\u200d\U0001f680", "e\u0301", "\U0001f1e7\U0001f1ec", "x\u0338\u0327", "\u0635\u0651", "\U0001d518"]
"""An emoji of three code points, combining marks of several scripts, a flag of two letters, a letter beyond 16 bits."""


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


@pytest.fixture(scope="module")
def marked_pages(tmp_path_factory):
    """Pages whose links begin and end beside, and inside, what a reader sees as one character."""
    rows = []
    for i, mark in enumerate(MARKS):
        text = f"{mark}{mark} {MARKS[i - 1]} plain {mark}"
        spans = [(start, start + size) for start in range(len(text)) for size in (1, 2, 5) if start + size <= len(text)]
        links = [{"start": s, "end": e, "target": "T", "entity": None, "source": "link"} for s, e in spans]
        rows.append({**ROWS["pages"][0], "page_id": i, "text": text, "lead_end": len(text), "links": links})
    return write_dataset(tmp_path_factory.mktemp("marks") / "d", {"pages": rows}, {})


@pytest.fixture(scope="module")
def graph_only(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("graph") / "d", GRAPH_ONLY, {})


@pytest.fixture(scope="module")
def examples_only(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("examples") / "d", EXAMPLES_ONLY, {})


DATASETS = ["demo_dataset", "tiny_shards", "marked_pages", "graph_only", "examples_only", "sample_dataset"]


@pytest.fixture(scope="module", params=list(READERS))
def reader(request, tmp_path_factory):
    """(name, python of an environment that holds this reader and nothing of ours)."""
    folder = tmp_path_factory.mktemp(request.param)
    python = make_environment(folder, READERS[request.param])
    bare = {**os.environ, "PYTHONPATH": ""}
    missing = subprocess.run([python, "-c", "import wikiloom"], cwd=folder, env=bare, capture_output=True, check=False)
    assert missing.returncode, "the environment must not hold our code"
    return request.param, python


@pytest.mark.parametrize("which", DATASETS)
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


@pytest.mark.parametrize("which", DATASETS)
def test_the_cards_queries_run(reader, which, request, tmp_path):
    name, python = reader
    folder = request.getfixturevalue(which)
    blocks = re.findall(r"```(sql|python)\n(.*?)```", (folder / "README.md").read_text(), re.S)
    scripts = [
        block if language == "python" else f"import duckdb\nassert duckdb.sql({block!r}).fetchall()"
        for language, block in blocks
    ]
    own = [script for script in scripts if re.search(rf"^(import|from) {name}\b", script, re.M)]
    assert own or name not in ("datasets", "duckdb")
    run_python(python, "\n".join(["import os", f"os.chdir({str(folder)!r})", *own, "print('{}')"]), [], tmp_path)


def test_the_readmes_recipes_run(reader, demo_dataset, tmp_path):
    name, python = reader
    section = README.partition("## Reading it without us")[2].partition("\n## ")[0]
    blocks = [block for block in re.findall(r"```python\n(.*?)```", section, re.S) if re.search(rf"\b{name}\b", block)]
    assert len(blocks) == 1
    script = blocks[0].replace('"DATA', f'"{demo_dataset}').replace("'DATA", f"'{demo_dataset}")
    assert "DATA" not in script
    run_python(python, f"{script}\nprint('{{}}')", [], tmp_path)


def test_readme_names_the_extras_that_exist():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", re.search(r"Further extras: .*?\.\n", readme, re.S)[0])
    assert {"pipelines", "training", "baselines", *named} == set(extras)
