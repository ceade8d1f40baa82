"""The measurements of benchmarks/scale.py: each is run in a process of its own.

A function takes the share of full size and a folder, and returns what it counted, and the CPU seconds of its steps.
"""

import contextlib
import dataclasses
import functools
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import synthetic
from benchmarks.reading import repeated
from benchmarks.samples import sample_dumps
from benchmarks.timing import best_cpu_seconds
from pipelines import sinks
from pipelines.finish import anchor_rows
from pipelines.records import read_json
from pipelines.sources.ranges import plan_ranges, read_bytes
from pipelines.transforms.align import AlignJob, align_range
from pipelines.transforms.articles import WikipediaJob, read_wikipedia_range
from pipelines.transforms.entities import EntityShardJob
from pipelines.transforms.facts import Statements, Tally, read_statements
from pipelines.transforms.graph import SplitRules, make_graph
from pipelines.transforms.inductive import Sizes
from pipelines.transforms.mentions import MentionRules
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.plan_align import AlignRules, plan_alignment
from pipelines.transforms.title_lists import ListedTitles, PageProps, TitleLists
from pipelines.transforms.titles import TitleIndex, hash_column, index_titles
from pipelines.wikitext import Site
from schemas.hashing import random_u64
from schemas.manifest import read_manifest
from schemas.wk_graphs import WK_GRAPHS

Figures = dict[str, float | int | str]
TRIPLES = 20_000_000
RANGE_BYTES = 276e6
"""XML of a range of 64 MB of enwiki's bz2."""
HUBS = (15, 1_000, 100_000)
"""Neighbours of an entity that pages sample from; 15 are all taken."""


@contextlib.contextmanager
def timed(figures: Figures, name: str) -> Iterator[None]:
    """Add the CPU seconds of what runs inside."""
    started = time.process_time()
    yield
    figures[f"{name} CPU s"] = round(time.process_time() - started, 2)


def build_index(scale: float, folder: Path) -> Figures:
    """The index of all titles: sitelinks, articles, redirects."""
    articles, redirects = int(scale * synthetic.ARTICLES), int(scale * synthetic.REDIRECTS)
    figures: Figures = {"titles": articles + redirects}
    names = synthetic.titles(np.arange(articles + redirects))
    with timed(figures, "hash titles"):
        hashes = hash_column(pa.chunked_array([names]))
    targets = hashes[synthetic.popular("redirects", redirects, articles)]
    known = [(hashes[:articles], np.arange(articles)), (hashes[:articles], np.full(articles, -1))]
    with timed(figures, "build index"):
        index = index_titles(known, (hashes[articles:], targets))
    index.save(folder)
    size = sum(path.stat().st_size for path in folder.glob("title_*.npy"))
    return {**figures, "MB on disk": round(size / 1e6, 1), "bytes a title": round(size / len(names), 1)}


def look_up(scale: float, folder: Path) -> Figures:
    """A worker that looks links up in the index on disk."""
    articles, links = int(scale * synthetic.ARTICLES), int(min(scale * 10, 1) * 2_000_000)
    names = synthetic.titles(synthetic.popular("links", links, articles)).to_pylist()
    before = memory()
    index = TitleIndex.load(folder)
    figures: Figures = {"links": links}
    started = time.process_time()
    found = index.find_titles(names)
    rate = links / (time.process_time() - started)
    if (found < 0).any():
        raise ValueError("a title was not found")
    after = memory()
    own, shared = (after[name] - before[name] for name in ("RssAnon", "RssFile"))
    return {**figures, "links a CPU s": round(rate), "own MB": round(own), "shared MB": round(shared)}


def make_ranges(scale: float, folder: Path) -> Figures:
    """What the stages before the alignment leave: items, articles, redirects, links."""
    articles, redirects, items, links = (
        int(scale * count) for count in (synthetic.ARTICLES, synthetic.REDIRECTS, synthetic.ITEMS, synthetic.LINKS)
    )
    wikidata, wikipedia = stage_folders(scale, folder)
    hashes = hash_column(pa.chunked_array([synthetic.titles(np.arange(articles))]))
    edges = np.linspace(0, items, len(wikidata) + 1).astype(int)
    for path, first, last in zip(wikidata, edges, edges[1:], strict=False):
        synthetic.write_items(path, int(first), int(last), articles, items)
    numbers = np.split(np.arange(articles + redirects), [articles])
    for path, own, other in zip(wikipedia, *(np.array_split(part, len(wikipedia)) for part in numbers), strict=True):
        synthetic.write_pages(path, own, other, hashes, links // len(wikipedia))
    return {"articles": articles, "redirects": redirects, "items": items, "links": links}


def stage_folders(scale: float, folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders of all ranges of the stages wikidata and wikipedia."""
    wikidata, wikipedia = (
        [folder / f"stages-{scale}/{name}/{number}" for number in range(int(scale * count) + 1)]
        for name, count in (("wikidata", synthetic.WIKIDATA_RANGES), ("wikipedia", synthetic.WIKIPEDIA_RANGES))
    )
    return wikidata, wikipedia


def plan(scale: float, folder: Path) -> Figures:
    """The beginning of stage align, in one process: items, articles, redirects, links."""
    wikidata, wikipedia = stage_folders(scale, folder)
    rules = AlignRules(
        keep="linked",
        min_lead_words=5,
        min_neighbors=0,
        min_mentions=0,
        seed=0,
        valid_pages=0.01,
        test_pages=0.01,
    )
    figures: Figures = {"ranges": len(wikidata) + len(wikipedia)}
    with timed(figures, "plan_alignment"):
        plan_alignment(wikidata, wikipedia, no_lists(), rules, folder / "plan-index")
    return figures


def no_lists() -> Any:
    """No --redirects, no --page-props."""
    return TitleLists(ListedTitles(), PageProps(*(np.empty(0, np.int64) for _ in range(3))), {})


def make_statements(scale: float, folder: Path) -> Figures:
    """20 M statements between items that are all kept."""
    entities = int(scale * TRIPLES) // synthetic.STATEMENTS
    synthetic.write_items(folder / f"orders-{scale}", 0, entities, 0, entities)
    return {}


def orders(scale: float, folder: Path) -> Figures:
    """Stage graph, in one process: statements -> triples, both splits, the order of entities, neighbours."""
    entities, wikidata = int(scale * TRIPLES) // synthetic.STATEMENTS, [folder / f"orders-{scale}"]
    nothing = Statements(*(np.empty(0, np.int64) for _ in range(3)))
    kept, tally = np.arange(entities), Tally()
    figures: Figures = {"entities": entities}
    with timed(figures, "read_statements"):
        triples, _ = read_statements(wikidata, kept, labelled_only=True, excluded=nothing, tally=tally)
    rules = SplitRules(seed=0, valid=None, test=None, together=True, inductive=Sizes(None, None, 0.05))
    with timed(figures, "make_graph"):
        graph, refused = make_graph(triples, kept, np.zeros(entities, np.int64), rules)
    with timed(figures, "neighbourhood"):
        Neighbourhood.of(graph)
    top = int(graph.in_degree.max(initial=0))
    return {**figures, "triples": len(triples), "in-degree of the hottest": top, "inductive": refused or "split"}


def items(scale: float, folder: Path) -> Figures:
    """The beginning of stage graph, where none of the items of make_ranges is kept: the memory that each takes."""
    nothing, before, tally = np.empty(0, np.int64), peak_bytes(), Tally()
    excluded, (wikidata, _) = Statements(nothing, nothing, nothing), stage_folders(scale, folder)
    figures: Figures = {"items": int(scale * synthetic.ITEMS)}
    with timed(figures, "read_statements"):
        read_statements(wikidata, nothing, labelled_only=True, excluded=excluded, tally=tally)
    return {**figures, "bytes an item": round((peak_bytes() - before) / (scale * synthetic.ITEMS), 1)}


def make_anchors(scale: float, folder: Path) -> Figures:
    """The anchors that the alignment of each range counted."""
    links, entities = int(scale * synthetic.LINKS), int(scale * synthetic.ARTICLES)
    folders = anchor_folders(scale, folder)
    return {"rows": sum(synthetic.write_anchors(path, links // len(folders), entities) for path in folders)}


def anchor_folders(scale: float, folder: Path) -> list[Path]:
    """The folders of all ranges of stage align."""
    return [folder / f"anchors-{scale}/{number}" for number in range(int(scale * synthetic.WIKIPEDIA_RANGES) + 1)]


def anchors(scale: float, folder: Path) -> Figures:
    """The anchors table, in one process: (surface, entity) counts of all ranges added up and sorted."""
    entities = int(scale * synthetic.ARTICLES)
    columns = {field.name: np.empty(0, np.int64) for field in dataclasses.fields(Neighbourhood)}
    # Indices go by frequency, so that they are in another order than the items.
    columns |= {"keys": np.arange(entities), "index": np.argsort(random_u64(0, "index", np.arange(entities)))}
    Neighbourhood(**columns).save(folder / "neighbourhood")
    folders = anchor_folders(scale, folder)
    figures: Figures = {"links": int(scale * synthetic.LINKS), "ranges": len(folders)}
    with timed(figures, "anchor_rows"):
        table = anchor_rows(folders, Neighbourhood.load(folder / "neighbourhood"))
    return {**figures, "rows": table.num_rows}


def hot_titles(scale: float, folder: Path) -> Figures:
    """Two ranges of articles that only differ in what they link to, through the alignment: any title, or popular ones.

    And the neighbours that a page samples of an entity, by how many the entity has.
    """
    titles, articles = int(scale * 1_000_000), int(scale * 10_000) + 1
    links = articles * (synthetic.LINKS // synthetic.ARTICLES)
    draws = {
        "any title": synthetic.uniform("any", links, titles),
        "Zipf": synthetic.popular("hot", links, titles),
        "one title": np.zeros(links, np.int64),
    }
    index = synthetic.write_alignment(folder / "index", titles, list(draws), articles)
    figures: Figures = {"links": links, "titles": titles}
    for name, targets in draws.items():
        synthetic.write_linked_articles(folder / name, articles, targets)
        mentions = MentionRules(self_mentions=False, repeat_mentions=False)
        job = AlignJob(folder / name, index, index, folder / "out", mentions)
        seconds = best_cpu_seconds({name: functools.partial(align_range, job)}, rounds=3)[name]
        figures[f"{name}, hottest %"] = round(100 * float(np.bincount(targets).max()) / links, 1)
        figures[f"{name}, us a link"] = round(1e6 * seconds / links, 2)
    return {**figures, **_hubs()}


def _hubs() -> Figures:
    """Microseconds that a page's sample of an entity's neighbours takes."""
    figures: Figures = {}
    for degree in HUBS:
        pages = np.arange(max(1, 100_000 // degree))
        one, tails = np.zeros(1, np.int64), synthetic.uniform("tails", degree, degree)
        offsets, ids = np.concatenate([[0], np.full(degree, degree)]), tails.astype(np.uint64)
        numbers, zeros = np.arange(degree), np.zeros(degree, np.int64)
        hub = Neighbourhood(numbers, numbers, ids, one.astype(np.uint64), offsets, zeros, tails)
        run = functools.partial(hub.sample, pages, np.zeros_like(pages), 0, 15)
        seconds = best_cpu_seconds({"hub": run}, rounds=3)["hub"]
        figures[f"{degree} neighbours, us a page"] = round(1e6 * seconds / len(pages), 1)
    return figures


def moved_text(scale: float, folder: Path) -> Figures:
    """A build of the sample repeated to 73 MB of XML: what goes through Beam beside what the stages read and write."""
    with counted_jobs() as sent:
        figures = _build(folder, int(scale * 73e6), range_mb=1)
    shuffled = sum(sent)
    figures |= {"jobs": len(sent), "bytes through Beam": shuffled}
    return {**figures, "XML bytes a byte": round(1e6 * float(figures["XML MB"]) / shuffled)}


def whole_range(scale: float, folder: Path) -> Figures:
    """The same with one range of 276 MB of XML, which 64 MB of enwiki's bz2 are: the memory of a worker."""
    with counted_jobs() as sent:
        figures = _build(folder, int(scale * RANGE_BYTES), range_mb=1_000)
    return {**figures, "bytes of the largest job": max(sent)}


def shard_job(scale: float, folder: Path) -> Figures:
    """The jobs that write one shard name every run of wk_graphs, every range's file of records: the only elements that
    grow with the input. As the range of whole_range gave, with as many ranges as enwiki has."""
    import apache_beam as beam

    encode = beam.coders.registry.get_coder(object).encode
    out, ranges = folder / f"dataset-{int(scale * RANGE_BYTES)}", int(scale * synthetic.WIKIPEDIA_RANGES) + 1
    runs = sorted((out / ".build" / "wk_graphs").glob("*/*-*.arrow"))
    [shard, *_] = sinks.plan_shards(WK_GRAPHS, runs)
    slices = [
        (str(Path(path).parents[1] / f"{number:016x}" / Path(path).name), start, end)
        for number in range(ranges)
        for path, start, end in shard.slices
    ]
    merging = sinks.MergeJob(WK_GRAPHS, dataclasses.replace(shard, slices=slices), out, out / "0.json")
    files = ranges + int(scale * synthetic.WIKIDATA_RANGES)
    records = [
        (out / f".build/tables/entities/records/{number:05d}/records.arrow", 0, 1_000) for number in range(files)
    ]
    joining = EntityShardJob(0, 200_000, 0, 35, records, out, out, out / "0.json")
    return {
        "ranges": ranges,
        "runs of a range": len(runs),
        "bytes of a shard of wk_graphs": len(encode(merging)),
        "files of records": files,
        "bytes of a shard of entities": len(encode(joining)),
    }


def _build(folder: Path, size: int, range_mb: int) -> Figures:
    """Build a dataset from `size` bytes of XML and the sample's Wikidata, stage by stage, in one process."""
    from pipelines.build import build
    from pipelines.config import STAGES, Build
    from pipelines.runner import beam_options

    dump, wikidata = sample_dumps()
    path, out = folder / f"{size}.xml", folder / f"dataset-{size}"
    with path.open("wb") as file:
        written = sum(map(file.write, repeated(dump, size)))
    config = Build(wikipedia=(path,), wikidata=(wikidata,), keep="linked", out=out, set=(f"range_mb={range_mb}",))
    options = beam_options([], 1, [])
    with contextlib.redirect_stdout(sys.stderr):
        for stage in STAGES:
            build(dataclasses.replace(config, only=stage), options)
        work = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        build(config, options)
    manifest = read_manifest(out)
    figures: Figures = {"XML MB": round(written / 1e6, 1)}
    with timed(figures, "gunzip JSON"):
        figures["JSON MB"] = round(
            sum(len(b) for part in plan_ranges(str(wikidata)) for b in read_bytes(part)) / 1e6, 1
        )
    figures |= {f"{name} CPU s": stage["cpu_seconds"] for name, stage in manifest.rest["stages"].items()}
    figures |= {f"{name} rows": table.rows for name, table in manifest.tables.items()}
    dataset = sum(shard.bytes for table in manifest.tables.values() for shard in table.shards)
    return {**figures, "work folder MB": round(work / 1e6, 1), "dataset MB": round(dataset / 1e6, 1)}


@contextlib.contextmanager
def counted_jobs() -> Iterator[list[int]]:
    """The encoded size of every element that a pipeline of ours is given; the functions return nothing to Beam."""
    import apache_beam as beam

    from pipelines import runner

    sizes: list[int] = []
    encode = beam.coders.registry.get_coder(object).encode
    expand = runner.RunJobs.expand

    def counting(self: Any, begin: Any) -> Any:
        sizes.extend(len(encode(job)) for job in self.jobs)
        return expand(self, begin)

    runner.RunJobs.expand = counting  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        runner.RunJobs.expand = expand  # type: ignore[method-assign]


def giant_page(scale: float, folder: Path) -> Figures:
    """A page of MediaWiki's greatest size, 2 MiB, with 100,000 links, through reader, scanner and row writing."""
    return _page(folder, int(scale * 2**21), int(scale * 100_000))


def greatest_page(scale: float, folder: Path) -> Figures:
    """A page just under the reader's limit for a text, 10 MB, with links as thick."""
    return _page(folder, int(scale * 9_900_000), int(scale * 470_000))


def _page(folder: Path, size: int, links: int) -> Figures:

    text = " ".join(f"[[T{number}|w{number % 1000}]]" for number in range(links))
    text += "\nplain words" * ((size - len(text)) // 12)
    path = folder / "page.xml"
    xml = f"<page><title>A</title><ns>0</ns><id>1</id><revision><id>1</id><text>{text}</text></revision></page>"
    path.write_text(f"<mediawiki>\n{xml}\n</mediawiki>\n", encoding="utf-8")
    (part,) = plan_ranges(str(path))
    job = WikipediaJob(part, folder / "page", Site.from_siteinfo(None, "en"))
    figures: Figures = {"MB": round(len(text) / 1e6, 2), "links": links}
    with timed(figures, "read, parse, write"):
        read_wikipedia_range(job)
    if read_json(job.marker)["out"] != {"articles": 1, "redirects": 0}:
        raise ValueError(f"{path}: the page was not kept: {read_json(job.marker)}")
    return figures


def peak_bytes() -> int:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def memory() -> dict[str, float]:
    """MB of this process by kind: RssAnon is its own, RssFile is shared with all that map the same files."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) / 1e3 for words in lines if words[0].startswith("Rss")}
