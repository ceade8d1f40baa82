"""Id tables as large as all of Wikipedia and Wikidata, made by counter-based hashing: the same on every machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.records import write_json, write_records
from pipelines.transforms.articles import ARTICLES as ARTICLE_ROWS
from pipelines.transforms.articles import TARGET
from pipelines.transforms.graph import names
from pipelines.transforms.titles import hash_column, index_titles
from schemas.hashing import random_u64

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

ARTICLES, REDIRECTS, ITEMS, LINKS = 6_900_000, 11_000_000, 115_000_000, 200_000_000
"""What enwiki and Wikidata hold."""
WIKIPEDIA_RANGES, WIKIDATA_RANGES = 393, 2_652
"""Ranges of 64 MiB that their files are read in (docs/scale.md)."""
STATEMENTS = 4
"""Statements between items that an item has; a sample of 25,030 items has 3.7."""
RELATIONS = 800
SURFACES = 4
"""Names that links to an item have."""
CHUNK = 1 << 20
"""Draws at a time: the counters take a hundred bytes for each."""


def chunks(count: int) -> Iterator[I64]:
    """0, 1, ..., count - 1 in pieces."""
    for start in range(0, count, CHUNK):
        yield np.arange(start, min(start + CHUNK, count))


def uniform(purpose: str, count: int, below: int) -> I64:
    """`count` numbers below `below`, all as likely."""
    pieces = [(random_u64(0, purpose, part) % np.uint64(below)).astype(np.int64) for part in chunks(count)]
    return np.concatenate([np.empty(0, np.int64), *pieces])


def popular(purpose: str, count: int, below: int) -> I64:
    """`count` numbers below `below` by Zipf's law: number k comes about 1 / (k + 1) as often as number 0."""
    pieces = [(below + 1) ** (random_u64(0, purpose, part) / 2.0**64) for part in chunks(count)]
    return np.minimum(np.concatenate([np.empty(0), *pieces]).astype(np.int64) - 1, below - 1)


def titles(numbers: I64) -> pa.Array:
    """Title 17 and the like."""
    return names("Title ", numbers)


def write(path: Path, columns: dict[str, pa.Array | I64], order: str | None = None) -> None:
    """Write columns as a stage's file in a build's work folder, sorted by one of them."""
    table = pa.table(columns)
    write_records(path, table.sort_by(order) if order else table)


def lists(values: I64, each: int) -> pa.ListArray:
    """Lists of `each` values."""
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, each), pa.int32()), pa.array(values))


def write_items(folder: Path, first: int, last: int, linked: int, below: int) -> None:
    """Items `first` to `last` - 1 of a Wikidata stage: statements to popular items; titles of those below `linked`."""
    numbers = np.arange(first, last)
    count = STATEMENTS * len(numbers)
    has_title = max(0, min(last, linked) - first)
    write(
        folder / "items.arrow",
        {
            "item": numbers,
            "title": pa.concat_arrays([titles(numbers[:has_title]), pa.nulls(len(numbers) - has_title, pa.string())]),
            "relations": lists(popular(f"relations {first}", count, RELATIONS), STATEMENTS),
            "tails": lists(popular(f"tails {first}", count, below), STATEMENTS),
            "content": numbers.astype(np.uint64),
        },
    )
    relations = np.arange(RELATIONS)
    write(folder / "properties.arrow", {"relation": relations, "label": names("relation ", relations)})


def write_pages(folder: Path, articles: I64, redirects: I64, hashes: U64, links: int) -> None:
    """Articles and redirects of a Wikipedia stage by title number; `hashes` are those of all articles' titles."""
    write(
        folder / "articles.arrow",
        {
            "page_id": articles,
            "revision_id": articles,
            "title": titles(articles),
            "disambiguation": pa.array(np.zeros(len(articles), bool)),
            "lead_words": np.full(len(articles), 50, np.int32),
        },
    )
    targets = popular(f"redirects {redirects[0]}", len(redirects), len(hashes))
    write(
        folder / "redirects.arrow",
        {
            "page_id": redirects,
            "revision_id": redirects,
            "title": titles(redirects),
            "target": titles(targets),
            "code": np.full(len(redirects), -1, np.int64),
        },
    )
    places = np.sort(uniform(f"places {redirects[0]}", links, len(articles))).astype(np.uint64)
    linked = hashes[popular(f"links {redirects[0]}", links, len(hashes))]
    np.save(folder / "targets.npy", np.stack([places, linked], axis=-1))


def write_anchors(folder: Path, links: int, items: int) -> int:
    """The anchors of an alignment's range: items by Zipf's law under one of SURFACES names each; returns the rows."""
    surfaces = popular(f"surfaces {folder.name}", links, SURFACES)
    pairs, counts = np.unique(popular(f"anchors {folder.name}", links, items) * SURFACES + surfaces, return_counts=True)
    columns = {"surface": titles(pairs), "item": pairs // SURFACES, "count": counts}
    write(folder / "anchors.arrow", columns, order="surface")
    return len(pairs)


def write_alignment(folder: Path, titles_: int, ranges: list[str], articles: int) -> Path:
    """The indices of an alignment whose titles are items of the same number; each range has the first articles."""
    folder.mkdir(parents=True)
    numbers = np.arange(titles_)
    column = pa.chunked_array([titles(numbers)])
    index_titles([(hash_column(column), numbers)], (np.empty(0, np.uint64), np.empty(0, np.uint64))).save(folder)
    pages = len(ranges) * articles
    columns = {"kept_pages": np.ones(pages, bool), "page_codes": np.zeros(pages, np.int8)}
    for name, values in {"kept_items": numbers, "page_items": np.arange(pages) % titles_, **columns}.items():
        np.save(folder / f"{name}.npy", values)
    write_json(folder / "starts.json", {name: number * articles for number, name in enumerate(ranges)})
    return folder


def write_linked_articles(folder: Path, articles: int, targets: I64) -> None:
    """Articles of a Wikipedia stage that link to title numbers `targets`, each to as many."""
    each = len(targets) // articles
    starts = np.tile(np.arange(each) * 20, articles)
    fields = [pa.array(starts, pa.int32()), pa.array(starts + 5, pa.int32()), titles(targets)]
    offsets = pa.array(np.arange(articles + 1) * each, pa.int32())
    numbers, nothing = np.arange(articles), pa.array(np.zeros(articles + 1), pa.int32())
    sections = ARTICLE_ROWS.field("sections").type
    write(
        folder / "articles.arrow",
        {
            "page_id": numbers,
            "revision_id": numbers,
            "timestamp": pa.nulls(articles, pa.timestamp("ms")),
            "title": titles(numbers),
            "text": pa.array(["word and some more. " * each] * articles),
            "sections": pa.ListArray.from_arrays(nothing, pa.array([], sections.value_type), sections),
            "lead_end": np.full(articles, 20, np.int32),
            "links": pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=list(TARGET))),
        },
    )
