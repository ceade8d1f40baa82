"""WordNet's database files: a miniature written by the test, and WordNet 3.0 where the system has it."""

import os
from collections import Counter
from pathlib import Path

import pytest

from pipelines.validate import validate
from schemas.dataset import Dataset
from tests.conftest import wikiloom
from tests.pipelines.imports.made import facts, imported, write

FOLDER = Path(os.environ.get("WIKILOOM_WORDNET", "/usr/share/wordnet"))
LICENCE = "  1 This is not WordNet.  \n"
MINI = {
    "data.noun": LICENCE
    + '00000001 03 n 02 entity 0 Thing 1 001 ~ 00000002 n 0000 | all that is; "a | thing"  \n'
    + "00000002 03 n 01 dog 0 003 @ 00000001 n 0000 + 00000001 v 0101 ! 00000003 n 0101 | an animal  \n"
    + "00000003 03 n 01 cat 0 001 ! 00000002 n 0101 | another  \n",
    "data.verb": LICENCE + "00000001 30 v 01 dog 0 001 + 00000002 n 0101 01 + 08 00 | to follow  \n",
    "data.adj": LICENCE
    + "00000001 00 a 01 doggy(p) 0 001 \\ 00000002 n 0101 | like a dog  \n"
    + "00000002 00 s 01 catty 0 001 & 00000001 a 0000 | like a cat  \n",
    "data.adv": LICENCE + "00000001 02 r 01 doggily 0 001 \\ 00000001 a 0101 | in a doggy way  \n",
    "index.noun": LICENCE
    + "entity n 1 1 ~ 1 0 00000001  \nthing n 1 1 ~ 1 0 00000001  \ndog n 1 3 @ + ! 1 0 00000002  \n"
    + "cat n 1 1 ! 1 0 00000003  \n",
    "index.verb": LICENCE + "dog v 1 1 + 1 0 00000001  \n",
    "index.adj": LICENCE + "doggy a 1 1 \\ 1 0 00000001  \ncatty a 1 1 & 1 0 00000002  \n",
    "index.adv": LICENCE + "doggily r 1 1 \\ 1 0 00000001  \n",
}


def test_synsets_lemmas_and_pointers(tmp_path):
    made = imported("wordnet", write(tmp_path / "in", MINI), tmp_path / "out", split="transductive", valid=0, test=0)
    assert list(validate(made.folder)) == []
    rows = {row["entity"]: row for row in made.read("entities").to_pylist()}
    assert Counter(row["kind"] for row in rows.values()) == {"synset": 7, "lemma": 7}
    entity = rows["00000001-n"]
    assert (entity["label"], entity["aliases"], entity["text"]) == ("entity", ["Thing"], 'all that is; "a | thing"')
    assert rows["dog"]["text"] == "dog: an animal; to follow"
    assert (rows["thing"]["label"], rows["thing"]["aliases"]) == ("thing", ["Thing"])
    assert rows["doggy"]["label"] == "doggy"
    semantic = [
        ("00000001-n", "hyponym", "00000002-n"),
        ("00000002-a", "similar_to", "00000001-a"),
        ("00000002-n", "hypernym", "00000001-n"),
    ]
    lexical = [
        ("cat", "antonym", "dog"),
        ("dog", "antonym", "cat"),
        ("dog", "derivationally_related_form", "dog"),
        ("doggily", "derived_from_adjective", "doggy"),
        ("doggy", "pertainym", "dog"),
    ]
    senses = [("cat", "00000003-n"), ("catty", "00000002-a"), ("dog", "00000001-v"), ("dog", "00000002-n")]
    senses += [("doggily", "00000001-r"), ("doggy", "00000001-a"), ("entity", "00000001-n"), ("thing", "00000001-n")]
    assert facts(made) == sorted([*semantic, *lexical, *((lemma, "sense", synset) for lemma, synset in senses)])
    # dog derives from dog both ways.
    assert made.manifest.rest["drops"]["graph"] == {"duplicate_triple": 1}
    assert made.manifest.rest["stages"]["lexical pointers"] == {"in": 6, "out": {"triples": 6}}


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    """WordNet 3.0 as Debian's wordnet-base has it."""
    if not (FOLDER / "data.noun").is_file():
        pytest.skip(f"{FOLDER} is not there: the test needs Debian's package wordnet-base")
    out = tmp_path_factory.mktemp("wordnet") / "out"
    wikiloom("import", "wordnet", "--from", FOLDER, "--out", out)
    return Dataset(out)


def test_counts_of_wordnet_3(wordnet):
    kinds = Counter(wordnet.read("entities", columns=["kind"])["kind"].to_pylist())
    assert kinds == {"synset": 117_659, "lemma": 147_306}
    stages, drops = wordnet.manifest.rest["stages"], wordnet.manifest.rest["drops"]["graph"]
    assert stages["semantic pointers"]["in"] == 285_348
    assert stages["lexical pointers"]["in"] == 92_244
    assert (stages["senses"]["in"], drops["duplicate_triple"], wordnet.rows("relations")) == (206_941, 38_991, 28)
    assert stages["graph"]["in"] == 285_348 + 92_244 + 206_941
    assert stages["graph"]["in"] == wordnet.rows("triples") + drops["duplicate_triple"]
    relations = wordnet.read("triples", columns=["head", "relation"]).to_pylist()
    heads = [row["head"] for row in relations if row["relation"] != "sense"]
    assert sum(head[:8].isdecimal() and head[8:9] == "-" for head in heads) == 285_348


INVERSE = {
    "hypernym": "hyponym",
    "instance_hypernym": "instance_hyponym",
    "member_holonym": "member_meronym",
    "part_holonym": "part_meronym",
    "substance_holonym": "substance_meronym",
    "domain_topic": "member_of_domain_topic",
    "antonym": "antonym",
    "derivationally_related_form": "derivationally_related_form",
}


def test_inverse_pairs_are_in_one_split(wordnet):
    rows = wordnet.read("triples", columns=["head", "relation", "tail", "split"]).to_pylist()
    split = {(row["head"], row["relation"], row["tail"]): row["split"] for row in rows}
    pairs = [
        (own, split[tail, INVERSE[relation], head])
        for (head, relation, tail), own in split.items()
        if relation in INVERSE and (tail, INVERSE[relation], head) in split
    ]
    assert len(pairs) > 150_000
    assert all(own == other for own, other in pairs)
    assert {"valid", "test"} <= {own for own, _ in pairs}
