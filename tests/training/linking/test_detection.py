"""The detector beside a slow obvious one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.words import is_bounded
from training.linking.detection import JOINS, Detector, kinds

PIECES = [
    *"ab1_ .-'\n",
    "é",
    "e\u0301",
    "ß",
    "\u200d",
    "東",
    "京",
    "ア",
    "ก",
    "ั",
    "한",
    "م",
    "👩",
    "\ud800",
    "ab",
    "New York",
]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
surfaces = st.lists(texts.map(str.strip).filter(bool), max_size=12)


def spans(detector, text):
    """[start, end) of what is found in one text."""
    return list(map(tuple, detector.spans([text])[0].tolist()))


def slow_spans(text, known):
    """The longest surface at every end of a word, from left to right."""
    found, start = [], 0
    while start < len(text):
        ends = [end for end in range(start + 1, len(text) + 1) if text[start:end] in known]
        ends = [end for end in ends if is_bounded(text, start, end)]
        if ends:
            found.append((start, max(ends)))
        start = max(ends, default=start + 1)
    return found


@given(known=surfaces, text=texts)
def test_the_spans_are_those_of_the_slow_way(known, text):
    text = text + "".join(known)
    found = spans(Detector(known), text)
    assert found == slow_spans(text, set(known))
    assert all(text[start:end] in known for start, end in found)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(found))


@given(known=surfaces, several=st.lists(texts, max_size=5))
def test_several_texts_are_read_as_each_alone(known, several):
    several = [text + "".join(known[:2]) for text in several]
    found, rows = Detector(known).spans(several)
    expected = [(row, *span) for row, text in enumerate(several) for span in slow_spans(text, set(known))]
    assert [(row, *span) for row, span in zip(rows.tolist(), found.tolist(), strict=True)] == expected


@given(known=surfaces, gone=surfaces, text=texts)
def test_what_is_forgotten_is_found_no_longer_and_all_else_as_before(known, gone, text):
    detector = Detector([*known, *gone])
    detector.forget(gone)
    text = text + "".join([*known, *gone])
    assert spans(detector, text) == slow_spans(text, set(known) - set(gone))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("New York and York", ["New York", "York"]),
        ("New Yorkers of New-York", ["York"]),
        ("the Yorkshire", []),
        ("東京都の東京", ["東京都", "東京"]),
        ("กรุงเทพมหานครและเชียงใหม่", ["เชียงใหม่"]),
        ("Москва, Москвы", ["Москва"]),
        ("👩‍🚀York👩‍🚀", ["York"]),
        ("York\u0301 York", ["York"]),
        ("", []),
    ],
)
def test_by_hand(text, found):
    detector = Detector(["New York", "York", "東京", "東京都", "Москва", "เชียงใหม่"])
    assert [text[start:end] for start, end in spans(detector, text)] == found


def test_every_one_of_many_surfaces_is_found_and_nothing_else():
    known = [f"{i:x} {i * 7:x}" for i in range(20_000)]
    detector = Detector(iter(known))
    text = "\n".join(known)
    assert [text[start:end] for start, end in spans(detector, text)] == known
    others = "\n".join(f"{i:x} {i * 7 + 1:x}" for i in range(20_000))
    assert spans(detector, others) == []


def test_words_end_where_the_pipelines_say():
    codes = [*range(0x3100), *range(0x4DB0, 0x4E10), *range(0x9F00, 0xA100), 0xAC00, 0xFE0F, 0x1F469, 0x20000, 0xE0100]
    for char in map(chr, codes):
        joined = not is_bounded(f"a{char}", 0, 1)
        assert (kinds()[ord(char)] == JOINS) == joined, hex(ord(char))
    assert kinds().dtype == np.uint8
