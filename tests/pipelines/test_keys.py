"""A stage's key changes with what the stage depends on, and with nothing else."""

import dataclasses
from pathlib import Path

import pytest

from pipelines.config import STAGES, Build, Parameters
from pipelines.inputs import Plan
from pipelines.keys import READS, TABLE_READS, Rules, range_names, stage_keys
from pipelines.sources.ranges import Range
from pipelines.wikitext import Site

FILES = {
    name: Path(f"/in/{name}") for name in ("w.xml", "x.xml", "d.json", "e.json", "r.tsv", "p.sql", "x.tsv", "t.toml")
}
CONFIG = Build(
    wikipedia=(FILES["w.xml"], FILES["x.xml"]),
    wikidata=(FILES["d.json"], FILES["e.json"]),
    redirects=(FILES["r.tsv"],),
    page_props=FILES["p.sql"],
    exclude_triples=FILES["x.tsv"],
    templates=FILES["t.toml"],
    out=Path("/out"),
)
BEHIND = {
    "wikidata": {"wikidata", "align", "graph", "wk_graphs"},
    "wikipedia": {"wikipedia", "align", "graph", "wk_graphs"},
    "align": {"align", "graph", "wk_graphs"},
    "mentions": {"align", "wk_graphs"},
    "graph": {"graph", "wk_graphs"},
    "wk_graphs": {"wk_graphs"},
    "tables": set(),
}
"""Stage, or a part of one -> what must run again where it does."""
FIRST = {
    "passage_chars": (300, "wk_graphs"),
    "sentences": ("spacy", "wk_graphs"),
    "min_lead_words": (4, "align"),
    "min_neighbors": (5, "align"),
    "min_mentions": (5, "align"),
    "valid_pages": (0.2, "align"),
    "test_pages": (0.2, "align"),
    "valid_triples": (10, "graph"),
    "test_triples": (10, "graph"),
    "keep_pairs_together": ("false", "graph"),
    "valid_entities": (10, "graph"),
    "test_entities": (10, "graph"),
    "max_dropped": (0.1, "graph"),
    "self_mentions": ("true", "mentions"),
    "repeat_mentions": ("true", "mentions"),
    "rows_per_shard": (100, "tables"),
    "join": ("cogbk", None),
    "range_mb": (1, None),
    "keep_work": ("false", None),
}
"""Parameter -> another value, and the first stage that depends on it."""


@pytest.fixture(autouse=True)
def no_files(monkeypatch):
    """The key asks a list's first line what it is, and spaCy for its version."""
    monkeypatch.setattr("pipelines.keys.redirect_files", lambda config: list(config.redirects))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")


def plan(site=None):
    ranges = [Range(str(path), start, start + 10) for path in CONFIG.wikipedia for start in (0, 10)]
    entities = [Range(str(path), start, start + 10) for path in CONFIG.wikidata for start in (0, 10)]
    return Plan(entities, ranges, site or Site.from_siteinfo(None, "en"))


def keys(config=CONFIG, site=None, **contents):
    digests = {path: contents.get(path.name.replace(".", "_"), path.name) for path in FILES.values()}
    names = range_names(plan(site), config, digests)
    return names, stage_keys(names, Rules.of(config), config, digests)


def changed(other):
    """Stages, and "tables" where every table's key is another."""
    old, new = keys()[1], other[1]
    tables = {old[f"table {name}"] != new[f"table {name}"] for name in TABLE_READS}
    return {stage for stage in STAGES if old[stage] != new[stage]} | ({"tables"} if tables == {True} else set())


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Parameters)])
def test_a_parameter_changes_the_stages_that_depend_on_it_and_no_other(name):
    value, first = FIRST[name]
    stages = changed(keys(dataclasses.replace(CONFIG, set=(f"{name}={value}",)))) - {"tables"}
    assert stages == (BEHIND[first] if first else set())


def test_only_rows_per_shard_changes_every_table_and_no_stage():
    assert changed(keys(dataclasses.replace(CONFIG, set=("rows_per_shard=100",)))) == {"tables"}
    assert changed(keys(dataclasses.replace(CONFIG, workers=2, only="graph", out=Path("/elsewhere")))) == set()


@pytest.mark.parametrize(
    ("change", "first"),
    [({"keep": "all"}, "align"), ({"seed": 1}, "align"), ({"neighbors": 1}, "wk_graphs"), ({"redirects": ()}, "align")],
)
def test_an_option_changes_the_stages_that_depend_on_it(change, first):
    assert changed(keys(dataclasses.replace(CONFIG, **change))) - {"tables"} == BEHIND[first]


@pytest.mark.parametrize(
    ("file", "first"),
    [
        ("w_xml", "wikipedia"),
        ("e_json", "wikidata"),
        ("r_tsv", "align"),
        ("p_sql", "align"),
        ("x_tsv", "graph"),
        ("t_toml", "wikipedia"),
    ],
)
def test_a_file_with_other_content_changes_the_stages_that_read_it(file, first):
    assert changed(keys(**{file: "other"})) - {"tables"} == BEHIND[first]


def test_another_language_or_siteinfo_reads_wikipedia_anew():
    assert changed(keys(site=Site.from_siteinfo(b"<case>case-sensitive</case>", "en"))) >= BEHIND["wikipedia"]
    german = dataclasses.replace(CONFIG, language="de")
    assert changed(keys(german, Site.from_siteinfo(None, "de"))) == {*STAGES, "tables"}


def test_only_the_ranges_of_the_changed_file_have_new_names():
    old, new = keys()[0], keys(e_json="other")[0]
    assert old["wikipedia"] == new["wikipedia"]
    assert [a == b for a, b in zip(old["wikidata"], new["wikidata"], strict=True)] == [True, True, False, False]


def test_no_build_goes_on_from_work_files_of_another_format(monkeypatch):
    names, stages = keys()
    monkeypatch.setattr("pipelines.keys.WORK_FORMAT", 0)
    others, other_stages = keys()
    assert not set(names["wikipedia"] + names["wikidata"]) & set(others["wikipedia"] + others["wikidata"])
    assert all(key != other_stages[name] for name, key in stages.items())


def test_a_file_given_twice_has_ranges_of_two_names():
    twice = keys(x_xml="w.xml")[0]["wikipedia"]
    assert len(set(twice)) == 4
    assert twice[2:] == [f"{name}-1" for name in twice[:2]]


def test_every_stage_and_table_has_a_place_in_the_chain():
    assert set(READS) | {"wikidata", "wikipedia"} == {*STAGES, "titles"}
    assert set(TABLE_READS.values()) <= set(READS)
