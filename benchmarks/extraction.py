"""Extraction beside its peers, interleaved in one run, CPU time: wikitext -> text and links; bz2 -> text and links;
a line of Wikidata's JSON -> record.

    python benchmarks/extraction.py [--wikipedia DUMP.xml.bz2] [--wikidata DUMP.json.gz] [--rounds N]

Without dumps it reads enwiki-sample and wikidata-20151109-1000 in the folder WIKILOOM_DATA, else examples/. The extra
`bench` brings the peers. Writes results/extraction.json and prints the README's table.
"""

import argparse
import bz2
from collections.abc import Callable, Sequence
from pathlib import Path

import mwparserfromhell
from rich.console import Console
from rich.table import Table
from wikiextractor.extract import Extractor
from wikipedia2vec.dump_db import _parse_page
from wikipedia2vec.utils.wiki_page import WikiPage

from benchmarks import wikidata_lines
from benchmarks.samples import sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse, redirect_target

LANGUAGE = "en"
Page = tuple[str, str]
"""Title and wikitext."""


def read_articles(path: Path) -> list[Page]:
    """Every article of a dump."""
    site = make_site(path)
    pages = (page for piece in plan_ranges(str(path)) for page in read_pages(piece) if isinstance(page, RawPage))
    articles = (page for page in pages if page.namespace == 0 and page.text and not page.redirect)
    return [(page.title, page.text) for page in articles if not redirect_target(page.text, site)]


def make_site(path: Path) -> Site:
    """The dump's site, with nothing remembered of earlier pages."""
    return Site.from_siteinfo(read_siteinfo(str(path)), LANGUAGE)


def run_wikiloom(pages: Sequence[Page], site: Site) -> None:
    """Text and links with offsets."""
    for _, wikitext in pages:
        parse(wikitext, site)


def run_wikiextractor(pages: Sequence[Page]) -> None:
    """Text with links as HTML, as its command line with --links --no-templates makes it."""
    for title, wikitext in pages:
        Extractor("1", "1", "", title, [wikitext], keepLinks=True).clean_text(wikitext, expand_templates=False)


def run_wikipedia2vec(pages: Sequence[Page]) -> None:
    """Paragraphs with links and offsets, as its build-dump-db makes them."""
    for title, wikitext in pages:
        _parse_page(WikiPage(title, "en", wikitext, None), None)


def run_mwparserfromhell(pages: Sequence[Page]) -> None:
    """Text, and links without offsets."""
    for _, wikitext in pages:
        code = mwparserfromhell.parse(wikitext)
        code.strip_code(), code.filter_wikilinks()


def measure_wikitext(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """MB of UTF-8 wikitext a CPU second, and the ratio."""
    pages = read_articles(path)
    megabytes = sum(len(wikitext.encode()) for _, wikitext in pages) / 1e6
    siteinfo = read_siteinfo(str(path))
    runs: dict[str, Callable[[], object]] = {
        # A new site each time: nothing is remembered of the rounds before.
        "wikiloom": lambda: run_wikiloom(pages, Site.from_siteinfo(siteinfo, LANGUAGE)),
        "wikiextractor": lambda: run_wikiextractor(pages),
        "wikipedia2vec": lambda: run_wikipedia2vec(pages),
        "mwparserfromhell": lambda: run_mwparserfromhell(pages),
    }
    return _rates(best_cpu_seconds(runs, rounds), megabytes)


def measure_dump(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """MB of XML a CPU second from the compressed file on, beside bare decompression."""
    compressed = path.read_bytes()

    def read() -> None:
        site = make_site(path)
        for piece in plan_ranges(str(path)):
            for page in read_pages(piece):
                if isinstance(page, RawPage) and page.text and not page.redirect:
                    parse(page.text, site)

    runs: dict[str, Callable[[], object]] = {"wikiloom": read, "bz2.decompress": lambda: bz2.decompress(compressed)}
    return _rates(best_cpu_seconds(runs, rounds * 3), len(bz2.decompress(compressed)) / 1e6)


def measure_wikidata(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """MB of JSON a CPU second; every tool gives the same record."""
    lines = wikidata_lines.read_dump(path)
    return _rates(wikidata_lines.measure(lines, rounds * 3), sum(map(len, lines)) / 1e6)


def _rates(seconds: dict[str, float], megabytes: float) -> dict[str, dict[str, float]]:
    ours = seconds["wikiloom"]
    return {
        name: {"mb_per_s": round(megabytes / one, 2), "wikiloom_is_times_as_fast": round(one / ours, 2)}
        for name, one in seconds.items()
    }


def print_table(figures: dict[str, dict[str, dict[str, float]]]) -> None:
    """One row for each tool of each task."""
    table = Table("task", "tool", "MB/s", "ours is")
    for task, rates in figures.items():
        for name, rate in rates.items():
            ratio = "" if name == "wikiloom" else f"{rate['wikiloom_is_times_as_fast']:.2f}x"
            table.add_row(task, name, f"{rate['mb_per_s']:.1f}", ratio)
        table.add_section()
    Console(width=100).print(table)


def main() -> None:
    """Measure, print and write."""
    wikipedia, wikidata = sample_dumps(wikidata="wikidata-20151109-1000")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wikipedia", type=Path, default=wikipedia)
    parser.add_argument("--wikidata", type=Path, default=wikidata)
    parser.add_argument("--rounds", type=int, default=5)
    config = parser.parse_args()
    figures = {
        "wikitext to text and links": measure_wikitext(config.wikipedia, config.rounds),
        "bz2 to text and links": measure_dump(config.wikipedia, config.rounds),
        "Wikidata line to record": measure_wikidata(config.wikidata, config.rounds),
    }
    print_table(figures)
    inputs = {"wikipedia": config.wikipedia.name, "wikidata": config.wikidata.name}
    print(f"wrote {save('extraction', {'inputs': inputs, 'figures': figures})}")


if __name__ == "__main__":
    main()
