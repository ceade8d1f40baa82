"""The text of an entity and the first mention of it in there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.entities import entity_text, find_mention


def test_text_falls_back_from_lead_to_description_to_label():
    assert entity_text("Lead.", "short", "Name") == ("Lead.", "lead")
    assert entity_text("", "short", "Name") == ("short", "description")
    assert entity_text(None, None, "Name") == ("Name", "label")
    assert entity_text(None, "", None) == ("", "none")


@given(st.text(alphabet="ab _.É1", max_size=20), st.lists(st.text(alphabet="ab .É", max_size=4), max_size=3))
def test_mention_is_the_first_whole_word_one_of_any_name(text, names):
    found = [
        (match.start(), -match.end())
        for name in names
        if name and (match := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text))
    ]
    expected = {"start": min(found)[0], "end": -min(found)[1]} if found else None
    assert find_mention(text, names) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("東京は首都です。", "東京", (0, 2)),
        ("กรุงเทพเป็นเมือง", "กรุงเทพ", (0, 7)),
        ("Cafe\u0301 Cafe", "Cafe", (6, 10)),
        ("हिन्दी हिन", "हिन", (7, 10)),
    ],
    ids=["no spaces", "Thai", "combining accent", "vowel sign"],
)
def test_mention_in_other_scripts(text, name, expected):
    assert find_mention(text, [name]) == dict(zip(("start", "end"), expected, strict=True))
