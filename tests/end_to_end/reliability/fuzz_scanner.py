"""The wikitext scanner under mutations of its own cases and of real pages."""

import functools
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages
from pipelines.wikitext import Article, OverBudget, Site, is_disambiguation, parse, redirect_target
from tests.conftest import ROOT
from tests.end_to_end.reliability.mutations import draws, mutated
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome
from tests.pipelines.wikitext.test_cases import CASES, HEADINGS
from tests.pipelines.wikitext.test_languages import MARKUP as VARIANTS
from tests.pipelines.wikitext.test_linear import CLOSED
from tests.pipelines.wikitext.test_linear import UNCLOSED as HOSTILE
from tests.pipelines.wikitext.test_recovery import MARKUP, UNCLOSED

ABOUT = (
    "mutations of the scanner's test cases and of slices of real pages, in 14 languages, lone surrogates among them: "
    "no exception, links and sections ordered and inside the text, titles normal, valid UTF-8, at most 4 times the "
    "input and 2,000 characters, what stands behind the next heading kept; and plain text parses to itself"
)
COUNT = 10_000_000

LANGUAGES = ("en", "de", "fr", "ru", "bg", "ja", "zh", "ar", "he", "tr", "sr", "hi", "ca", "jbo")
"""Each has trails, prefixes, variants, capitals or templates of its own kind."""
TOKENS = sorted({*MARKUP, *UNCLOSED, *HOSTILE, *CLOSED, *VARIANTS, "}}}-", "-{zh-hans:", "[[x|", "{{lang|", "|-\n"})
TAIL = "\n\n== Diet ==\nFish and frogs.\n"
SHOWN_TAIL = "Fish and frogs."
MAX_GROWTH, CONSTANT = 4, 2_000
"""The constant is what a template's pattern may give that shows an argument twice."""

_PLAIN = "abcé鳥., \n"
_SLICE = 150
_SPREAD = 7_919
"""Prime: far from one slice of a page to the next."""
_FORBIDDEN = re.compile("  |\n\n| \n|\n |[\0-\x09\x0b-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Corpus(NamedTuple):
    """What is mutated."""

    cases: Sequence[tuple[str, str]]
    """(language, wikitext)."""
    pages: Sequence[str]
    """Real wikitext."""


def run(count: int, seed: int) -> Outcome:
    """Mutate, parse and check `count` inputs."""
    found = read_corpus()
    sites = {code: Site.from_siteinfo(None, code) for code in {*LANGUAGES, *(case[0] for case in found.cases)}}
    failures: list[str] = []
    tried = refused = 0
    begun = time.process_time()
    for number, words in draws(seed, "fuzz_scanner", count, 6):
        tried += 1
        language, page = _input(words, found)
        try:
            fault = check(page, sites[language]) if words[0] & 31 else check_plain(page, sites[language])
        except OverBudget:
            refused += 1
            continue
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault:
            failures.append(f"seed {seed}, number {number}, {language}: {fault}: {page!r}")
            if len(failures) == MAX_FAILURES:
                break
    rate = round(tried / max(time.process_time() - begun, 1e-9))
    return Outcome(tried, failures, {"inputs a CPU second": rate, "refused as over budget": refused})


def check(page: str, site: Site) -> str | None:
    """What is wrong with the article of a page, and with the answers to the two questions asked before."""
    redirect_target(page, site)
    is_disambiguation(page, site)
    article = parse(page + TAIL, site)
    if not article.text.endswith(SHOWN_TAIL) or article.sections[-1].title != "Diet":
        return f"the tail is lost: {article.text[-60:]!r}"
    return unsound(article, site) or too_long(article, len(page) + len(TAIL))


def check_plain(page: str, site: Site) -> str | None:
    """What is wrong with the article of a page without markup."""
    text = parse(page, site).text
    if text.split() != page.split():
        return f"plain text became {text!r}"
    return None if parse(text, site).text == text else f"{text!r} does not parse to itself"


def unsound(article: Article, site: Site) -> str | None:
    """What no article may have, whatever its wikitext was."""
    text = article.text
    if (found := _FORBIDDEN.search(text)) or text != text.strip():
        return f"{found[0] if found else 'white space at an end'!r} in the text {text!r}"
    end = 0
    for start, stop, target in article.links:
        if not end <= start < stop <= len(text) or not text[start].strip() or not text[stop - 1].strip():
            return f"a link at {start} to {stop} behind {end} in {text!r}"
        if site.normalize_title(target) != target or not target:
            return f"a link to {target!r}, which is not normal"
        end = stop
    end = article.lead_end
    for section in article.sections:
        if not end <= section.start <= section.end <= len(text) or not 1 <= section.level <= 6:
            return f"{section} behind {end} in a text of {len(text)}"
        end = section.end
    return None


def too_long(article: Article, length: int) -> str | None:
    """Whether the text outgrows its wikitext."""
    if len(article.text) <= MAX_GROWTH * length + CONSTANT:
        return None
    return f"{len(article.text)} characters of text from {length} of wikitext"


def _input(words: list[int], corpus: Corpus) -> tuple[str, str]:
    """(language, page): a case or a slice of a page, with up to four changes."""
    first = words[0]
    if first & 31 == 0:
        language = LANGUAGES[(first >> 8) % len(LANGUAGES)]
        return language, "".join(_PLAIN[(word >> 4 * i) % len(_PLAIN)] for word in words[1:] for i in range(15))
    language, page = corpus.cases[(first >> 8) % len(corpus.cases)]
    other = corpus.cases[(first >> 20) % len(corpus.cases)][1]
    if first & 32:
        page, other = _slice(first >> 8, corpus.pages), page
        language = LANGUAGES[(first >> 40) % len(LANGUAGES)]
    for word in words[1 : 2 + (first >> 6 & 3)]:
        page = mutated(page, word, TOKENS, other)
    return language, page


def _slice(bits: int, pages: Sequence[str]) -> str:
    page = pages[bits % len(pages)]
    start = (bits >> 16) * _SPREAD % len(page)
    return page[start : start + _SLICE]


@functools.cache
def read_corpus() -> Corpus:
    """The scanner's cases, and the articles of the dumps in $WIKILOOM_DATA, or else of the examples."""
    cases = [(language, wikitext) for _, language, wikitext, _ in CASES] + [("en", case[1]) for case in HEADINGS]
    return Corpus(cases, [page.text for path in dumps() for page in _articles(path)])


def dumps() -> list[Path]:
    """Dumps of Wikipedias that are at hand."""
    folder = Path(os.environ["WIKILOOM_DATA"], "wikipedia") if "WIKILOOM_DATA" in os.environ else ROOT / "examples"
    return sorted(folder.glob("*.xml.bz2"))


def _articles(path: Path) -> Iterator[RawPage]:
    for part in plan_ranges(str(path)):
        yield from (page for page in read_pages(part) if isinstance(page, RawPage) and page.text)
