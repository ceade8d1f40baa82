"""Wikitext -> plain text and links: our scanner beside mwparserfromhell, interleaved in one run, CPU time.

    python benchmarks/extraction.py [DUMP.xml.bz2 ...]      (the extra `bench` brings the peer)

Prints MB of UTF-8 wikitext per CPU second (best of the rounds) and the ratio; without a dump it reads examples/.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import mwparserfromhell

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse

ROUNDS = 3


def pages(path: Path) -> tuple[list[str], Site]:
    """The wikitext of every article of a dump, and its site."""
    texts = [
        page.text
        for piece in plan_ranges(str(path))
        for page in read_pages(piece)
        if isinstance(page, RawPage) and page.namespace == 0 and page.text and not page.redirect
    ]
    return texts, Site.from_siteinfo(read_siteinfo(str(path)), "en")


def cpu_seconds(run: Callable[[str], object], texts: list[str]) -> float:
    """CPU time of one pass."""
    started = time.process_time()
    for text in texts:
        run(text)
    return time.process_time() - started


def peer(text: str) -> object:
    """What mwparserfromhell needs for text and links."""
    code = mwparserfromhell.parse(text)
    return code.strip_code(), code.filter_wikilinks()


def main(paths: list[Path]) -> None:
    """Measure every dump."""
    for path in paths:
        texts, site = pages(path)
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        runs: dict[str, Callable[[str], object]] = {"wikiloom": lambda text, s=site: parse(text, s), "peer": peer}
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(ROUNDS):
            for name, run in runs.items():
                best[name] = min(best[name], cpu_seconds(run, texts))
        ours, theirs = (megabytes / best[name] for name in runs)
        print(f"{path.name}: {len(texts)} pages, {megabytes:.2f} MB: wikiloom {ours:.1f} MB/s, "
              f"mwparserfromhell {theirs:.2f} MB/s, ratio {ours / theirs:.1f}")  # fmt: skip


if __name__ == "__main__":
    examples = Path(__file__).parent.parent / "examples" / "enwiki-mini.xml.bz2"
    main([Path(name) for name in sys.argv[1:]] or [examples])
