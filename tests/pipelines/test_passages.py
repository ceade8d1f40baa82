"""Passages: every word once, in order, no link cut, no longer than they may be."""

import itertools
import re

from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.transforms.passages import Cutter
from pipelines.transforms.sentences import make_splitter


def cut(text, limit, sections=(), links=()):
    cutter = Cutter(make_splitter("rules", "en"), limit)
    return [text[start:end] for start, end in cutter.passages(text, list(sections), list(links))], cutter


def test_sentences_are_packed_up_to_the_limit():
    text = "One two. Three four.\nFive six. Seven"
    assert cut(text, 20)[0] == ["One two. Three four.", "Five six. Seven"]
    assert cut(text, 19)[0] == ["One two.", "Three four.", "Five six. Seven"]
    assert cut(text, 1_000)[0] == [text]


def test_a_passage_stays_in_its_section():
    text = "Lead here.\n\nBody there. More.\n\nEnd."
    assert cut(text, 100, sections=[12, 30, 31])[0] == ["Lead here.", "Body there. More.", "End."]


def test_a_sentence_too_long_is_cut_after_a_clause_else_between_words():
    text = "Aa bb cc dd, ee ff gg hh ii jj. Short."
    passages, cutter = cut(text, 20)
    assert passages == ["Aa bb cc dd,", "ee ff gg hh ii jj.", "Short."]
    assert (cutter.cut_sentences, cutter.long_passages) == (1, 0)
    passages, cutter = cut("Aa bb cc dd ee ff gg", 10)
    assert passages == ["Aa bb cc", "dd ee ff", "gg"]
    assert cutter.cut_sentences == 1
    assert cut("一二三、四五六，七八九", 5)[0] == ["一二三、", "四五六，", "七八九"]


def test_no_cut_falls_inside_a_link_or_a_word():
    text = "aa bb cc dd ee ff"
    passages, cutter = cut(text, 6, links=[(3, 14)])
    assert passages == ["aa", "bb cc dd ee", "ff"]
    assert (cutter.cut_sentences, cutter.long_passages) == (1, 1)
    assert cut("a" * 50 + " b", 10)[0] == ["a" * 50, "b"]
    assert cut("Mr. X. St. A. B Inc. The end", 12, links=[(0, 20)])[0] == ["Mr. X. St. A. B Inc.", "The end"]


TEXT = st.text(alphabet="ab. \nÄ,!。、", max_size=150)


@given(TEXT, st.integers(3, 40), st.data())
@example("a b" * 20, 3, None)
def test_every_word_is_in_one_passage_and_no_longer_than_need_be(text, limit, data):
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True))) if data else []
    links = list(zip(edges[::2], edges[1::2], strict=False))
    sections = data.draw(st.lists(st.integers(0, len(text)), max_size=3)) if data else []
    cutter = Cutter(make_splitter("rules", "en"), limit)
    found = cutter.passages(text, sections, links)
    assert "".join("".join(text[s:e].split()) for s, e in found) == "".join(text.split())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    assert all(text[s:e] == text[s:e].strip() for s, e in found)
    inside = [set(range(s + 1, e)) for s, e in links]
    for start, end in found:
        # Neither edge lies inside a link, but for white space at the link's own edge.
        for s, e in links:
            assert not (s < start < e and text[s:start].strip()), (text, found)
            assert not (s < end < e and text[end:e].strip()), (text, found)
        for section in sections:
            assert not start < section < end or any(section in link for link in inside)
    long = [(s, e) for s, e in found if e - s > limit]
    assert cutter.long_passages == len(long)
    for start, end in long:
        # Nowhere could it have been cut: every gap lies in a link.
        gaps = {m.start() for m in re.finditer(r"\s+|(?<=、)", text[start:end]) if 0 < m.start() < end - start}
        assert all(any(start + gap in link for link in inside) for gap in gaps), (text[start:end], links)
