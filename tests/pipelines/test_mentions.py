"""Mentions beside the links: own names and repeats, against a slow search that tries every name at every place."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.mentions import (
    MAX_NAME,
    MentionRules,
    Spans,
    find_names,
    find_own_name,
    names_of_links,
    page_mentions,
)
from pipelines.transforms.words import count_words, is_bounded

BOTH = MentionRules(self_mentions=True, repeat_mentions=True)


def marked(text):
    """(text, links) of a text with [surface>target] for links; a target Qn is an entity too."""
    plain, links = "", []
    for number, piece in enumerate(text.replace("]", "[").split("[")):
        if number % 2:
            surface, _, target = piece.partition(">")
            entity = target if target.startswith("Q") else None
            links.append(
                {
                    "start": len(plain),
                    "end": len(plain) + len(surface),
                    "target": target or surface,
                    "entity": entity,
                    "source": "link",
                }
            )
            piece = surface
        plain += piece
    return plain, links


def mentions(text, title="Nothing", rules=BOTH, lead_end=None):
    """(surface, target, source) of what is added to the links."""
    plain, links = marked(text)
    found = page_mentions(title, "Q0", plain, len(plain) if lead_end is None else lead_end, links, rules)
    assert [link for link in found if link["source"] == "link"] == links
    assert all(one["end"] <= two["start"] for one, two in itertools.pairwise(found))
    return [(plain[m["start"] : m["end"]], m["target"], m["source"]) for m in found if m["source"] != "link"]


@pytest.mark.parametrize(
    ("title", "lead", "name", "start"),
    [
        ("Heron", "A heron. Heron.", "heron", 2),
        ("Mercury (planet)", "Mercury is a planet.", "Mercury", 0),
        ("Mercury (planet)", "Mercury, or Mercury (planet), is one.", "Mercury (planet)", 12),
        ("Paris, Texas", "Paris is a city.", "Paris", 0),
        ("Paris, Texas", "The city of Paris, Texas, is one.", "Paris, Texas", 12),
        ("Paris, Texas (film)", "Paris, Texas is a film.", "Paris, Texas", 0),
        ("Art", "Arts, [Art] and party art.", "art", 20),
        ("Art", "Arts, [Art] and party.", None, None),
        ("Art", "Arts.\nArt is there.", None, None),
        ("A", "In a word, A is a letter.", "A", 11),
        ("IPod", "The iPod is small.", "iPod", 4),
        ("東京", "大東京は東京都。", "東京", 1),
        ("हिन्द", "हिन्दी हिन्द", "हिन्द", 7),
        ("(What's the Story)", "It is (What's the Story).", "(What's the Story)", 6),
        ("İzmir", "Is İzmir a city?", "İzmir", 3),
        ("Heron", "", None, None),
    ],
)
def test_a_page_mentions_itself_by_title_or_by_the_title_without_its_qualifier(title, lead, name, start):
    text, links = marked(lead)
    expected = None if name is None else (start, start + len(name))
    assert find_own_name(title, text, Spans(links)) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[Oslo] is big. Oslo is near.", ["Oslo"]),
        ("Oslo. [Oslo]. Oslo, Oslo's, OSLO, Oslofjord, xOslo, Oslo_x", ["Oslo", "Oslo"]),
        ("[Oslo>a] and [Oslo>b]: Oslo", []),  # ambiguous
        ("[Oslo>Q1] and [Oslo>Q1]: Oslo", ["Oslo"]),
        ("[New York], [New York Times]. New York Times, New York City", ["New York Times", "New York"]),
        ("[New York]. New York Times. [New York Times]. New York Times", ["New York Times"]),
        ("[New York], [New York Times>a], [New York Times>b]. New York Times", []),
        ("[A B] [B C D]. A B C D", ["A B"]),  # from left to right
        ("[1984] [a] [..] 1984 a ..", []),
        ("[(500) Days]. (500) Days (500)", ["(500) Days"]),
        ("[.NET]. Use .NET, ..NET, NET", [".NET", ".NET"]),
        ("[At all] [At most] At", []),
        ("[東京]は東京都。大東京", ["東京", "東京"]),
        ("[หมา]กับหมาตัว", ["หมา"]),
        ("[हिन्द] हिन्दी हिन्द", ["हिन्द"]),
        ("[Oslo]. [Oslo] Oslo [x Oslo>y] Oslo", ["Oslo", "Oslo"]),
        ("[Oslo]", []),
    ],
)
def test_repeats_are_the_longest_whole_words_behind_the_first_link(text, found):
    repeats = mentions(text, rules=MentionRules(repeat_mentions=True))
    assert [surface for surface, _, source in repeats if source == "repeat"] == found


def test_a_repeat_has_the_target_and_entity_of_the_first_link():
    text, links = marked("[Oslo>Q585] Oslo")
    *_, last = page_mentions("Nothing", None, text, 0, links, BOTH)
    assert last == {"start": 5, "end": 9, "target": "Q585", "entity": "Q585", "source": "repeat"}


def test_the_own_name_is_a_mention_in_the_lead_and_repeated_behind_it():
    text = "Mercury is a planet. Mercury (planet) is small; Mercury too.\nMercury"
    found = mentions(text, "Mercury (planet)")
    assert found[0] == ("Mercury (planet)", "Mercury (planet)", "self")
    assert found[1:] == []  # "Mercury" alone is not the name that was found
    assert mentions(text.replace(" (planet)", ""), "Mercury (planet)") == [
        ("Mercury", "Mercury (planet)", source) for source in ("self", "repeat", "repeat", "repeat")
    ]
    assert mentions("A planet.\nMercury (planet)", "Mercury (planet)") == [
        ("Mercury (planet)", "Mercury (planet)", "repeat")
    ]


def test_an_own_name_that_links_elsewhere_is_ambiguous():
    assert mentions("Mercury was named after [Mercury>god]. Mercury", "Mercury (planet)") == [
        ("Mercury", "Mercury (planet)", "self")
    ]


def test_each_rule_stands_alone():
    text = "Heron eats [fish]. Heron, fish"
    assert mentions(text, "Heron", MentionRules()) == []
    assert mentions(text, "Heron", MentionRules(self_mentions=True)) == [("Heron", "Heron", "self")]
    assert mentions(text, "Heron", MentionRules(repeat_mentions=True)) == [
        ("Heron", "Heron", "repeat"),
        ("fish", "fish", "repeat"),
    ]


def slow_find_names(text, names, spans):
    """Every place, every name, the longest first."""
    place = 0
    while place < len(text):
        for name in sorted(names, key=len, reverse=True):
            end = place + len(name)
            overlaps = any(start < end and place < stop for start, stop in spans)
            if text.startswith(name, place) and is_bounded(text, place, end) and not overlaps:
                yield place, end
                place = end - 1
                break
        place += 1


@settings(max_examples=500)
@given(
    st.text(alphabet="aab .(東मा'", max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 7)), max_size=9),
)
def test_the_search_equals_trying_every_name_at_every_place(text, spans):
    links, last = [], 0
    for start, length in sorted(spans):
        if last <= start and start + length <= len(text) and not text[start].isspace():
            links.append({"start": start, "end": start + length, "target": f"t{len(links)}", "entity": None})
            last = start + length
    names = names_of_links(text, links)
    # Half of the links may be searched over: else few names are met again.
    taken = links[::2]
    expected = list(slow_find_names(text, names, [(link["start"], link["end"]) for link in taken]))
    assert list(find_names(text, names, Spans(taken))) == expected


def test_names_that_begin_alike_and_the_longest_allowed():
    words = ["a" * i for i in range(2, MAX_NAME + 10)]
    found = mentions(" ".join(f"[{word}]" for word in words) + " " + " ".join(words))
    assert [surface for surface, _, _ in found] == [word for word in words if len(word) <= MAX_NAME]


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [
        lambda n: " ".join(f"[a{'b ' * (i % 40)}c{i}>t{i}]" for i in range(n)) + " a b b b b b b b b" * n,
        lambda n: "".join(f"[{'a ' * (1 + i % 40)}b>t] " for i in range(n)) + "a " * 40 * n,
        lambda n: "".join(f"[東{chr(0x4E00 + i % 5000)}>t{i}]" for i in range(n)) + "東" * 20 * n,
        lambda n: "".join(f"[{'.' * (i % 90)}a>t{i}] " for i in range(n)) + "a " * 20 * n,
        lambda n: "Nothing " * 20 * n,
    ],
    ids=["long-prefixes", "no-end", "no-spaces", "marks-in-front", "own-name"],
)
def test_the_search_takes_time_in_proportion_to_the_text(family):
    def seconds(n):
        text, links = marked(family(n))
        best = []
        for _ in range(3):
            start = time.process_time()
            page_mentions("Nothing", None, text, len(text), links, BOTH)
            best.append(time.process_time() - start)
        return min(best)

    assert seconds(2000) / seconds(500) <= 6


def test_words_are_counted_in_scripts_with_and_without_spaces():
    assert count_words("The heron eats 2 fish.") == 5
    assert count_words("東京は") == 3
    assert count_words("2024年の夏") == 4


def test_a_mark_or_a_joiner_parts_no_word():
    for text in ("हिन्दी भाषा", "Росси\u0301я есть", "שָׁלוֹם עוֹלָם", "می\u200cخواهم بروم", "e\u0301te\u0301 fini"):
        assert count_words(text) == 2, text
