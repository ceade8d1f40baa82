"""What follows from other tables of a dataset, counted again slowly: anchors, redirects, degrees, frequencies."""

import contextlib
import gzip
import json
import re
from collections import Counter

import pytest

from schemas.dataset import Dataset
from tests.conftest import EXAMPLES


@pytest.fixture(params=["demo_dataset", "sample_dataset"])
def dataset(request):
    return Dataset(request.getfixturevalue(request.param))


def rows(dataset, name, split=None):
    return dataset.read(name, split).to_pylist()


def test_anchors_count_the_links_of_train_pages(dataset):
    index = {row["entity"]: row["entity_index"] for row in rows(dataset, "entities")}
    expected = Counter(
        (page["text"][link["start"] : link["end"]], index[link["entity"]])
        for page in rows(dataset, "pages", "train")
        for link in page["links"]
        if link["source"] == "link" and link["entity"] is not None
    )
    found = [(row["surface"], row["entity_index"], row["count"]) for row in rows(dataset, "anchors")]
    assert len(found) > 100
    assert found == sorted(((*key, n) for key, n in expected.items()), key=lambda row: (row[0].encode(), row[1]))


def test_entities_and_relations_count_train_only(dataset):
    mentions, nodes, edges = Counter(), Counter(), Counter()
    for row in rows(dataset, "anchors"):
        mentions[row["entity_index"]] += row["count"]
    for row in rows(dataset, "wk_graphs", "train"):
        nodes.update({m["entity_index"] for m in row["mentions"]} | {t["tail_index"] for t in row["triples"]})
        edges.update(triple["relation_index"] for triple in row["triples"])
    train = rows(dataset, "triples", "train")
    heads, relations, tails = (Counter(row[name] for row in train) for name in ("head", "relation", "tail"))
    for row in rows(dataset, "entities"):
        name, index = row["entity"], row["entity_index"]
        counts = (mentions[index], tails[name], heads[name])
        assert (row["mention_count"], row["in_degree"], row["out_degree"]) == counts
        assert (row["frequency"], row["graph_count"]) == (sum(counts), nodes[index])
    for row in rows(dataset, "relations"):
        assert (row["frequency"], row["graph_count"]) == (relations[row["relation"]], edges[row["relation_index"]])


def test_entities_are_in_an_inductive_split_where_a_triple_of_theirs_is(dataset):
    sides = {}
    for row in rows(dataset, "triples"):
        if row["inductive_split"] != "dropped":
            for end in ("head", "tail"):
                assert sides.setdefault(row[end], row["inductive_split"]) == row["inductive_split"]
    assert {row["entity"]: row["inductive_split"] for row in rows(dataset, "entities")} == {
        row["entity"]: sides.get(row["entity"], "none") for row in rows(dataset, "entities")
    }
    told = dataset.manifest.rest["graph"]["inductive_split"]
    assert told["refused"] is None
    assert min(told["triples"]["valid"], told["triples"]["test"]) >= 9
    assert told["triples"]["dropped"] <= 0.05 * dataset.rows("triples")


def sitelinks(path, site):
    """(title, item) of every whole line of a Wikidata dump whose id is one."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                entity = json.loads(line.strip(" ,\n"))
                link = dict(entity.get("sitelinks", {})).get(site) if isinstance(entity, dict) else None
                if link and re.fullmatch("Q[1-9][0-9]*", entity["id"]):
                    yield link["title"], entity["id"]


@pytest.mark.parametrize("name", ["demo_dataset", "sample_dataset"])
def test_redirects_name_the_entity_at_the_end_of_the_chain(name, request):
    dataset = Dataset(request.getfixturevalue(name))
    path = EXAMPLES / "wikidata-mini.json.gz"
    if name == "sample_dataset":
        path = request.getfixturevalue("real_data") / "wikidata/enwiki-sample-wikidata.json.gz"
    items = dict(sitelinks(path, "enwiki"))
    entities = {row["entity"] for row in rows(dataset, "entities")}
    redirects = rows(dataset, "redirects")
    targets = {row["title"]: row["target"].partition("#")[0] for row in redirects}
    assert [row["title"] for row in redirects] == sorted(targets, key=str.encode)
    assert len(targets) > 20
    for row in redirects:
        title, seen = row["title"], set()
        while title not in items and title in targets and title not in seen:
            seen.add(title)
            title = targets[title]
        item = items.get(title)
        assert row["entity"] == (item if item in entities else None), row
