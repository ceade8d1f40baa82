"""describe: the page is self-contained, the same for the same dataset, and takes nothing from the data as markup."""

import base64
import hashlib
import re
import shutil
from collections import Counter

import lxml.html
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import sinks
from pipelines.report import describe_terminal, picks, plots, summary, write_html
from pipelines.report.markup import STYLE
from schemas import TABLES
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.manifest import Manifest
from tests.made_datasets import EXAMPLES_ONLY, GRAPH_ONLY, REST, ROWS, write_dataset, write_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("report") / "dataset", ROWS, REST)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "kepler", Dataset(dataset).digest)


@pytest.fixture(scope="module")
def html(dataset, run, tmp_path_factory):
    out = tmp_path_factory.mktemp("html") / "report.html"
    write_html(dataset, out, [run])
    return out.read_text(encoding="utf-8")


def test_the_page_loads_and_runs_nothing(html):
    root = lxml.html.fromstring(html)
    assert len(html.encode()) < 1_000_000
    for tag in ("script", "img", "link", "iframe", "object", "image", "form", "base"):
        assert not list(root.iter(tag)), tag
    for node in root.iter():
        for name, value in node.attrib.items():
            assert not name.startswith("on"), (node.tag, name)
            assert name not in ("src", "style", "srcset", "data"), (node.tag, name)
            if "href" in name:
                assert value.startswith("#") or (node.tag == "a" and value.startswith("https://www.wikidata.org/wiki/"))
            assert "url(" not in value or value.startswith("url(#")
    assert "@import" not in html
    assert "url(" not in STYLE


def test_the_policy_allows_one_style_sheet_and_nothing_else(html):
    root = lxml.html.fromstring(html)
    (policy,) = (node.get("content") for node in root.iter("meta") if node.get("http-equiv"))
    (style,) = (node.text for node in root.iter("style"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_nothing_in_the_data_becomes_markup(html):
    assert "<script" not in html
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", html)
    assert "alert(1)" in html


def test_ids_are_unique_and_every_drawing_has_a_title_and_a_text(html):
    root = lxml.html.fromstring(html)
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    drawings = [node for node in root.iter("svg") if node.get("aria-hidden") != "true"]
    assert len(drawings) >= 8
    for drawing in drawings:
        assert drawing.get("role") == "img"
        assert all(root.get_element_by_id(name).text_content() for name in drawing.get("aria-labelledby").split())
    for name in re.findall(r'(?:url\(|href=")#([\w.-]+)', html):
        assert name in ids


def test_the_same_dataset_and_runs_give_the_same_bytes_wherever_they_lie(dataset, run, html, tmp_path):
    shutil.copytree(dataset, tmp_path / "elsewhere")
    shutil.copytree(run, tmp_path / "runs" / "kepler")
    write_html(tmp_path / "elsewhere", tmp_path / "again.html", [tmp_path / "runs" / "kepler"])
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html
    assert str(dataset) not in html
    assert "/home/somebody" not in html


def test_the_page_shows_counts_drops_and_the_command(html):
    words = " ".join(lxml.html.fromstring(html).text_content().split())
    assert "10 in" in words
    assert "3 dropped (30.0 %)" in words
    assert "--keep all" in words
    assert "--set valid_pages=0.2" in words


def test_results_stand_beside_the_rules_with_the_protocol(html):
    words = " ".join(lxml.html.fromstring(html).text_content().split())
    assert "Protocol: split test; filtered yes; filter splits train + valid." in words
    assert "0.4321" in words
    assert "0.5432" in words
    assert "Not above every plain rule in mrr: kepler-tiny." in words


def test_learning_curves_come_with_their_numbers(html):
    root = lxml.html.fromstring(html)
    row = next(node for node in root.iter("tr") if "mlm" in node.text_content() and "valid" in node.text_content())
    assert [cell.text_content() for cell in row] == ["mlm", "valid", "0", "8.500", "20", "6.250", "6.250", "20"]


def test_two_runs_of_one_recipe_are_told_apart(dataset, tmp_path):
    digest = Dataset(dataset).digest
    runs = [write_run(tmp_path / name, digest) for name in ("first", "second")]
    write_html(dataset, tmp_path / "report.html", runs)
    html = (tmp_path / "report.html").read_text()
    assert "kepler-tiny (first)" in html
    assert "kepler-tiny (second)" in html


def test_a_run_on_another_dataset_is_called_that(dataset, tmp_path):
    write_html(dataset, tmp_path / "report.html", [write_run(tmp_path / "run", "f" * 64)])
    assert "another dataset" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("metrics", [{"accuracy": 0.1235}, {"a": {"b": {"c": {"mrr": 0.1235}}}}, {"words": "none"}])
def test_metrics_of_any_form_are_shown(dataset, tmp_path, metrics):
    write_html(dataset, tmp_path / "report.html", [write_run(tmp_path / "run", "f" * 64, metrics)])
    assert ("0.1235" in (tmp_path / "report.html").read_text()) == ("words" not in metrics)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("results/a.json", "{", "is not a result"),
        ("results/a.json", "[]", "is not a result"),
        ("config.toml", "a = ", "is not TOML"),
    ],
)
def test_a_broken_run_is_one_line(dataset, tmp_path, name, content, expected):
    write_run(tmp_path / "run", "f" * 64)
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(DataError, match=expected):
        write_html(dataset, tmp_path / "report.html", [tmp_path / "run"])


def test_a_folder_that_is_no_run_is_one_line(dataset, tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        write_html(dataset, tmp_path / "report.html", [tmp_path])


@pytest.mark.parametrize("key", ["stages", "drops"])
@pytest.mark.parametrize("value", [[1], {"wikipedia": [1]}, {"wikipedia": {"in": "x", "out": {}}}])
def test_a_manifest_of_another_form_is_one_line(tmp_path, key, value):
    folder = write_dataset(tmp_path / "d", {"rejects": []}, {**REST, key: value}, card=False)
    with pytest.raises(DataError, match=f"manifest.json: {key}"):
        describe_terminal(folder)


def test_a_table_that_is_none_of_ours_is_one_line(tmp_path):
    folder = write_dataset(tmp_path / "d", EXAMPLES_ONLY, {})
    entry = Dataset(folder).manifest.tables["examples"]
    Manifest(digest="", tables={"examplez": entry}, rest={}).save(folder)
    for describe in (describe_terminal, lambda folder: write_html(folder, tmp_path / "report.html")):
        with pytest.raises(DataError, match="no table 'examplez'"):
            describe(folder)


@pytest.mark.parametrize("rows", [{}, {name: [] for name in ROWS}], ids=["no tables", "no rows"])
def test_an_empty_dataset_without_counts_has_a_page(tmp_path, rows, capsys):
    folder = write_dataset(tmp_path / "d", rows, {})
    write_html(folder, tmp_path / "report.html")
    assert "no counts by stage" in (tmp_path / "report.html").read_text()
    describe_terminal(folder)
    assert "digest" in capsys.readouterr().out


def test_the_terminal_s_tables_are_plain_where_stdout_is_none(dataset, capsys):
    describe_terminal(dataset)
    said = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", said)
    assert Dataset(dataset).digest in said
    assert re.search(r"wikipedia +10 +6 articles, 1 redirects +3 ", said)
    assert re.search(r"triples +valid +2 ", said)


@given(st.lists(st.integers(0, 10**6), max_size=200))
def test_a_histogram_counts_every_row_once(numbers):
    sample = summary.sample_of([np.array(numbers, np.int64)], len(numbers))
    bins = plots.histogram(sample.values, sample.counts)
    assert sum(n for *_, n in bins) == len(numbers)
    for start, end, n in bins:
        assert n == sum(start <= number <= end for number in numbers)


@given(st.lists(st.integers(0, 50), min_size=1))
def test_quantiles_are_values_of_the_sample(numbers):
    sample = summary.sample_of([np.array(numbers, np.int64)], len(numbers))
    assert sample.quantile(1) == max(numbers)
    assert sample.quantile(0) == min(numbers)
    assert sample.mean == pytest.approx(np.mean(numbers))


def test_statistics_read_the_columns_as_they_are(dataset):
    data = Dataset(dataset)
    pages = summary.page_statistics(data)
    assert pages.linked.total == sum(link["entity"] is not None for row in ROWS["pages"] for link in row["links"])
    assert pages.length.total == sum(len(row["text"]) for row in ROWS["pages"])
    assert summary.graph_statistics(data).triples.total == 30
    assert summary.entity_statistics(data).text_source == {"lead": 5, "none": 1}
    groups = [(row["task"], row["group"], row["split"]) for row in ROWS["examples"]]
    assert summary.example_counts(data) == Counter(groups)
    assert summary.reject_counts(data) == {("wikipedia", "broken"): 1}
    assert summary.entity_names(data, {5}, {"Q2"}).labels == {5: "Q6", 1: "w" * 200 + "…"}


def test_a_sample_of_row_groups_is_spread_over_all(tmp_path, monkeypatch):
    anchors = [{"surface": f"{i:03}", "entity_index": 0, "count": i} for i in range(100)]
    shards = sinks.write_table(TABLES["anchors"], pa.Table.from_pylist(anchors, TABLES["anchors"].schema), tmp_path, 10)
    entry = sinks.table_entry(TABLES["anchors"], tmp_path, shards)
    Manifest(digest="", tables={"anchors": entry}, rest={}).save(tmp_path)
    parts = list(summary.scan(Dataset(tmp_path), "anchors", ["count"], limit=2))
    assert [part["count"][0].as_py() for part in parts] == [0, 50]
    assert len(picks.sample_rows(Dataset(tmp_path), "anchors", 5)) == 5


def test_a_damaged_shard_is_one_line(tmp_path):
    folder = write_dataset(tmp_path / "d", ROWS, {})
    (path,) = (folder / "pages").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="can't be read as Parquet"):
        write_html(folder, tmp_path / "report.html")


@pytest.mark.parametrize("rows", [ROWS, GRAPH_ONLY, EXAMPLES_ONLY], ids=["all", "graph only", "examples only"])
def test_whatever_is_in_the_data_a_terminal_can_print_it(tmp_path, capsys, rows):
    describe_terminal(write_dataset(tmp_path / "d", rows, REST))
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.splitlines())
    assert max(map(len, said.splitlines())) <= 110
    assert "w" * 201 not in said.replace("\n", "")


@pytest.mark.parametrize(
    ("rows", "there", "not_there"),
    [
        (GRAPH_ONLY, ["A knowledge graph", "valid_negatives", "Degree of an entity"], ["Length of a page", "Examples"]),
        (EXAMPLES_ONLY, ["Examples of text tasks", "Examples by task and split"], ["Degree of an entity", "triples"]),
    ],
    ids=["graph only", "examples only"],
)
def test_a_part_of_the_tables_has_a_page_with_what_there_is(tmp_path, rows, there, not_there):
    write_html(write_dataset(tmp_path / "d", rows, {}), tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    words = " ".join(lxml.html.fromstring(html).text_content().split())
    assert [name for name in there if name not in words] == []
    assert [name for name in not_there if name in re.sub(r"Columns examples.*", "", words)] == []
    assert "<script" not in html


def test_giants_do_not_make_a_giant_page(html):
    assert "w" * 301 not in html


def test_splits_are_about_the_entities_and_relations_that_a_slow_count_finds(demo_dataset):
    data = Dataset(demo_dataset)
    rows = data.read("triples").to_pylist()
    train = {row[side] for row in rows if row["split"] == "train" for side in ("head", "tail")}
    for ends in summary.split_ends(data):
        own = [row for row in rows if row["split"] == ends.split]
        entities = {row[side] for row in own for side in ("head", "tail")}
        assert (ends.triples, ends.entities, ends.new_entities) == (len(own), len(entities), len(entities - train))
        relations = {row["relation"] for row in own}
        new = relations - {row["relation"] for row in rows if row["split"] == "train"}
        assert (ends.relations, ends.new_relations) == (len(relations), len(new))


@pytest.mark.parametrize("name", ["entities", "pages", "redirects"])
def test_nulls_are_counted_as_the_rows_have_them(demo_dataset, name):
    data = Dataset(demo_dataset)
    rows = data.read(name).to_pylist()
    counted = {}
    for path in summary.null_counts(data, name):
        column, _, child = path.partition(".")
        values = [row[column] for row in rows]
        if child:
            values = [element[child] for elements in values for element in elements]
        counted[path] = sum(value is None for value in values)
    assert summary.null_counts(data, name) == counted
    assert len(counted) >= 2


def test_every_colour_of_words_stands_out_from_what_is_behind_it():
    for theme in re.findall(r":root \{(.*?)\}", STYLE, re.S):
        colours = dict(re.findall(r"--(\w+): (#\w+)", theme))
        for ink, ground in [
            ("ink", "paper"),
            ("quiet", "paper"),
            ("accent", "paper"),
            ("accent", "tint"),
            ("ink", "soft"),
        ]:
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(one, other):
    """WCAG's contrast of two colours, 1 to 21."""
    light, dark = sorted((luminance(colour) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
