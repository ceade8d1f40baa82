"""Drawings: they say what the row says, parse as XML, and no label leaves its place or covers another."""

import itertools
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.report.drawing import NARROW, WIDTH, draw_graph, shorten, text_width
from pipelines.report.funnel import Stage, draw_funnel, share

SVG = "{http://www.w3.org/2000/svg}"
TEXT = "Marie Curie was a physicist who worked in Paris with Pierre Curie."
ENTITIES = {0: "Marie Curie", 1: "Paris", 2: "Pierre Curie", 3: "physicist"}
RELATIONS = {0: "work location", 1: "spouse", 2: "occupation"}


def graph(text=TEXT, mentions=((0, 11, 0), (42, 47, 1), (53, 65, 2)), triples=((0, 0, 1), (0, 1, 2), (2, 2, 3))):
    return {
        "graph_id": 7,
        "text": text,
        "mentions": [{"start": start, "end": end, "entity_index": index} for start, end, index in mentions],
        "triples": [
            {"anchor": anchor, "head_index": mentions[anchor][2], "relation_index": relation, "tail_index": tail}
            for anchor, relation, tail in triples
        ],
    }


@st.composite
def graphs(draw):
    letters = draw(st.sampled_from([st.characters(codec="utf-8"), st.sampled_from("אבגדה ا,1a")]))
    text = draw(st.text(letters, min_size=1, max_size=600))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    mentions = tuple((start, end, index) for index, (start, end) in enumerate(spans))
    fact = st.tuples(st.integers(0, max(0, len(mentions) - 1)), st.integers(0, 3), st.integers(0, 20))
    return graph(text, mentions, sorted(draw(st.lists(fact, max_size=15 if mentions else 0))))


def classes(svg):
    return Counter(name for node in ET.fromstring(svg).iter() for name in node.get("class", "").split())


def boxes(svg):
    """(left, right, baseline) of every label."""
    for node in ET.fromstring(svg).iter(SVG + "text"):
        x, length = float(node.get("x")), float(node.get("textLength", 0))
        left = x - length if node.get("direction") == "rtl" else x
        yield left, left + length, float(node.get("y"))


@settings(max_examples=60, deadline=None)
@given(graphs(), st.dictionaries(st.integers(0, 20), st.text(max_size=80)), st.sampled_from([WIDTH, NARROW]))
def test_any_row_is_drawn_whole_and_no_label_overlaps_another(row, labels, width):
    svg = draw_graph(row, labels, labels, width)
    count = classes(svg)
    assert count["anchor"] == len(row["mentions"])
    assert count["relation"] == count["tail"] == count["fact"] == len(row["triples"])
    assert count["edge"] == 2 * len(row["triples"])
    by_line = {}
    for left, right, baseline in boxes(svg):
        assert left >= 0
        assert right <= width
        by_line.setdefault(baseline, []).append((left, right))
    for spans in by_line.values():
        spans.sort()
        assert all(a[1] <= b[0] + 0.2 for a, b in itertools.pairwise(spans))


def test_a_passage_of_a_script_from_right_to_left_begins_at_the_right():
    text = "مريم تسكن باريس مع بيير"
    row = graph(text, ((0, 4, 0), (10, 15, 1), (19, 23, 2)), ((0, 0, 1), (2, 1, 3)))
    root = ET.fromstring(draw_graph(row, ENTITIES, RELATIONS))
    anchors = [node.find(SVG + "text") for node in root.iter(SVG + "g") if "anchor" in node.get("class", "")]
    assert [node.text for node in anchors] == ["مريم", "باريس", "بيير"]
    places = [float(node.get("x")) for node in anchors]
    assert places == sorted(places, reverse=True)
    assert places[0] > WIDTH / 2


def test_a_tail_s_label_stays_in_its_box():
    svg = draw_graph(graph(triples=((0, 0, 8), (0, 0, 9))), {**ENTITIES, 8: "w" * 300, 9: "世" * 300}, {0: "r" * 300})
    for tail in ET.fromstring(svg).iter(SVG + "g"):
        if "tail" in tail.get("class", ""):
            box, words = tail.find(SVG + "rect"), tail.find(SVG + "text")
            assert words.text.endswith("…")
            left, length = float(words.get("x")), float(words.get("textLength"))
            assert float(box.get("x")) < left
            assert left + length < float(box.get("x")) + float(box.get("width"))


def test_the_whole_label_is_in_the_title_of_a_fact():
    svg = draw_graph(graph(triples=((0, 0, 8),)), {8: "w" * 300}, {0: "located in"})
    titles = [node.text for node in ET.fromstring(svg).iter(SVG + "title")]
    assert f"located in: {'w' * 300}" in titles


def test_a_tail_that_is_an_anchor_is_marked_as_shared():
    assert classes(draw_graph(graph(), ENTITIES, RELATIONS))["shared"] == 2


def test_an_index_without_a_label_is_shown_as_such():
    svg = draw_graph(graph(triples=((0, 4, 99),)), {}, {})
    assert "entity 99" in svg
    assert "relation 4" in svg


def test_markup_and_control_characters_in_labels_stay_text():
    svg = draw_graph(graph(text="a\x00\x1b <script>" + TEXT[12:]), {1: '"><script>'}, {0: "&\u202e"})
    root = ET.fromstring(svg)
    assert not list(root.iter(SVG + "script"))
    assert not any(char in svg for char in "\x00\x1b\u202e")


def test_the_same_row_gives_the_same_bytes():
    assert draw_graph(graph(), ENTITIES, RELATIONS) == draw_graph(graph(), dict(ENTITIES), dict(RELATIONS))


@given(st.text(), st.floats(0, 500))
def test_shortened_text_fits(string, limit):
    shown = shorten(string, 10, limit)
    assert shown == "…" or text_width(shown, 10) <= limit


def test_a_funnel_hatches_what_was_dropped_at_its_share_of_the_bar():
    stage = Stage("wikipedia", 400, {"articles": 300}, {"no_text": 100}, None, None)
    bars = {
        node.get("class"): float(node.get("width")) for node in ET.fromstring(draw_funnel([stage])).iter(SVG + "rect")
    }
    assert bars["dropped"] == pytest.approx((bars["kept"] + 1) / 3, abs=0.1)


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 10, "0.0 %"), (1, 10, "10.0 %"), (1, 10**6, "< 0.1 %"), (10**6 - 1, 10**6, "> 99.9 %"), (5, 5, "100.0 %")],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part, whole, shown):
    assert share(part, whole) == shown
