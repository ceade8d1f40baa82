"""Wikidata's JSON to items and properties: every statement is kept or counted, every bad line rejected."""

import json
from collections import Counter

import pytest

from pipelines.sources import Reject
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.wikidata import Item, Property, is_item_id, is_property_id, read_entities
from pipelines.sources.wikidata_languages import language_chain, site_name
from schemas.errors import DataError
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
    return [f"Q{one.item}" for one in records if isinstance(one, Item)]


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
    assert one == Item(42, "heron 42", ["b", "a"], "bird", "Page 42", relations=[31, 31, 279], tails=[5, 9, 1])
    assert drops == {}


def test_a_property_is_read_whole(tmp_path):
    record = {"type": "property", "id": "P31", "datatype": "wikibase-item", "labels": {"en": {"value": "instance of"}}}
    one, drops = read_one(tmp_path, record | {"aliases": [], "claims": {"P1": [statement("Q5"), literal("x")]}})
    assert one == Property(31, "instance of", [], None, "wikibase-item")
    assert drops == {"property_statement": 2}


def test_php_writes_empty_maps_as_lists(tmp_path):
    record = {"type": "item", "id": "Q1"}
    assert read_one(tmp_path, record)[0] == Item(1, None, [], None, None, [], [])
    record |= {field: [] for field in ("labels", "descriptions", "aliases", "claims", "sitelinks")}
    assert read_one(tmp_path, record)[0] == Item(1, None, [], None, None, [], [])
    record["claims"] = {"P31": [statement("Q5", qualifiers=[])]}
    assert read_one(tmp_path, record)[0].tails == [5]


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
        ([identified({"numeric-id": 7, "id": "Q7"}), identified({"id": "Q7"})], ["Q7"], {"duplicate": 1}),
        ([identified({"numeric-id": n}) for n in (0, -7, 2**63, True, 7.0, "7")], [], {"invalid_value": 6}),
        ([identified({"id": i}) for i in ("Q0", "q7", "Q07", "P7", "7", "", 7, ["Q7"])], [], {"invalid_value": 8}),
        ([identified({"numeric-id": 0, "id": "Q7"})], ["Q7"], {}),
        ([identified("Q5")], [], {"invalid_value": 1}),
        ([snak(), snak("unheard-of"), statement("Q1", "unheard-of")], [], {"invalid_value": 3}),
        ([statement("Q1", qualifiers={"P1": [{}, {}], "P2": [{}]})], ["Q1"], {"qualifier": 3}),
    ],
)  # fmt: skip
def test_the_best_rank_of_items_is_kept_and_the_rest_counted(tmp_path, group, tails, drops):
    one, counted = read_one(tmp_path, entity(9) | {"claims": {"P31": group}})
    assert one.relations == [31] * len(tails) and one.tails == [int(tail[1:]) for tail in tails]
    assert counted == drops
    statements = {reason: count for reason, count in counted.items() if reason != "qualifier"}
    assert len(group) == len(tails) + sum(statements.values())


def test_statements_of_what_is_no_property_are_counted(tmp_path):
    groups = {name: [statement("Q1"), statement("Q1"), literal("x")] for name in ("P0", "Q31", "P31")}
    one, drops = read_one(tmp_path, entity(9) | {"claims": groups})
    assert (one.relations, one.tails) == ([31], [1])
    assert drops == {"duplicate": 3, "literal": 3, "invalid_value": 2}


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
        ("nb", {"no": "hegre", "en": "heron"}, "hegre"),
        ("kk", {"kk-cyrl": "құтан", "en": "heron"}, "құтан"),
        ("simple", {"en": "heron"}, "heron"),
        ("de", {"de": "", "en": "heron"}, "heron"),
    ],
)
def test_labels_fall_back_along_the_language_chain(tmp_path, language, labels, label):
    record = entity(1) | {"labels": {code: {"language": code, "value": value} for code, value in labels.items()}}
    assert read_one(tmp_path, record, language)[0].label == label
    assert {"mul", "en"} <= set(language_chain(language)[-2:])


def test_the_site_of_a_wiki_keeps_its_old_code():
    codes = ("en", "simple", "no", "nb", "be-x-old", "be-tarask", "yue", "zh-yue", "gsw", "roa-tara")
    sites = ("en", "simple", "no", "no", "be_x_old", "be_x_old", "zh_yue", "zh_yue", "als", "roa_tara")
    assert [site_name(code) for code in codes] == [f"{site}wiki" for site in sites]


def test_the_article_is_the_languages_own(tmp_path):
    sites = {"enwiki": {"title": "Heron"}, "be_x_oldwiki": {"title": "Чапля"}, "dewikiquote": {"title": "x"}}
    record = entity(1) | {"sitelinks": sites}
    titles = {code: read_one(tmp_path, record, code)[0].title for code in ("en", "be-x-old", "de")}
    assert titles == {"en": "Heron", "be-x-old": "Чапля", "de": None}


@pytest.mark.parametrize(
    ("line", "key", "reason"),
    [
        ('{"type": "item", "id": "Q31" "badges": []}', "Q31", "invalid_json"),
        ('{"type": "item", "id": "Q1"', "Q1", "invalid_json"),
        ("not json", "", "invalid_json"),
        ('{"id": "Q1", "labels": {"en": {"value": "\\ud83d"}}}', "Q1", "invalid_json"),
        ('{"id": "Q1", "labels": {"en": {"value": "\udcff"}}}', "Q1", "invalid_json"),
        ('{"labels": {"id": {"value": "x"}}, "claims": {"P1": [{"id": "Q5"', "", "invalid_json"),
        ("[" * 3000 + "]" * 3000, "", "invalid_json"),
        ('{"id": "Q1", "labels": ' + '{"x":' * 3000 + "1" + "}" * 3000 + "}", "Q1", "invalid_json"),
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
        ('{"type": "item", "id": "Q5", "claims": [{"m": ["value", 31]}]}', "Q5", "wrong_type"),
        ('{"type": "item", "id": "Q5", "claims": {"P31": [{"rank": "normal"}]}}', "Q5", "wrong_type"),
        ('{"type": "item", "id": "Q5", "claims": 7', "Q5", "invalid_json"),
        ("7", "", "wrong_type"),
        ("[[]]", "", "wrong_type"),
    ],
)
def test_a_bad_line_costs_only_itself(tmp_path, line, key, reason):
    good = json.dumps(entity(1))
    records, _ = read(write(tmp_path, "x", f"[\n{good},\n{line},\n{good}\n]\n".encode(errors="surrogateescape")))
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
        json.dumps(ENTITIES).encode(),
        b"[\n" + array(ENTITIES[:3]).replace(b"\n", b"")[1:-1] + b",\n" + array(ENTITIES[3:])[2:],
        json.dumps(ENTITIES[0]).encode("utf-16"),
    ],
    ids=[
        "array",
        "lines",
        "one line",
        "tight array",
        "windows",
        "blank lines",
        "one-line array",
        "some a line",
        "utf-16",
    ],
)
def test_arrays_and_lines_are_read(tmp_path, data):
    records, drops = read(write(tmp_path, "x", data))
    assert entities(records) == [one["id"] for one in ENTITIES[: len(records)]]
    assert len(records) in (1, 40) and drops == {}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ENTITIES, indent=2),
        json.dumps(ENTITIES[0], indent="\t"),
        "\ufeff[{\r\n" + json.dumps(ENTITIES[0], indent=1)[1:] + "]",
        "\n\n" + json.dumps(ENTITIES[:1], indent=0),
    ],
    ids=["array", "entity", "windows", "blank lines"],
)
def test_an_entity_spread_over_lines_is_a_clear_error(tmp_path, text):
    with pytest.raises(DataError, match="one entity a line"):
        read(write(tmp_path, "x", text.encode()))


def test_an_odd_last_line_without_a_newline_keeps_its_reason(tmp_path):
    lines = [json.dumps(one) for one in (entity(1), {"type": "item", "id": 5})]
    records, _ = read(write(tmp_path, "x", "\n".join(lines).encode()))
    assert entities(records) == ["Q1"] and reasons(records) == [("5", "wrong_type")]
    records, _ = read(write(tmp_path, "y", "\n".join(lines)[:-1].encode()))
    assert entities(records) == ["Q1"] and reasons(records) == [("", "truncated")]


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


def test_real_dumps_lose_nothing_uncounted(real_data):
    for name, items, properties, rejects, statements, dropped in (
        ("mock-dump-with-bugs.json", 55, 46, 0, 119, 0),
        ("wikidata-20151109-1000.json.gz", 542, 458, 0, 10_689, 9_757),
        ("wikidata-100-items.json.bz2", 100, 0, 0, 5_143, 7_456),
    ):
        records, drops = read(str(real_data / "wikidata" / name))
        kinds = Counter(type(one).__name__ for one in records)
        assert (kinds["Item"], kinds["Property"], kinds["Reject"]) == (items, properties, rejects)
        assert sum(len(one.tails) for one in records if isinstance(one, Item)) == statements
        assert sum(drops.values()) - drops.get("qualifier", 0) - drops.get("property_statement", 0) == dropped
