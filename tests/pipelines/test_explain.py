"""What a dataset can say of an item or a title."""

import json

import pytest

from pipelines.explain import explain, lines, nearest_names
from schemas.dataset import Dataset
from wikiloom import main


def test_an_entity_is_found_with_its_row_page_triples_and_graphs(demo_dataset):
    document = explain(demo_dataset, "q7186")
    dataset = Dataset(demo_dataset)
    entity = document["entity"]
    assert dataset.read("entities")["entity"][entity["entity_index"]].as_py() == "Q7186"
    assert (entity["shard"], entity["row"]) == ("entities/entities-00000-of-00001.parquet", entity["entity_index"])
    assert [page["title"] for page in document["pages"]] == ["Marie Curie"]
    page = document["pages"][0]
    assert dataset.read("pages", page["split"])["title"][page["row"]].as_py() == "Marie Curie"
    triples = dataset.read("triples").to_pylist()
    for split in ("train", "valid", "test"):
        of_split = [row for row in triples if row["split"] == split]
        counts = {end: sum(row[end] == "Q7186" for row in of_split) for end in ("head", "tail")}
        assert document["triples"].get(split, {"head": 0, "tail": 0}) == counts
    graphs = dataset.read("wk_graphs", "train").to_pylist()
    mentioned = [any(m["entity_index"] == entity["entity_index"] for m in graph["mentions"]) for graph in graphs]
    assert document["graphs"]["train"]["mention"] == sum(mentioned)
    assert sum(document["anchors"].values()) == entity["mention_count"]


@pytest.mark.parametrize("title", ["Skłodowska", "skłodowska", "Maria_Skłodowska", "Marie Curie#Life"])
def test_titles_are_normalised_and_redirects_followed(title, demo_dataset):
    document = explain(demo_dataset, title)
    assert document["entity"]["entity"] == "Q7186"
    assert len(document["redirects"]) == {"S": 2, "s": 2}.get(title[0], 1 if "_" in title else 0)


def test_a_circle_of_redirects_ends(demo_dataset):
    document = explain(demo_dataset, "Tweedledum")
    assert [row["title"] for row in document["redirects"]] == ["Tweedledum", "Tweedledee"]
    assert document["entity"] is None
    assert "a redirect that ends at no entity" in document["why"][0]


def test_a_red_link_is_known_by_its_links_only(demo_dataset):
    document = explain(demo_dataset, "Café talk")
    links = Dataset(demo_dataset).read("pages")["links"].to_pylist()
    named = [link for of_page in links for link in of_page if link["target"] == "Café talk"]
    assert document["links"]["links"] == document["links"]["without_entity"] == len(named) > 0
    assert document["why"][0] == "not here: no page, redirect or entity of that name"


def test_a_page_without_an_item_says_so(demo_dataset):
    document = explain(demo_dataset, "Odd links")
    assert document["pages"][0]["entity"] is None
    assert document["why"] == [
        "a page without entity: no item of the Wikidata dump names its title, or the item was not kept"
    ]


def test_a_relation_is_found(demo_dataset):
    assert explain(demo_dataset, "p36")["relation"]["label"] == "capital"


def test_an_unknown_item_gets_the_rule_that_decides(demo_dataset, capsys):
    assert main(["explain", str(demo_dataset), "Q999999999"]) == 1
    said = capsys.readouterr().out
    assert "a lead of at least 5 words (--keep paper)" in said
    assert "can't tell" in said


def test_an_unknown_title_gets_the_nearest(demo_dataset, capsys):
    assert main(["explain", str(demo_dataset), "Marie Curei", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["nearest"][0] == "Marie Curie"
    assert document["found"] is False
    assert nearest_names(Dataset(demo_dataset), "Zzzzzzzz") == []


def test_every_document_has_lines_of_its_own(demo_dataset):
    for name in ("Q7186", "Marie Curie", "Skłodowska", "Café talk", "Odd links", "P36", "Q999999999", "Nothing at all"):
        shown = list(lines(explain(demo_dataset, name)))
        assert len(shown) >= 2
        assert not any("None" in line for line in shown)
