"""Titles as typed, of any characters, and redirects of any shape."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.transforms.titles import CYCLE, NO_TARGET, index_titles
from pipelines.wikitext import Site, redirect_target
from pipelines.wikitext.site import MAX_TITLE
from schemas.hashing import hash_strings
from tests.end_to_end.reliability.fuzz_scanner import LANGUAGES
from tests.end_to_end.reliability.mutations import draws, mutated, tolerant
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome

ABOUT = (
    "titles with up to four changes, in 14 languages: no exception, a normal title is normal again, fits a title's "
    "bytes and has nothing that titles may not have, and a redirect to it is read as it is; each thousandth try: "
    "twelve titles that redirect to each other at random end where one step after the other ends"
)
COUNT = 2_000_000

SEEDS = (
    "Heron", "grey heron", "Paris, Texas", "Æon Flux", "İstanbul", "ß", "ǆ", "ﬁn", "Ἀθῆναι", "სტატია", "鳥", "AC/DC",
    ".NET", "%C3%89t%C3%A9", "caf%e9", "&amp;", "&#233;t&eacute;", "C++", "C#", "heron#Diet",
    "#Diet", ":heron", "::a",
    "a:b:c", "File:A.jpg", "category: Birds", "de:Reiher", "w:en:heron", "Talk:", "User:/x",
    "Special:Search/a", "1:2",
    "a_b__c ", "\u200eheron\u200f", "e\u0301", "../a", "a/./b", "~~~", "http://a.b", "mailto:a", "x" * 255, "鳥" * 85,
    "🐦" * 64,
)  # fmt: skip
TOKENS = [
    *"#:/%&;_ |<>[]{}'\"~.\n\0+?=", "%20", "%C3", "%", "%00", "&nbsp;", "&#x", "&#1114112;", "&#xD83D;", "&lt;",
    "&amp;amp;", "File:", "Category:", "de:", ":de:", "w:", "Talk:", "kategorie:", "../",
    "/..", "__", "  ", "i", "ı", "İ", "\u3000",
]  # fmt: skip
_PAGES = ("article", "category", "file", "media", "other_namespace", "language", "interwiki")
_NO_PAGES = ("fragment_only", "invalid_title")
_FORBIDDEN = frozenset("[]{}|<>#\n\t\x7f\ufffd")
_NO_TARGET = frozenset("[]|\n")
"""They end a redirect's target."""
_GRAPH_EVERY, _GRAPH = 1_000, 12


def run(count: int, seed: int) -> Outcome:
    """Change, normalise and check `count` titles."""
    sites = {code: Site.from_siteinfo(None, code) for code in LANGUAGES}
    failures: list[str] = []
    tried = 0
    begun = time.process_time()
    for number, words in draws(seed, "fuzz_titles", count, 5):
        tried += 1
        first = words[0]
        language, title = LANGUAGES[(first >> 8) % len(LANGUAGES)], SEEDS[(first >> 16) % len(SEEDS)]
        for word in words[1 : 2 + (first & 3)]:
            title = mutated(title, word, TOKENS, SEEDS[(first >> 24) % len(SEEDS)])
        fault = tolerant(check, title, sites[language])
        if not fault and number % _GRAPH_EVERY == 0:
            fault = tolerant(check_redirects, draw_redirects(words[1:]))
        if fault:
            failures.append(f"seed {seed}, number {number}, {language}: {fault}: {title!r}")
            if len(failures) == MAX_FAILURES:
                break
    return Outcome(tried, failures, {"titles a CPU second": round(tried / max(time.process_time() - begun, 1e-9))})


def check(raw: str, site: Site) -> str | None:
    """What is wrong with how a title is normalised."""
    kind, title = site.resolve(raw)
    if kind not in (_PAGES if title else _NO_PAGES):
        return f"{kind} {title!r}"
    site.namespace_of(raw)
    if not title:
        return None
    if len(title.encode()) > MAX_TITLE or title != title.strip(" _") or _FORBIDDEN & set(title):
        return f"the title {title!r}"
    if kind == "article" and site.normalize_title(title) != title:
        return f"{title!r} becomes {site.normalize_title(title)!r}"
    led = redirect_target(f"#REDIRECT [[{raw}]]", site)
    if led != title and not _NO_TARGET & set(raw) and len(raw) <= 1_000:
        return f"a redirect leads to {led!r}, not {title!r}"
    return None


def draw_redirects(words: Sequence[int]) -> Mapping[int, int]:
    """Redirects among _GRAPH titles: some lead nowhere, some in circles; title 0 has a page."""
    targets = [words[i % len(words)] >> 5 * (i // len(words)) for i in range(1, _GRAPH)]
    return {i: target % (_GRAPH + 1) for i, target in enumerate(targets, start=1) if target & 0x80000000 == 0}


def check_redirects(redirects: Mapping[int, int]) -> str | None:
    """What is wrong with where chains of redirects end."""
    names = [f"T{i}" for i in range(_GRAPH + 1)]
    hashes = hash_strings(names)
    sources, targets = np.array(list(redirects), np.int64), np.array(list(redirects.values()), np.int64)
    index = index_titles([(hashes[:1], np.array([42]))], (hashes[sources], hashes[targets]))
    for source, found in zip(redirects, index.find(hashes[sources]).tolist(), strict=True):
        at, seen = source, set()
        while at in redirects and at not in seen:
            seen.add(at)
            at = redirects[at]
        expected = 42 if at == 0 else CYCLE if at in redirects else NO_TARGET
        if found != expected:
            return f"T{source} ends at {found}, expected {expected}, of {dict(redirects)}"
    return None
