"""Titles -> items by a CoGroupByKey, for hosts that cannot hold the title index: the other way to what lookup gives.

Each range asks for each title that its links lead to once, so a title that every page links to is no hot key. Keys are
stretches of the title hashes, with a salt by which many ranges are cut into groups; values are arrays, not rows.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.pvalue import PBegin

from pipelines.records import write_json
from pipelines.runner import run_one
from pipelines.transforms.titles import TitleIndex, distinct

U64 = npt.NDArray[np.uint64]
Key = tuple[int, int]
"""Stretch of the hashes, salt."""

STRETCH_TITLES = 1 << 16
"""Titles of the index under one key, about."""
GROUP_RANGES = 256
"""Ranges whose titles lie under one key, at most."""


@dataclasses.dataclass(frozen=True)
class TitleJob:
    """The folders of a range of parsed articles and of the small index of the titles that its links lead to."""

    articles: Path
    folder: Path

    @property
    def marker(self) -> Path:
        """Written last."""
        return self.folder / "done.json"


@dataclasses.dataclass(frozen=True)
class _Cut:
    """What lies under which key."""

    starts: U64
    """First hash of each stretch."""
    group_ranges: int
    salts: int


@dataclasses.dataclass
class JoinTitles(beam.PTransform):
    """PBegin -> nothing: for each job, the part of the title index in folder `index` that the job's range needs."""

    jobs: Sequence[TitleJob]
    index: Path
    stretch_titles: int = STRETCH_TITLES
    group_ranges: int = GROUP_RANGES

    def expand(self, begin: PBegin) -> beam.PCollection:
        stretches = max(-(-len(TitleIndex.load(self.index).hashes) // self.stretch_titles), 1)
        starts = np.array([2**64 * stretch // stretches for stretch in range(stretches)], np.uint64)
        cut = _Cut(starts, self.group_ranges, salts=-(-len(self.jobs) // self.group_ranges))
        wanted = (
            begin
            | "ranges" >> beam.Create(list(enumerate(self.jobs)), reshuffle=False)
            | "spread ranges" >> beam.Reshuffle()
            | "titles" >> beam.FlatMap(_wanted, cut)
        )
        known = (
            begin
            | "stretches" >> beam.Create(range(stretches), reshuffle=False)
            | "spread stretches" >> beam.Reshuffle()
            | "index" >> beam.FlatMap(_known, cut, self.index)
        )
        return (
            {"wanted": wanted, "known": known}
            | "join" >> beam.CoGroupByKey()
            | "find" >> beam.FlatMap(_find)
            | "by range" >> beam.GroupByKey()
            | "answers" >> beam.Map(_answer, self.jobs)
            | "write" >> beam.Map(run_one, _write)
        )


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What was found for a job's titles, stretch by stretch in any order."""

    job: TitleJob
    parts: Sequence[TitleIndex]

    @property
    def marker(self) -> Path:
        return self.job.marker


def _wanted(numbered: tuple[int, TitleJob], cut: _Cut) -> Iterator[tuple[Key, tuple[int, U64]]]:
    """The distinct hashes of the titles that a range's links lead to, stretch by stretch; every stretch, so that a
    range without a link has an answer too."""
    number, job = numbered
    hashes = distinct(np.load(job.articles / "targets.npy")[:, 1])
    for stretch, part in enumerate(np.split(hashes, np.searchsorted(hashes, cut.starts[1:]))):
        yield (stretch, number // cut.group_ranges), (number, part)


def _known(stretch: int, cut: _Cut, folder: Path) -> Iterator[tuple[Key, TitleIndex]]:
    """A stretch of the title index, once for each salt."""
    index = TitleIndex.load(folder)
    edges = np.append(np.searchsorted(index.hashes, cut.starts), len(index.hashes))
    rows = slice(edges[stretch], edges[stretch + 1])
    part = TitleIndex(np.array(index.hashes[rows]), np.array(index.items[rows]), index.missing)
    for salt in range(cut.salts):
        yield (stretch, salt), part


def _find(group: tuple[Key, dict[str, Iterable]]) -> Iterator[tuple[int, TitleIndex]]:
    """Range -> the titles that it asked for, with their items or codes."""
    [known] = group[1]["known"]
    for number, hashes in group[1]["wanted"]:
        yield number, TitleIndex(hashes, known.find(hashes), known.missing)


def _answer(found: tuple[int, Iterable[TitleIndex]], jobs: Sequence[TitleJob]) -> _Answer:
    return _Answer(jobs[found[0]], list(found[1]))


def _write(answer: _Answer) -> None:
    hashes, items = (np.concatenate([getattr(part, name) for part in answer.parts]) for name in ("hashes", "items"))
    order = np.argsort(hashes)
    answer.job.folder.mkdir(parents=True, exist_ok=True)
    TitleIndex(hashes[order], items[order], answer.parts[0].missing).save(answer.job.folder)
    write_json(answer.job.marker, {})
