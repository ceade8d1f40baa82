"""Wikidata5M in its published layout, written by the test: plain, compressed, in the published archives."""

import gzip
import io
import tarfile
from collections import Counter

import pytest

from pipelines.validate import validate
from schemas.errors import DataError
from tests.pipelines.imports.made import facts, imported, lines, write

TRANSDUCTIVE = {
    "train": ["Q1 P31 Q5", "Q2 P31 Q5", "Q1 P26 Q2", "Q10 P31 Q5", "Q20 P26 Q21", "Q30 P26 Q31"],
    "valid": ["Q2 P26 Q1"],
    "test": ["Q10 P26 Q404"],
}
INDUCTIVE = {
    "train": ["Q1 P31 Q5", "Q2 P31 Q5", "Q1 P26 Q2", "Q2 P26 Q1"],
    "valid": ["Q20 P26 Q21"],
    "test": ["Q30 P26 Q31"],
}
FILES = {
    **{f"wikidata5m_transductive_{split}.txt": lines(*rows) for split, rows in TRANSDUCTIVE.items()},
    **{f"wikidata5m_inductive_{split}.txt": lines(*rows) for split, rows in INDUCTIVE.items()},
    "wikidata5m_entity.txt": "Q1\tAda\tAda L.\tCountess\nQ2\tBob\nQ5\thuman\nQ99\tnobody\n",
    "wikidata5m_relation.txt": "P31\tinstance of\tis a\nP26\tspouse\nP1\tunused\n",
    "wikidata5m_text.txt": "Q1\tAda wrote\ta program.\nQ5\tA human is an animal.\nQ99\tNobody.\n",
}


def archive(names):
    """A .tar.gz of these files."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(FILES[name].encode())
            tar.addfile(member, io.BytesIO(FILES[name].encode()))
    return whole.getvalue()


def published():
    """The files as they are published."""
    of = {key: [name for name in FILES if key in name] for key in ("transductive", "inductive")}
    return {
        **{f"wikidata5m_{key}.tar.gz": archive(names) for key, names in of.items()},
        "wikidata5m_alias.tar.gz": archive(["wikidata5m_entity.txt", "wikidata5m_relation.txt"]),
        "wikidata5m_text.txt.gz": gzip.compress(FILES["wikidata5m_text.txt"].encode()),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The import of the plain files."""
    folder = tmp_path_factory.mktemp("wikidata5m")
    return imported("wikidata5m", write(folder / "in", FILES), folder / "out")


def test_both_published_splits_are_kept(made):
    assert list(validate(made.folder)) == []
    for split, rows in TRANSDUCTIVE.items():
        assert facts(made, split) == sorted(tuple(row.split()) for row in rows)
    found = {}
    for row in made.read("triples").to_pylist():
        found.setdefault(row["inductive_split"], set()).add(f"{row['head']} {row['relation']} {row['tail']}")
    assert {split: found[split] for split in INDUCTIVE} == {split: set(rows) for split, rows in INDUCTIVE.items()}
    assert found["dropped"] == {"Q10 P31 Q5", "Q10 P26 Q404"}
    sides = {row["entity"]: row["inductive_split"] for row in made.read("entities").to_pylist()}
    assert {name: sides[name] for name in ("Q1", "Q20", "Q31", "Q10", "Q404")} == {
        "Q1": "train",
        "Q20": "valid",
        "Q31": "test",
        "Q10": "none",
        "Q404": "none",
    }


def test_the_first_alias_is_the_label_and_the_description_the_text(made):
    rows = {row["entity"]: row for row in made.read("entities").to_pylist()}
    ada = rows["Q1"]
    assert (ada["label"], ada["aliases"], ada["kind"]) == ("Ada", ["Ada L.", "Countess"], "item")
    assert (ada["text"], ada["text_source"]) == ("Ada wrote\ta program.", "description")
    assert (rows["Q2"]["text"], rows["Q2"]["text_source"]) == ("Bob", "label")
    assert (rows["Q404"]["label"], rows["Q404"]["text_source"]) == (None, "none")
    relations = {row["relation"]: (row["label"], row["aliases"]) for row in made.read("relations").to_pylist()}
    assert relations == {"P31": ("instance of", ["is a"]), "P26": ("spouse", [])}


def test_every_line_of_every_file_is_accounted_for(made):
    stages, drops = made.manifest.rest["stages"], made.manifest.rest["drops"]
    for name, content in FILES.items():
        assert stages[name]["in"] == content.count("\n")
        assert stages[name]["in"] == sum(stages[name]["out"].values()) + sum(drops.get(name, {}).values())
    assert drops == {
        name: {"not_in_graph": 1}
        for name in FILES
        if "_" + name.split("_")[1] in ("_entity.txt", "_relation.txt", "_text.txt")
    }


def test_plain_and_published_files_give_the_same_dataset_in_any_order_of_lines(made, tmp_path):
    assert imported("wikidata5m", write(tmp_path / "archives", published()), tmp_path / "a").digest == made.digest
    backwards = {name: "".join(reversed(content.splitlines(keepends=True))) for name, content in FILES.items()}
    assert imported("wikidata5m", write(tmp_path / "back", backwards), tmp_path / "b").digest == made.digest


def test_one_setting_is_enough(tmp_path):
    inductive = {name: content for name, content in FILES.items() if "transductive" not in name}
    alone = imported("wikidata5m", write(tmp_path / "in", inductive), tmp_path / "out")
    rows = alone.read("triples").to_pylist()
    assert all(row["split"] == row["inductive_split"] for row in rows)
    assert Counter(row["split"] for row in rows) == {split: len(own) for split, own in INDUCTIVE.items()}
    assert list(validate(alone.folder)) == []
    with pytest.raises(DataError, match="expected wikidata5m_transductive_train"):
        imported("wikidata5m", write(tmp_path / "none", {"wikidata5m_text.txt": "Q1\tx\n"}), tmp_path / "no")
