"""The card: front matter that parses, a config for each table with rows, every column, whatever the manifest lacks."""

import re

import pytest
import yaml

from pipelines.queries import QUERIES
from schemas.dataset import Dataset
from schemas.table import column_docs
from tests.made_datasets import EXAMPLES_ONLY, GRAPH_ONLY, REST, ROWS, write_dataset

KINDS = {"all": ROWS, "graph only": GRAPH_ONLY, "examples only": EXAMPLES_ONLY, "no rows": {name: [] for name in ROWS}}


@pytest.fixture(params=[(kind, rest) for kind in KINDS for rest in (REST, {})], ids=str)
def written(request, tmp_path):
    kind, rest = request.param
    folder = write_dataset(tmp_path / "d", KINDS[kind], rest)
    return Dataset(folder), (folder / "README.md").read_text(encoding="utf-8")


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_each_table_and_split_with_rows_is_a_config_whose_glob_finds_its_files(written):
    dataset, card = written
    found = {}
    for config in front_matter(card)["configs"]:
        for part in config["data_files"]:
            files = {str(path.relative_to(dataset.folder)) for path in dataset.folder.glob(part["path"])}
            found[config["config_name"], part["split"]] = files
    expected = {}
    for name, entry in dataset.manifest.tables.items():
        for part in dataset.table(name).parts:
            if dataset.rows(name, part):
                split = part if dataset.table(name).splits else "train"
                expected[name, split] = {shard.path for shard in entry.split(part)}
    assert found == expected


def test_at_most_one_config_is_the_default(written):
    defaults = [config for config in front_matter(written[1])["configs"] if config.get("default")]
    assert len(defaults) == bool(front_matter(written[1])["configs"])


def test_every_column_of_every_table_has_its_line(written):
    dataset, card = written
    for name in dataset.manifest.tables:
        for path, doc in column_docs(dataset.table(name).columns):
            assert f"- `{path}`: {doc}" in card.splitlines()


def test_queries_read_only_what_has_rows(written):
    dataset, card = written
    for language, block in re.findall(r"```(sql|python)\n(.*?)```", card, re.S):
        for glob in re.findall(r"'([a-z_]+/[^']*\.parquet)'", block) if language == "sql" else []:
            assert list(dataset.folder.glob(glob)), block
        for name in re.findall(r'getcwd\(\), "(\w+)"|read_parquet\("(\w+)"', block):
            assert dataset.rows("".join(name)), block


def test_a_whole_dataset_has_every_query(tmp_path):
    card = (write_dataset(tmp_path / "d", ROWS, REST) / "README.md").read_text(encoding="utf-8")
    assert [query.title for query in QUERIES if f"{query.title}:" not in card] == []


def test_names_from_the_data_are_neither_markup_nor_lines_nor_cells(written):
    dataset, card = written
    assert "<script" not in card
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", card)
    named = [line for line in card.splitlines() if line.startswith("|") and "alert(1)" in line]
    assert len(named) == len(dataset.manifest.rest.get("inputs", []))
    assert [line for line in named if line.replace("\\|", "").count("|") != 5] == []


def test_the_licence_follows_the_sources(tmp_path):
    sources = [{"role": role, "name": role, "bytes": 1, "sha256": ""} for role in ("wikipedia", "wikidata")]
    for inputs, licences in [
        (sources, ["cc-by-sa-4.0", "cc0-1.0"]),
        (sources[1:], ["cc0-1.0"]),
        ([], ["unknown"]),
    ]:
        folder = write_dataset(tmp_path / str(len(inputs)), EXAMPLES_ONLY, {"inputs": inputs})
        assert front_matter((folder / "README.md").read_text())["license"] == licences
    folder = write_dataset(tmp_path / "said", EXAMPLES_ONLY, {"licence": "MIT, says the file LICENSE"})
    assert "Licences: MIT, says the file LICENSE." in (folder / "README.md").read_text()


def test_norwegian_is_not_false(tmp_path):
    folder = write_dataset(tmp_path / "d", EXAMPLES_ONLY, {"language": "no"})
    assert front_matter((folder / "README.md").read_text())["language"] == ["no"]
