"""Wikidata's JSON to items and properties: every statement is kept or counted, every bad line rejected."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import Reject
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.wikidata import Item, Property, is_item_id, is_property_id, language_chain, read_entities
from tests.pipelines.sources.inputs import array, compress, entity, statement, write

ENTITIES = [entity(i, tails=[f"Q{i + 1}", f"Q{i + 2}"]) for i in range(1, 41)]


def read(path, language="en", target=1 << 26, **more):
    drops = Counter()
    records = [one for part in plan_ranges(path, target) for one in read_entities(part, language, drops, **more)]
    return records, dict(drops)


def read_one(tmp_path, record, language="en"):
    (one,), drops = read(write(tmp_path, "x", array([record])), language)
    return one, drops


def reasons(records):
    return [(one.key, one.reason) for one in records if isinstance(one, Reject)]


def entities(records):
    return [one.entity for one in records if isinstance(one, Item)]


def snak(kind="value", **more):
    return {"mainsnak": {"snaktype": kind, **more}, "rank": "normal"}


def literal(value):
    return snak(datavalue={"type": "string", "value": value})


def identified(value):
    return snak(datavalue={"type": "wikibase-entityid", "value": value})


def test_an_item_is_read_whole(tmp_path):
    record = entity(
        42, tails=["Q5", "Q9"], aliases={"en": [{"language": "en", "value": v} for v in ("b", "a", "b", "")]}
    )
    record["descriptions"] = {"de": {"language": "de", "value": "Vogel"}, "en": {"language": "en", "value": "bird"}}
    record["claims"]["P279"] = [statement("Q1")]
    one, drops = read_one(tmp_path, record)
    assert one == Item("Q42", "heron 42", ["b", "a"], "bird", "Page 42", [("P31", "Q5"), ("P31", "Q9"), ("P279", "Q1")])
    assert drops == {}


def test_a_property_is_read_whole(tmp_path):
    record = {"type": "property", "id": "P31", "datatype": "wikibase-item", "labels": {"en": {"value": "instance of"}}}
    one, drops = read_one(tmp_path, record | {"aliases": [], "claims": {"P1": [statement("Q5"), literal("x")]}})
    assert one == Property("P31", "instance of", [], None, "wikibase-item")
    assert drops == {"property_statement": 2}


def test_php_writes_empty_maps_as_lists(tmp_path):
    record = {"type": "item", "id": "Q1"}
    assert read_one(tmp_path, record)[0] == Item("Q1", None, [], None, None, [])
    record |= {field: [] for field in ("labels", "descriptions", "aliases", "claims", "sitelinks")}
    assert read_one(tmp_path, record)[0] == Item("Q1", None, [], None, None, [])
    record["claims"] = {"P31": [statement("Q5", qualifiers=[])]}
    assert read_one(tmp_path, record)[0].statements == [("P31", "Q5")]


@pytest.mark.parametrize(
    ("group", "tails", "drops"),
    [
        ([statement("Q1"), statement("Q2")], ["Q1", "Q2"], {}),
        ([statement("Q1"), statement("Q2", "preferred")], ["Q2"], {"not_best_rank": 1}),
        ([statement("Q1", "deprecated"), statement("Q2")], ["Q2"], {"deprecated": 1}),
        ([statement("Q1", "deprecated")], [], {"deprecated": 1}),
        ([statement("Q1", "preferred"), statement("Q2", "deprecated")], ["Q1"], {"deprecated": 1}),
        ([snak("novalue") | {"rank": "preferred"}, statement("Q2")], [], {"novalue": 1, "not_best_rank": 1}),
        ([snak("somevalue"), statement("Q2")], ["Q2"], {"somevalue": 1}),
        ([statement("Q1"), statement("Q1")], ["Q1"], {"duplicate": 1}),
        ([literal("x"), literal({"time": "+2000"})], [], {"literal": 2}),
        ([identified({"entity-type": "property", "id": "P1"})], [], {"non_item_entity": 1}),
        ([identified({"entity-type": "item", "numeric-id": 7})], ["Q7"], {}),
        ([identified({"id": "Q0"})], [], {"invalid_value": 1}),
        ([identified("Q5")], [], {"invalid_value": 1}),
        ([snak(), snak("unheard-of"), statement("Q1", "unheard-of")], [], {"invalid_value": 3}),
        ([statement("Q1", qualifiers={"P1": [{}, {}], "P2": [{}]})], ["Q1"], {"qualifier": 3}),
    ],
)  # fmt: skip
def test_the_best_rank_of_items_is_kept_and_the_rest_counted(tmp_path, group, tails, drops):
    one, counted = read_one(tmp_path, entity(9) | {"claims": {"P31": group}})
    assert [tail for _, tail in one.statements] == tails
    assert counted == drops
    statements = {reason: count for reason, count in counted.items() if reason != "qualifier"}
    assert len(group) == len(tails) + sum(statements.values())


@pytest.mark.parametrize(
    ("language", "labels", "label"),
    [
        ("en", {"en": "heron", "de": "Reiher"}, "heron"),
        ("de", {"en": "heron", "de": "Reiher"}, "Reiher"),
        ("de", {"en": "heron", "mul": "Ardea"}, "Ardea"),
        ("de", {"en": "heron", "fr": "héron"}, "heron"),
        ("de", {"fr": "héron"}, None),
        ("pt-br", {"en": "heron", "pt": "garça"}, "garça"),
        ("zh", {"zh-hant": "鷺", "en": "heron"}, "鷺"),
        ("no", {"nb": "hegre", "en": "heron"}, "hegre"),
        ("simple", {"en": "heron"}, "heron"),
        ("de", {"de": "", "en": "heron"}, "heron"),
    ],
)
def test_labels_fall_back_along_the_language_chain(tmp_path, language, labels, label):
    record = entity(1) | {"labels": {code: {"language": code, "value": value} for code, value in labels.items()}}
    assert read_one(tmp_path, record, language)[0].label == label
    assert {"mul", "en"} <= set(language_chain(language)[-2:])


def test_the_article_is_the_languages_own(tmp_path):
    sites = {"enwiki": {"title": "Heron"}, "be_x_oldwiki": {"title": "Чапля"}, "dewikiquote": {"title": "x"}}
    record = entity(1) | {"sitelinks": sites}
    titles = {code: read_one(tmp_path, record, code)[0].title for code in ("en", "be-x-old", "de")}
    assert titles == {"en": "Heron", "be-x-old": "Чапля", "de": None}


@pytest.mark.parametrize(
    ("line", "key", "reason"),
    [
        ('{"type": "item", "id": "Q31" "badges": []}', "", "invalid_json"),
        ('{"type": "item", "id": "Q1"', "", "invalid_json"),
        ("not json", "", "invalid_json"),
        ('{"id": "Q1", "labels": {"en": {"value": "\\ud83d"}}}', "", "invalid_json"),
        ("[" * 3000 + "]" * 3000, "", "wrong_type"),
        ('{"id": "Q1", "labels": ' + '{"x":' * 3000 + "1" + "}" * 3000 + "}", "", "invalid_json"),
        ('{"type": "item"}', "", "missing_id"),
        ('{"type": "item", "id": 5}', "5", "wrong_type"),
        ('{"type": "item", "id": null}', "", "wrong_type"),
        ('{"type": "item", "id": "Q0"}', "Q0", "invalid_id"),
        ('{"type": "item", "id": "q5"}', "q5", "invalid_id"),
        ('{"type": "item", "id": "Q05"}', "Q05", "invalid_id"),
        ('{"type": "item", "id": "Q99999999999999999999"}', "Q99999999999999999999", "invalid_id"),
        ('{"type": "property", "id": "P0", "datatype": "string"}', "P0", "invalid_id"),
        ('{"type": "item", "id": "Q5", "labels": "none"}', "Q5", "wrong_type"),
        ('{"type": "item", "id": "Q5", "labels": {"en": "x"}}', "Q5", "wrong_type"),
        ('{"type": "item", "id": "Q5", "claims": {"P31": 7}}', "Q5", "wrong_type"),
        ("7", "", "wrong_type"),
    ],
)
def test_a_bad_line_costs_only_itself(tmp_path, line, key, reason):
    good = json.dumps(entity(1))
    records, _ = read(write(tmp_path, "x", f"[\n{good},\n{line},\n{good}\n]\n".encode()))
    assert entities(records) == ["Q1", "Q1"]
    assert reasons(records) == [(key, reason)]


def test_other_entities_are_counted(tmp_path):
    others = [{"type": t, "id": "L1"} for t in ("lexeme", "lexeme", "mediainfo", "unheard-of")]
    records, drops = read(write(tmp_path, "x", array([*others, {"entity": "Q1", "redirect": "Q2"}, entity(3)])))
    assert entities(records) == ["Q3"]
    assert drops == {"entity_lexeme": 2, "entity_mediainfo": 1, "entity_other": 1, "entity_redirect": 1}


@pytest.mark.parametrize(
    "data",
    [
        array(ENTITIES),
        "\n".join(map(json.dumps, ENTITIES)).encode(),
        json.dumps(ENTITIES[0]).encode(),
        b"[" + b",\n".join(json.dumps(one).encode() for one in ENTITIES) + b"]",
        b"\xef\xbb\xbf" + array(ENTITIES).replace(b"\n", b"\r\n"),
        b"\n\n" + array(ENTITIES) + b"\n\n",
        json.dumps(ENTITIES[0]).encode("utf-16"),
    ],
    ids=["array", "lines", "one line", "tight array", "windows", "blank lines", "utf-16"],
)
def test_arrays_and_lines_are_read(tmp_path, data):
    records, drops = read(write(tmp_path, "x", data))
    assert entities(records) == [one["id"] for one in ENTITIES[: len(records)]]
    assert len(records) in (1, 40) and drops == {}


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("parts", [1, 7, 40])
def test_ranges_give_what_the_sequence_gives(tmp_path, kind, parts):
    path = write(tmp_path, "x", compress(array(ENTITIES), kind, parts))
    expected = read(path)
    assert len(expected[0]) == 40
    for target in (1, 1000, 5000):
        assert read(path, target=target) == expected


def test_every_cut_into_two_ranges_gives_the_same_entities(tmp_path):
    data = array([entity(1), entity(2), {"type": "item"}])
    path = write(tmp_path, "x", data)
    expected = read(path)[0]
    for cut in range(1, len(data)):
        pieces = (Range(path, 0, cut), Range(path, cut, len(data)))
        assert [one for part in pieces for one in read_entities(part, "en", Counter())] == expected


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("target", [1, 1 << 26])
def test_a_cut_tail_keeps_every_whole_entity_and_is_reported_once(tmp_path, kind, target):
    data = compress(array(ENTITIES), kind, 1 if kind == "plain" else 6)
    for share in (0.5, 0.7, 0.95):
        records, _ = read(write(tmp_path, f"{share}", data[: int(len(data) * share)]), target=target)
        assert reasons(records) == [("", "truncated")]
        assert entities(records) == [f"Q{i}" for i in range(1, len(records))]
        assert len(records) >= 40 * share * share * 0.7


def test_every_cut_of_an_array_is_reported_once(tmp_path):
    data = array([entity(1, tails=["Q2"]), entity(2)])
    end = data.rindex(b"]")
    for cut in range(10, end):
        records, _ = read(write(tmp_path, f"{cut}", data[:cut]))
        assert reasons(records) == [("", "truncated")], data[cut - 20 : cut]


def test_a_line_over_the_limit_is_rejected_and_the_next_is_kept(tmp_path):
    data = array([entity(1), entity(2, label="x" * 3_000_000), entity(3)])
    records, _ = read(write(tmp_path, "x", data), max_line=2_000_000)
    assert entities(records) == ["Q1", "Q3"] and reasons(records) == [("", "line_too_long")]
    records, _ = read(write(tmp_path, "y", array([entity(1), entity(2), entity(3, label="x" * 500)])), max_line=400)
    assert entities(records) == ["Q1", "Q2"] and reasons(records) == [("", "line_too_long")]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        *(("1", True), ("9223372036854775807", True)),
        *((text, False) for text in ("9223372036854775808", "0", "01", "", "-1", "1 ", "1\n", "१")),
    ],
)
def test_ids_are_a_letter_and_a_positive_int64(text, valid):
    assert is_item_id("Q" + text) is valid and is_property_id("P" + text) is valid
    assert not is_item_id("P" + text) and not is_property_id("Q" + text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["id", "type", "labels", "claims", "sitelinks", "aliases", "descriptions"]), max_size=2),
    json_values,
    st.sampled_from([(), ("P31",), ("P31", 0), ("P31", 0, "mainsnak"), ("P31", 0, "mainsnak", "datavalue", "value")]),
)
def test_any_change_of_an_entity_gives_a_record_or_a_reject(tmp_path_factory, fields, value, inside):
    record = entity(5, tails=["Q6"])
    for field in fields:
        record[field] = value
    node = record.get("claims") if not fields else None
    for step in inside[:-1] if node is not None else ():
        node = node[step]
    if node is not None and inside:
        node[inside[-1]] = value
    path = write(tmp_path_factory.mktemp("x"), "x", array([record, entity(7)]))
    records, drops = read(path)
    assert entities(records)[-1] == "Q7"
    assert len(records) + sum(count for reason, count in drops.items() if reason.startswith("entity_")) == 2


def test_real_dumps_lose_nothing_uncounted(real_data):
    for name, items, properties, rejects, statements, dropped in (
        ("mock-dump-with-bugs.json", 55, 46, 0, 119, 0),
        ("wikidata-20151109-1000.json.gz", 542, 458, 0, 10_689, 9_757),
        ("wikidata-100-items.json.bz2", 100, 0, 0, 5_143, 7_456),
    ):
        records, drops = read(str(real_data / "wikidata" / name))
        kinds = Counter(type(one).__name__ for one in records)
        assert (kinds["Item"], kinds["Property"], kinds["Reject"]) == (items, properties, rejects)
        assert sum(len(one.statements) for one in records if isinstance(one, Item)) == statements
        assert sum(drops.values()) - drops.get("qualifier", 0) - drops.get("property_statement", 0) == dropped
