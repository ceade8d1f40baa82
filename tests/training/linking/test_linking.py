"""Mentions, candidates and scores, on a dataset small enough to count in one's head."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.links import ENTITIES, PAGES, SURFACES, write_links
from training.linking import Linker, LinkSettings, dictionary, named_entities, open_linker
from training.linking.dictionary import open_dictionary


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset(write_links(tmp_path_factory.mktemp("links") / "d"))


@pytest.fixture(scope="module")
def linker(dataset):
    return open_linker(dataset, LinkSettings())


def told(text, links):
    """Surface, entity and score of each link."""
    return [(text[link.start : link.end], ENTITIES[link.entity_index], round(link.score, 6)) for link in links]


def test_candidates_come_by_how_often_the_surface_leads_to_them(dataset):
    found = open_dictionary(dataset)
    for surface, counts in SURFACES.items():
        entities, priors = found.candidates(found.number(surface))
        expected = sorted(counts, key=lambda entity: (-counts[entity], ENTITIES.index(entity)))
        assert [ENTITIES[index] for index in entities] == expected
        assert priors.tolist() == pytest.approx([counts[entity] / sum(counts.values()) for entity in expected])
    assert found.number("Par") == -1
    assert [len(part) for part in found.candidates(-1)] == [0, 0]


def test_link_probability_counts_pages_not_mentions(dataset):
    found = open_dictionary(dataset)
    share = {surface: found.linked[found.number(surface)] for surface in SURFACES}
    # Paris Hilton's page has Paris once more; a page that has a surface twice counts once.
    assert share["Paris"] == (0.5 + 1) / (1 + 3)
    assert share["Paris Hilton"] == share["France"] == share["東京"] == 1.5 / 2
    assert share["capital"] == (0.5 + 1) / (1 + 20)
    assert share["Athens"] == 0.5, "no page has it"


def test_pages_are_sampled_where_there_are_many_and_never_by_the_clock(dataset, monkeypatch):
    monkeypatch.setattr(dictionary, "SAMPLE", 1)
    assert open_dictionary(dataset).linked.tolist() == open_dictionary(dataset).linked.tolist()
    groups = [("a", i, 1) for i in range(10)]
    monkeypatch.setattr(dictionary, "SAMPLE", 3)
    monkeypatch.setattr(dictionary, "_row_groups", lambda dataset: groups)
    monkeypatch.setattr(dictionary, "_read", lambda path, group: [group])
    assert len(list(dictionary._sampled_pages(dataset))) == 3


def test_a_text_is_linked_with_exact_offsets_and_scores(linker):
    text = "🗼 Paris Hilton left Paris; the capital 東京では."
    assert told(text, linker.link(text)) == [
        ("Paris Hilton", "Q47899", 0.75),
        ("Paris", "Q90", round(0.375 * 0.6, 6)),
        ("東京", "Q1490", 0.75),
    ]


def test_surfaces_that_are_seldom_links_are_found_where_that_is_asked_for(dataset):
    text = "the capital"
    found = open_linker(dataset, LinkSettings(min_link=0.0)).link(text)
    assert told(text, found) == [("capital", "Q90", round(1.5 / 21, 6))]


def test_what_the_trie_can_not_hold_is_no_surface(tmp_path, dataset):
    odd = Dataset(write_links(tmp_path / "d", surfaces={"Paris": {"Q90": 1}, "Paris\0x": {"Q142": 1}}))
    text = "Paris\0x, Paris\ud800"
    found = open_linker(odd, LinkSettings())
    assert told(text, found.link(text)) == [("Paris", "Q90", 0.375), ("Paris", "Q90", 0.375)]
    assert [link is None for link in found.link_spans(text, [(0, 7), (9, 15), (0, 5)])] == [True, True, False]


def test_of_candidates_alike_the_one_of_the_smallest_index_is_taken(linker):
    assert told("Athens", linker.link("Athens")) == [("Athens", "Q203263", 0.25)]


def test_given_spans_are_linked_whatever_they_are(linker):
    text = "Paris Hilton is in the capital"
    spans = [(0, 12), (0, 5), (6, 12), (23, 30)]
    found = linker.link_spans(text, spans)
    assert found[2] is None
    assert told(text, [link for link in found if link]) == [
        ("Paris Hilton", "Q47899", 1.0),
        ("Paris", "Q90", 0.6),
        ("capital", "Q90", 1.0),
    ]


@given(st.lists(st.sampled_from([*SURFACES, " ", ", ", "the", "s", "東", "e\u0301", "🗼"]), max_size=12).map("".join))
def test_links_are_apart_in_order_and_of_known_surfaces(linker, text):
    links = linker.link(text)
    assert all(text[link.start : link.end] in SURFACES for link in links)
    assert all(left.end <= right.start for left, right in itertools.pairwise(links))
    assert all(0 < link.score <= 1 for link in links)
    assert linker.link_all([text, "", text]) == [links, [], links]


class Names:
    """A context in which the longest name is the likeliest."""

    def __init__(self):
        self.guesses = []

    def logits(self, text, links, candidates):
        self.guesses.append([link.entity_index for link in links])
        return [np.array([float(len(ENTITIES[index])) for index in entities]) for entities in candidates]


def test_a_context_and_the_priors_choose_together(dataset):
    context = Names()
    found = Linker(open_dictionary(dataset), context, weight=0.5).link_spans("Paris, France", [(0, 5), (7, 13)])
    assert context.guesses == [[ENTITIES.index("Q90"), ENTITIES.index("Q142")]]
    weights = np.array([0.6 * np.exp(1.5), 0.2 * np.exp(3.5), 0.2 * np.exp(3.5)])
    assert told("Paris, France", found) == [
        ("Paris", "Q830149", round(float(weights[1] / weights.sum()), 6)),
        ("France", "Q142", 1.0),
    ]


def test_without_weight_the_context_changes_nothing(dataset, linker):
    found = Linker(open_dictionary(dataset), Names(), weight=0.0)
    for text, _ in PAGES:
        spans = [(link.start, link.end) for link in linker.link(text)]
        assert told(text, found.link_spans(text, spans)) == told(text, linker.link_spans(text, spans))


def test_named_entities_take_the_place_of_the_dictionarys_mentions(dataset):
    ner = Linker(open_dictionary(dataset), ner=lambda text: [(0, 5), (6, 12)])
    assert told("Paris Hilton", ner.link("Paris Hilton")) == [("Paris", "Q90", 0.6)]


def test_a_dataset_without_links_says_so(tmp_path):
    with pytest.raises(DataError, match=r"has no anchors.*--wikipedia"):
        open_dictionary(Dataset(write_links(tmp_path / "d", surfaces={})))


def test_without_spacy_the_pip_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match=r"pip install 'wikiloom\[spacy\]'"):
        named_entities("en_core_web_sm")


def test_linking_without_a_run_imports_no_torch(dataset):
    script = (
        "import sys; from schemas.dataset import Dataset; from training.linking.files import link_file; import pathlib;"
        "print(link_file(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])), 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", script, str(dataset.folder), str(dataset.folder / "manifest.json")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.endswith("False\n")
