"""Titles -> items, against a slow reference that follows redirects one by one."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.titles import NO_ITEM, find, index_titles
from schemas.hashing import hash_strings

NAMES = "abcdefgh"


def follow(title, items, redirects):
    seen = set()
    while title not in items:
        if title in seen or title not in redirects:
            return NO_ITEM
        seen.add(title)
        title = redirects[title]
    return items[title]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 99)),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
)
def test_every_title_resolves_as_by_following_redirects_one_by_one(items, redirects):
    drops = Counter()
    index = index_titles(
        hash_strings(items),
        np.array(list(items.values()), np.int64),
        (hash_strings(redirects), hash_strings(redirects.values())),
        drops,
    )
    expected = [follow(title, items, redirects) for title in NAMES]
    assert index.find_titles(NAMES).tolist() == expected
    lost = [title for title in redirects if follow(title, items, redirects) == NO_ITEM]
    assert drops["redirect_cycle"] + drops["redirect_to_no_item"] == len(lost)


def test_a_cycle_is_counted_apart_from_a_dead_end():
    drops = Counter()
    sources, targets = hash_strings("abc"), hash_strings(["b", "a", "nowhere"])
    index_titles(np.empty(0, np.uint64), np.empty(0, np.int64), (sources, targets), drops)
    assert +drops == {"redirect_cycle": 2, "redirect_to_no_item": 1}


def test_find_in_nothing_finds_nothing():
    assert find(np.empty(0, np.uint64), np.empty(0, np.int64), hash_strings("ab")).tolist() == [NO_ITEM, NO_ITEM]
