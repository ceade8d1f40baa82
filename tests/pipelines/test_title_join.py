"""The join by CoGroupByKey finds what the lookup finds, and no title makes a hot key."""

from collections import Counter

import numpy as np
import pytest

from pipelines.runner import beam_options, run_transform
from pipelines.transforms.title_join import JoinTitles, TitleJob, _Cut, _wanted
from pipelines.transforms.titles import RED_LINK, TitleIndex
from schemas.hashing import hash_strings

HOT = "United States"
TITLES = [f"Title {number}" for number in range(50)]
RANGES = [[HOT, *TITLES[:40], "Nowhere"], [], [HOT], [HOT, HOT, TITLES[3]], ["Nowhere", "Not here either"], [HOT]]


@pytest.fixture
def index(tmp_path):
    hashes = np.sort(hash_strings([HOT, *TITLES]))
    index = TitleIndex(hashes, np.arange(len(hashes)) * 7 - 5, RED_LINK)
    index.save(tmp_path / "index")
    return index


@pytest.fixture
def jobs(tmp_path):
    jobs = [TitleJob(tmp_path / f"articles/{n}", tmp_path / f"titles/{n}") for n in range(len(RANGES))]
    for job, titles in zip(jobs, RANGES, strict=True):
        hashes = hash_strings(titles)
        job.articles.mkdir(parents=True)
        np.save(job.articles / "targets.npy", np.stack([np.zeros(len(hashes), np.uint64), hashes], axis=-1))
    return jobs


@pytest.mark.parametrize(("stretch_titles", "group_ranges"), [(1 << 16, 256), (4, 2), (1, 1)])
def test_every_range_finds_what_the_whole_index_finds(tmp_path, index, jobs, stretch_titles, group_ranges):
    def make(waiting):
        return JoinTitles(waiting, tmp_path / "index", stretch_titles, group_ranges)

    run_transform("join", jobs, make, beam_options([], 1, []))
    for job, titles in zip(jobs, RANGES, strict=True):
        own = TitleIndex.load(job.folder)
        assert own.find_titles(titles).tolist() == index.find_titles(titles).tolist()
        assert len(own.hashes) == len(set(titles))


def test_an_empty_index_says_of_every_title_that_it_is_not_there(tmp_path, jobs):
    TitleIndex(np.empty(0, np.uint64), np.empty(0, np.int64), RED_LINK).save(tmp_path / "index")
    run_transform("join", jobs, lambda waiting: JoinTitles(waiting, tmp_path / "index"), beam_options([], 1, []))
    assert TitleIndex.load(jobs[0].folder).find_titles([HOT]).tolist() == [RED_LINK]


def test_a_title_that_every_range_links_to_is_spread_over_groups_of_ranges(jobs):
    cut = _Cut(np.array([0, 2**63], np.uint64), group_ranges=2, salts=3)
    keys = Counter(key for numbered in enumerate(jobs) for key, _ in _wanted(numbered, cut))
    assert set(keys.values()) == {2}
    assert len(keys) == 2 * len(jobs) // 2
