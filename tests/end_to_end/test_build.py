"""The build, end to end: on the examples, and on real dumps."""

import bz2
import collections
import gzip
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.audit import audit
from pipelines.sinks import file_digest
from pipelines.validate import validate
from schemas.dataset import Dataset
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, EXAMPLES, digest, sample_inputs, wikiloom
from wikiloom import main


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def read(path):
    return (bz2 if path.suffix == ".bz2" else gzip).decompress(path.read_bytes())


def build(*words):
    """The build command in this process: Beam is imported once for all tests."""
    assert main(["build", *map(str, words)]) == 0


def test_examples_build_is_whole_and_keeps_more_than_a_thousand_triples(demo_dataset):
    assert list(validate(demo_dataset)) == []
    dataset = Dataset(demo_dataset)
    assert dataset.rows("triples") > 1_000
    assert all(
        dataset.rows(table, split)
        for table in ("pages", "triples", "wk_graphs")
        for split in ("train", "valid", "test")
    )


def test_what_comes_in_goes_out_or_is_counted(demo_dataset):
    document = manifest(demo_dataset)
    stages, drops = document["stages"], document["drops"]
    # The miniature wiki knows its own numbers (examples/README.md).
    pages = read(EXAMPLES / "enwiki-mini.xml.bz2").count(b"<page>")
    lines = read(EXAMPLES / "wikidata-mini.json.gz").splitlines()
    lines = [line for line in lines if line.strip() not in (b"[", b"]", b",", b"")]
    assert stages["wikipedia"]["in"] == pages
    assert stages["wikidata"]["in"] == len(lines)
    assert stages["align"]["in"] == stages["wikipedia"]["out"]["articles"]
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    assert stages["align"]["out"]["pages"] == rows["pages"]
    assert stages["graph"]["out"]["triples"] == rows["triples"]
    assert stages["wk_graphs"]["out"]["wk_graphs"] == rows["wk_graphs"]
    for stage in ("wikidata", "wikipedia", "align", "graph", "wk_graphs"):
        assert stages[stage]["in"] == sum(stages[stage]["out"].values()) + sum(drops.get(stage, {}).values())
    assert drops["align"]["disambiguation"] == 4


def test_same_digest_elsewhere_with_other_ranges_shards_and_two_files(demo_dataset, tmp_path):
    xml = read(EXAMPLES / "enwiki-mini.xml.bz2")
    cut = xml.index(b"<page>", len(xml) // 2)
    (tmp_path / "a.xml").write_bytes(xml[:cut] + b"</mediawiki>\n")
    (tmp_path / "b.xml.bz2").write_bytes(bz2.compress(xml[: xml.index(b"<page>")] + xml[cut:]))
    lines = read(EXAMPLES / "wikidata-mini.json.gz").splitlines(keepends=True)
    (tmp_path / "a.json").write_bytes(b"".join(lines[:300]) + b"]\n")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b"[\n" + b"".join(lines[300:])))
    inputs = [
        "--wikipedia",
        tmp_path / "b.xml.bz2",
        tmp_path / "a.xml",
        "--wikidata",
        tmp_path / "a.json",
        tmp_path / "b.json.gz",
    ]
    build(*inputs, *DEMO_SHARES, "--set", "rows_per_shard=100", "--out", tmp_path / "d")
    assert digest(tmp_path / "d") == digest(demo_dataset)
    assert len(list((tmp_path / "d/entities").glob("*.parquet"))) == 4
    assert list(validate(tmp_path / "d")) == []


def test_mentions_are_added_to_the_links_and_change_no_count(demo_dataset, tmp_path):
    settings = ("--set", "self_mentions=true", "--set", "repeat_mentions=true")
    build(*DEMO_INPUTS, *DEMO_SHARES, *settings, "--out", tmp_path / "d")
    assert list(validate(tmp_path / "d")) == []
    plain, more = Dataset(demo_dataset), Dataset(tmp_path / "d")
    for one, other in zip(plain.read("pages").to_pylist(), more.read("pages").to_pylist(), strict=True):
        links = other.pop("links")
        assert one.pop("links") == [link for link in links if link["source"] == "link"]
        assert one == other
        first = {}
        for link in links:
            surface = other["text"][link["start"] : link["end"]]
            if link["source"] == "repeat" and surface in first:
                assert (link["target"], link["entity"]) == first[surface]
            first.setdefault(surface, (link["target"], link["entity"]))
    drops = manifest(demo_dataset)["drops"]
    assert manifest(tmp_path / "d")["drops"]["link_entities"] == drops["link_entities"]
    for name, columns in (("anchors", ["surface", "count"]), ("entities", ["entity", "mention_count"])):
        assert more.read(name, columns=columns) == plain.read(name, columns=columns)
    assert more.rows("wk_graphs") > plain.rows("wk_graphs")


def test_the_index_beside_a_dump_changes_nothing(demo_dataset, tmp_path):
    index = EXAMPLES / "enwiki-mini-index.txt.bz2"
    build("--wikipedia", index, *DEMO_INPUTS[1:], *DEMO_SHARES, "--out", tmp_path / "d")
    assert digest(tmp_path / "d") == digest(demo_dataset)


def test_without_wikidata_pages_are_still_extracted(tmp_path):
    build(*DEMO_INPUTS[:2], "--out", tmp_path / "d")
    dataset = Dataset(tmp_path / "d")
    assert dataset.rows("pages") > 300
    assert dataset.rows("entities") == dataset.rows("triples") == dataset.rows("wk_graphs") == 0
    assert list(validate(tmp_path / "d")) == []


def test_excluded_facts_are_gone_and_counted(demo_dataset, tmp_path, capsys):
    before = Dataset(demo_dataset).read("triples").select(["head", "relation", "tail"]).to_pylist()
    banned = before[:7]
    lines = ["\t".join(row.values()) for row in banned]
    (tmp_path / "x.tsv").write_text("\n".join([*lines, lines[0], "Q1\tP1\tQ2"]) + "\n")
    build(*DEMO_INPUTS, *DEMO_SHARES, "--exclude-triples", tmp_path / "x.tsv", "--out", tmp_path / "d")
    left = Dataset(tmp_path / "d").read("triples").select(["head", "relation", "tail"]).to_pylist()
    assert {tuple(row.values()) for row in left} == {tuple(row.values()) for row in before if row not in banned}
    document = manifest(tmp_path / "d")
    assert document["drops"]["graph"]["excluded"] == 7
    assert document["graph"]["excluded_triples"] == {"listed": 8, "found": 7, "removed": 7}
    assert "excluded triples: listed 8, found 7, removed 7" in capsys.readouterr().out
    report = audit(tmp_path / "d", exclude_triples=tmp_path / "x.tsv")
    assert report.violations == []
    assert (report.document["excluded"]["in_triples"], report.document["excluded"]["of_the_build"]) == (0, True)


def dump(path, *pages):
    """A dump of (page id, revision, title, wikitext)."""
    path.write_text(
        "<mediawiki><siteinfo></siteinfo>"
        + "".join(
            f"<page><title>{title}</title><ns>0</ns><id>{page_id}</id><revision><id>{revision}</id>"
            f"<text>{text}</text></revision></page>"
            for page_id, revision, title, text in pages
        )
        + "</mediawiki>"
    )
    return path


def entities(path, *records):
    """A Wikidata dump of these entities."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
    return path


def item(number, label, *facts):
    """An item with an article of its label's name, and (property, item) facts."""
    claims = {}
    for relation, tail in facts:
        value = {"entity-type": "item", "id": f"Q{tail}"}
        snak = {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": value}}
        claims.setdefault(f"P{relation}", []).append({"mainsnak": snak, "rank": "normal"})
    return {
        "id": f"Q{number}",
        "type": "item",
        "labels": {"en": {"language": "en", "value": label}},
        "sitelinks": {"enwiki": {"site": "enwiki", "title": label}},
        "claims": claims,
    }


@pytest.mark.slow
def test_the_same_dumps_twice_change_only_the_counts(demo_dataset, tmp_path):
    words = [DEMO_INPUTS[0], *[DEMO_INPUTS[1]] * 2, DEMO_INPUTS[2], *[DEMO_INPUTS[3]] * 2]
    build(*words, *DEMO_SHARES, "--out", tmp_path / "d")
    document, once = manifest(tmp_path / "d"), manifest(demo_dataset)
    tables = {name: table["digest"] for name, table in document["tables"].items() if name != "rejects"}
    assert tables == {name: table["digest"] for name, table in once["tables"].items() if name != "rejects"}
    articles = once["stages"]["wikipedia"]["out"]["articles"]
    assert document["drops"]["align"]["older_revision"] == once["drops"]["align"].get("older_revision", 0) + articles


def test_of_two_targets_of_a_redirect_the_order_of_the_files_decides_nothing(tmp_path):
    one = dump(tmp_path / "one.xml", (1, 1, "Oslo", "Oslo is a city in [[Norge]]."), (2, 1, "Norge", "#REDIRECT [[A]]"))
    two = dump(tmp_path / "two.xml", (3, 2, "Norge", "#REDIRECT [[B]]"))
    wikidata = entities(tmp_path / "w.json", item(1, "A"), item(2, "B"), item(3, "Oslo"))
    for name, files in (("d", (one, two)), ("e", (two, one))):
        build("--wikipedia", *files, "--wikidata", wikidata, "--keep", "linked", "--out", tmp_path / name)
    assert digest(tmp_path / "d") == digest(tmp_path / "e")
    assert manifest(tmp_path / "d")["drops"]["redirects"]["duplicate_title"] == 1
    [page] = Dataset(tmp_path / "d").read("pages").to_pylist()
    [row] = Dataset(tmp_path / "d").read("redirects").to_pylist()
    assert row["entity"] == page["links"][0]["entity"] == {"A": "Q1", "B": "Q2"}[row["target"]]


def test_a_users_templates_are_rendered_and_belong_to_the_build(tmp_path, capsys):
    wikipedia = dump(tmp_path / "w.xml", (1, 1, "Heron", "A {{heron kind|grey|tall=1 m}} waits at {{convert|2|mi}}."))
    words = ("--wikipedia", wikipedia, "--templates", tmp_path / "t.toml", "--out", tmp_path / "d")
    for pattern, text in (
        ("{1} bird[ ({tall})]", "A grey bird (1 m) waits at 2 miles."),
        ("[[{1}]]", "A grey waits at 2 miles."),
    ):
        (tmp_path / "t.toml").write_text(f'[templates]\n"heron kind" = "{pattern}"\n')
        build(*words)
        [page] = Dataset(tmp_path / "d").read("pages").to_pylist()
        assert (page["text"], [link["target"] for link in page["links"]]) == (text, ["Grey"] * (pattern[0] == "["))
        assert "t.toml" in [file["name"] for file in manifest(tmp_path / "d")["inputs"]]
    build(*words)
    assert "unchanged" in capsys.readouterr().out


def test_keep_all_keeps_facts_of_relations_that_the_dump_does_not_describe(tmp_path):
    wikipedia = dump(tmp_path / "w.xml", (1, 1, "Oslo", "Oslo is the capital of [[Norway]]."))
    wikidata = entities(tmp_path / "w.json", item(1, "Oslo", (17, 2)), item(2, "Norway", (36, 1)), item(3, "Elsewhere"))
    for keep, triples, dropped in (("all", 2, 0), ("linked", 0, 2)):
        out = tmp_path / keep
        build("--wikipedia", wikipedia, "--wikidata", wikidata, "--keep", keep, "--out", out)
        assert Dataset(out).rows("triples") == triples
        assert manifest(out)["drops"].get("graph", {}).get("relation_without_label", 0) == dropped
        assert list(validate(out)) == []
    assert manifest(tmp_path / "linked")["drops"]["items"] == {"not_kept": 1}


def test_rows_of_page_props_that_name_no_item_are_passed_over(tmp_path):
    wikipedia = dump(tmp_path / "w.xml", (7, 1, "Oslo", "Oslo is the capital of Norway."), (8, 1, "Other", "Other."))
    values = (
        "(7,'wikibase_item','Q585',NULL),(8,'wikibase_item','Q',NULL),(9,'wikibase_item','Q99999999999999999999',NULL)"
    )
    (tmp_path / "props.sql").write_text(f"INSERT INTO `page_props` VALUES {values};\n")
    build("--wikipedia", wikipedia, "--page-props", tmp_path / "props.sql", "--out", tmp_path / "d")
    assert Dataset(tmp_path / "d").read("pages")["entity"].to_pylist() == ["Q585", None]
    assert list(validate(tmp_path / "d")) == []


@pytest.mark.slow
def test_a_page_with_100_000_links_builds(tmp_path):
    links = " ".join(f"[[Page {i % 30000}|Surface {i}]] and so on." for i in range(100_000))
    wikipedia = dump(tmp_path / "w.xml", (1, 1, "Index", links), (2, 1, "Page 7", "Page 7 is one of many."))
    wikidata = entities(
        tmp_path / "w.json", *(item(i + 1, f"Page {i}") for i in range(0, 30000, 10)), item(99999, "Index")
    )
    settings = ("--set", "self_mentions=true", "--set", "repeat_mentions=true")
    build("--wikipedia", wikipedia, "--wikidata", wikidata, "--keep", "linked", *settings, "--out", tmp_path / "d")
    dataset = Dataset(tmp_path / "d")
    [page] = [page for page in dataset.read("pages").to_pylist() if page["title"] == "Index"]
    found = [link for link in page["links"] if link["source"] == "link"]
    assert len(found) == 100_000
    assert sum(link["entity"] is not None for link in found) == 10_000
    assert list(validate(tmp_path / "d")) == []


def test_a_page_id_too_large_for_a_graph_id_is_rejected(tmp_path):
    wikipedia = dump(tmp_path / "w.xml", (1, 1, "Oslo", "Oslo."), (2**36, 1, "Far", "Far is near [[Oslo]]."))
    build(
        "--wikipedia",
        wikipedia,
        "--wikidata",
        entities(tmp_path / "w.json", item(1, "Oslo"), item(2, "Far")),
        "--keep",
        "linked",
        "--out",
        tmp_path / "d",
    )
    assert [row["key"] for row in Dataset(tmp_path / "d").read("rejects").to_pylist()] == ["Far"]


def test_sample_has_its_pages_links_and_entities(sample_dataset):
    dataset = Dataset(sample_dataset)
    pages = dataset.read("pages").to_pylist()
    assert len(pages) == 98
    assert all(page["entity"] for page in pages)
    assert manifest(sample_dataset)["drops"]["align"] == {"disambiguation": 8}
    links = [(page, link) for page in pages for link in page["links"]]
    assert len(links) >= 22_000
    assert sum(link["entity"] is not None for _, link in links) >= 4_000
    assert all(page["text"][link["start"] : link["end"]].strip() for page, link in links)
    graphs = dataset.read("wk_graphs").to_pylist()
    assert graphs
    for graph in graphs:
        counts = collections.Counter(triple["anchor"] for triple in graph["triples"])
        assert max(counts.values(), default=0) <= 15
    assert list(validate(sample_dataset)) == []


@pytest.mark.slow
def test_sample_with_the_heads_of_the_real_sql_dumps(real_data, tmp_path, capsys):
    names = {
        name: real_data / f"wikipedia/enwiki-20150112-{name}.sql.head.gz" for name in ("page", "redirect", "page_props")
    }
    words = [word for word in sample_inputs(real_data) if word != real_data / "wikipedia/enwiki-redirects.tsv"]
    place = words.index("--redirects") + 1
    words[place:place] = [names["page"], names["redirect"], "--page-props", names["page_props"]]
    build(*words, "--out", tmp_path / "d")
    assert [line[:40] for line in capsys.readouterr().err.splitlines()] == [
        "warning: the list of --redirects is cut ",
        "warning: the list of --page-props is cut",
    ]
    drops = manifest(tmp_path / "d")["drops"]
    assert drops["page_props"] == {"truncated": 1}
    lists = drops["redirect_list"]
    assert lists.pop("truncated") == 2  # page.sql and redirect.sql
    dataset = Dataset(tmp_path / "d")
    rows = dataset.read("redirects").to_pylist()
    own = manifest(tmp_path / "d")["stages"]["wikipedia"]["out"]["redirects"]
    # Rows of both = rows of the table + those that are left out.
    assert own + 28_013 == len(rows) + sum(lists.values()) + sum(drops["redirects"].values())
    assert all(row["page_id"] for row in rows)
    assert sum(row["entity"] is None for row in rows) == sum(drops["redirect_entities"].values())
    links = [link for page in dataset.read("pages").to_pylist() for link in page["links"]]
    assert sum(link["entity"] is None for link in links) == sum(drops["link_entities"].values())
    assert [row["stage"] for row in dataset.read("rejects").to_pylist() if row["reason"] == "truncated"] == [
        "page_props",
        "redirect_list",
        "redirect_list",
    ]
    assert list(validate(tmp_path / "d")) == []


@pytest.mark.slow
def test_sample_read_in_many_ranges_has_the_same_digest(sample_dataset, real_data, tmp_path, capsys):
    words = list(sample_inputs(real_data))
    wikidata = read(words[words.index("--wikidata") + 1])
    members = [wikidata[start : start + 1_000_000] for start in range(0, len(wikidata), 1_000_000)]
    wikipedia, entities = tmp_path / "one-stream.xml.bz2", tmp_path / "members.json.gz"
    wikipedia.write_bytes(bz2.compress(read(words[1]), 1))
    entities.write_bytes(b"".join(map(gzip.compress, members)))
    words[1], words[words.index("--wikidata") + 1] = wikipedia, entities
    words += ["--set", "range_mb=1", "--out", tmp_path / "d"]
    build(*words, "--dry-run")
    assert "wikidata: 5 ranges" in (said := capsys.readouterr().out) and "wikipedia: 2 ranges" in said
    build(*words)
    assert digest(tmp_path / "d") == digest(sample_dataset)


def test_a_truncated_dump_builds_every_complete_page_and_says_so(sample_dataset, real_data, tmp_path, capsys):
    raw = (real_data / "wikipedia/enwiki-sample.xml.bz2").read_bytes()
    (tmp_path / "cut.xml.bz2").write_bytes(raw[: len(raw) * 2 // 3])
    words = list(sample_inputs(real_data))
    build(words[0], tmp_path / "cut.xml.bz2", *words[2:], "--out", tmp_path / "d")
    assert len(capsys.readouterr().err.splitlines()) == 1
    rejects = Dataset(tmp_path / "d").read("rejects").to_pylist()
    assert [row["reason"] for row in rejects if row["stage"] == "wikipedia"] == ["truncated"]
    assert manifest(tmp_path / "d")["drops"]["wikipedia"]["truncated"] == 1
    text = {row["page_id"]: row["text"] for row in Dataset(sample_dataset).read("pages").to_pylist()}
    pages = Dataset(tmp_path / "d").read("pages").to_pylist()
    whole = bz2.BZ2Decompressor().decompress(raw[: len(raw) * 2 // 3])
    complete = [
        int(piece.split(b"<id>")[1].split(b"<")[0]) for piece in whole.split(b"<page>")[1:] if b"</page>" in piece
    ]
    assert {page["page_id"] for page in pages} == set(complete) & set(text)
    assert all(page["text"] == text[page["page_id"]] for page in pages)


def test_another_language_builds(real_data, tmp_path):
    wikiloom(
        "build",
        "--wikipedia",
        real_data / "wikipedia/bgwiki-sample.xml.bz2",
        "--language",
        "bg",
        "--out",
        tmp_path / "d",
    )
    assert Dataset(tmp_path / "d").rows("pages") > 0
    assert list(validate(tmp_path / "d")) == []


@pytest.mark.parametrize("change", ["flip", "missing", "offset", "unlisted"])
def test_validate_finds_a_planted_fault_and_says_where(demo_dataset, tmp_path, change):
    shutil.copytree(demo_dataset, tmp_path / "d")
    path = next((tmp_path / "d/pages").glob("train-*"))
    if change == "flip":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif change == "missing":
        path.unlink()
    elif change == "unlisted":
        shutil.copy(path, path.with_name("train-00009-of-00010.parquet"))
    else:
        table = pq.read_table(path)
        lead_ends = pa.array([10**6, *table["lead_end"].to_pylist()[1:]], pa.int32())
        table = table.set_column(8, table.schema.field("lead_end"), lead_ends)
        pq.write_table(table, path)
        document = manifest(tmp_path / "d")
        for shard in document["tables"]["pages"]["shards"]:
            if shard["path"].endswith(path.name):
                shard["sha256"] = file_digest(path)
        (tmp_path / "d/manifest.json").write_text(json.dumps(document))
    problems = list(validate(tmp_path / "d"))
    assert problems
    assert any(str(path.parent) in problem for problem in problems)
