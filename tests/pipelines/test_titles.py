"""Titles -> items, against a slow reference that follows redirects one by one."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.titles import (
    CYCLE,
    INTERWIKI,
    NO_ITEM,
    NO_PAGE,
    NO_TARGET,
    OTHER_NAMESPACE,
    RED_LINK,
    REDIRECTS,
    TitleIndex,
    are_in,
    distinct,
    find,
    index_titles,
    join_redirects,
    redirect_code,
)
from schemas.hashing import hash_strings

NAMES = "abcdefgh"


def follow(title, known, redirects):
    seen = set()
    while title not in known:
        if title in seen:
            return CYCLE
        if title not in redirects:
            return NO_TARGET if seen else NO_PAGE
        seen.add(title)
        title = redirects[title]
    return known[title]


def index(known, redirects, **options):
    items = (hash_strings(known), np.array(list(known.values()), np.int64))
    return index_titles([items], (hash_strings(redirects), hash_strings(redirects.values())), **options)


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 99) | st.sampled_from([NO_ITEM, OTHER_NAMESPACE])),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
)
def test_every_title_resolves_as_by_following_redirects_one_by_one(known, redirects):
    expected = [follow(title, known, redirects) for title in NAMES]
    assert index(known, redirects).find_titles(NAMES).tolist() == expected


def test_chains_of_any_length_end_and_circles_of_any_length_do_not():
    chain = {f"c{i}": f"c{i + 1}" for i in range(1000)}
    circle = {f"o{i}": f"o{(i + 1) % 7}" for i in range(7)} | {"into": "o3", "itself": "itself"}
    titles = index({"c1000": 5}, chain | circle)
    assert set(titles.find_titles(chain).tolist()) == {5}
    assert set(titles.find_titles(circle).tolist()) == {CYCLE}


def test_a_redirect_with_an_item_of_its_own_keeps_it():
    titles = index(
        {"Bonnie Parker": 2, "Bonnie and Clyde": 1}, {"Bonnie Parker": "Bonnie and Clyde", "B": "Bonnie Parker"}
    )
    assert titles.find_titles(["B", "Bonnie Parker", "Bonnie and Clyde"]).tolist() == [2, 2, 1]


def test_the_first_of_several_arrays_that_know_a_title_counts_and_in_it_the_smallest_item():
    def known(title, item):
        return hash_strings([title]), np.array([item], np.int64)

    nothing = (np.empty(0, np.uint64), np.empty(0, np.uint64))
    both = (hash_strings("aa"), np.array([9, 4], np.int64))
    for arrays, item in (
        ([both, known("a", 1)], 4),
        ([known("a", 7), both], 7),
        ([known("a", NO_ITEM), both], NO_ITEM),
    ):
        assert index_titles(arrays, nothing).find_titles("a").tolist() == [item]


def test_an_index_comes_back_from_its_folder(tmp_path):
    for missing in (NO_PAGE, RED_LINK):
        index({"a": 1}, {"b": "a"}, missing=missing).save(tmp_path)
        assert TitleIndex.load(tmp_path).find_titles("abc").tolist() == [1, 1, missing]


def test_what_a_redirect_leads_to_follows_from_the_kind_of_its_target():
    kinds = ("article", "language", "interwiki", "category", "file", "media", "other_namespace")
    assert [redirect_code(kind) for kind in kinds] == [NO_ITEM, INTERWIKI, INTERWIKI, *[OTHER_NAMESPACE] * 4]


def rows(*values):
    return pa.Table.from_pylist([dict(zip(REDIRECTS.names, row, strict=True)) for row in values], schema=REDIRECTS)


def test_redirects_of_the_dump_go_before_listed_ones_and_one_row_a_title_stays():
    own = rows(("b", "x", 1), ("a", "x", 2), ("a", "y", 3), ("é", "x", 4), ("Z", "x", 5))
    listed = rows(("a", "z", None), ("c", "x", 9), ("article", "x", None), ("c", "x", 7))
    drops = Counter()
    joined = join_redirects(own, listed, hash_strings(["article"]), drops)
    assert joined["title"].to_pylist() == ["Z", "a", "b", "c", "é"]  # as UTF-8
    assert joined["page_id"].to_pylist()[3] == 7
    assert drops == {"in_dump_too": 2, "duplicate_title": 2}
    backwards = join_redirects(own.take(list(range(5))[::-1]), listed, hash_strings(["article"]), Counter())
    assert backwards == joined


@given(st.lists(st.integers(0, 9)), st.dictionaries(st.integers(0, 9), st.integers(1, 99)))
def test_find_gives_what_a_dictionary_gives_in_whatever_order(wanted, known):
    keys = distinct(np.array([*known, *known], np.int64))
    assert keys.tolist() == sorted(known)
    values = np.array([known[key] for key in keys.tolist()], np.int64)
    found = find(keys, values, np.array(wanted, np.int64), missing=RED_LINK)
    assert found.tolist() == [known.get(key, RED_LINK) for key in wanted]
    assert are_in(np.array(wanted, np.int64), keys).tolist() == [key in known for key in wanted]


def test_find_in_nothing_finds_nothing():
    assert find(np.empty(0, np.uint64), np.empty(0, np.int64), hash_strings("ab")).tolist() == [NO_ITEM, NO_ITEM]
    assert index({}, {}).find_titles("a").tolist() == [NO_PAGE]
