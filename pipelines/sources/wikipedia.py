"""MediaWiki export XML -> pages.

'<' is always escaped inside a page's text, so "<page>" and "</page>" found as bytes are the pages' true bounds. Each
page is parsed alone: a malformed one costs only itself.
"""

import html
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from pipelines.sources import CUT, Reject
from pipelines.sources.ranges import Range, Truncated, read_blocks, read_following, read_head
from schemas.errors import DataError

MAX_PAGE = 64 << 20
"""Bytes of XML that a page may have."""
_LIBXML_TEXT = 10_000_000
"""Longest text node that libxml2 takes without huge_tree."""
_MAX_HEADER = 16 << 20
_HEAD = 8192
"""Bytes of a page in which its title is looked for, when it cannot be parsed."""
_END_OF_PAGE_IDS = 1 << 36
"""graph_id = page_id * 2^27 + start must fit an int64; no wiki has a page id of more than 2^28."""
_OPEN, _FOOTER = b"<page>", b"</mediawiki>"
_TAG = re.compile(rb"</?page>")
_TAG_TAIL = len("</page>") - 1
"""Bytes to keep of a searched block: a tag may go on in the next."""
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_TITLE = re.compile(rb"<title>([^<]{1,1000})</title>")
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, remove_comments=True
)


class RawPage(NamedTuple):
    """A page as the dump has it."""

    page_id: int
    namespace: int
    """As the dump says; 0 in old dumps that have no <ns>."""
    title: str
    redirect: str | None
    """Title of <redirect>; None in old dumps, whose text then says it."""
    revision_id: int
    timestamp: str
    """ISO 8601, or empty."""
    model: str
    text: str | None
    """Wikitext; None where it was deleted or left out."""


def read_siteinfo(path: str) -> bytes | None:
    """The <siteinfo> element in the dump's header, None where there is none (a piece of a dump).

    DataError for a file that is no dump, or has no page.
    """
    buffer = bytearray()
    for block in read_blocks(Range(path, 0, os.path.getsize(path))):
        if isinstance(block, Truncated):
            if b"</siteinfo>" not in buffer:
                buffer.clear()
            continue
        buffer += block
        if _OPEN in buffer or len(buffer) > _MAX_HEADER:
            break
    header, page, _ = buffer.partition(_OPEN)
    if not page:
        what = "no <page> in it" if b"<mediawiki" in header else "neither <mediawiki> nor <page> in it"
        raise DataError(f"{path}: {what}; expected a pages-articles dump (MediaWiki export XML).")
    found = re.search(rb"<siteinfo>.*?</siteinfo>", bytes(header), re.DOTALL)
    return found[0] if found else None


def read_pages(range: Range) -> Iterator[RawPage | Reject]:
    """Pages whose first byte lies in the range, and a reject for each that cannot be read."""
    for page in _cut_pages(range):
        yield page if isinstance(page, Reject) else _parse_page(page)


def _cut_pages(range: Range) -> Iterator[bytes | Reject]:
    """XML of each page that begins in the range, in order; the last one is read on behind the range's end."""
    cutter = _Cutter()
    tail, damaged = b"", False
    for block in read_blocks(range):
        if damaged := isinstance(block, Truncated):
            cutter.forget()
            yield _reject("", "truncated", CUT)
        else:
            tail = (tail + block[-64:])[-64:]
            yield from (page for _, page in cutter.feed(block))
    if range.end == os.path.getsize(range.path):
        if not damaged:
            yield from _check_end(cutter, tail, range.path)
        return
    own = cutter.total
    following = read_following(range)
    while cutter.may_own(own) and (block := next(following, None)) is not None:
        if isinstance(block, Truncated):
            return  # reported by the range in which the damage lies
        for start, page in cutter.feed(block):
            if start < own:
                yield page
        tail = (tail + block[-64:])[-64:]
    if cutter.may_own(own):
        yield from _check_end(cutter, tail, range.path, is_last=False)


def _check_end(cutter: "_Cutter", tail: bytes, path: str, *, is_last: bool = True) -> Iterator[Reject]:
    """What an input's end says: cut if a dump lacks its footer; one reject whichever range the open page is in."""
    ended = tail.rstrip()[-len(_FOOTER) :]
    # A last range that is shorter than the footer sees only the end of it.
    if _FOOTER.endswith(ended):
        if cutter.open_at is not None:
            yield _reject(_title(cutter.buffer), "malformed_xml", "<page> without </page>")
    elif b"<mediawiki" in read_head(path):
        if is_last:
            yield _reject("", "truncated", CUT)
    elif cutter.open_at is not None:
        # A piece without header and footer shows by its open page alone that it was cut.
        yield _reject("", "truncated", CUT)


class _Cutter:
    """Cuts a stream of blocks into pages; offsets count the bytes fed so far."""

    def __init__(self) -> None:
        self.total = 0
        self.open_at: int | None = None
        """Offset of the page that has begun and not ended."""
        self.buffer = bytearray()
        """Bytes from there on; else the last few, which may be the beginning of a tag."""
        self._searched = 0

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes | Reject]]:
        """(offset, page) for each page that ends in this block."""
        base = self.total - len(self.buffer)
        self.buffer += block
        self.total += len(block)
        for tag in _TAG.finditer(self.buffer, self._searched):
            if self.open_at is not None:
                yield self.open_at, self._end(self.open_at - base, tag)
            self.open_at = base + tag.start() if tag[0] == _OPEN else None
        if self.open_at is not None and self.total - self.open_at > MAX_PAGE:
            yield self.open_at, _too_large(self.buffer[self.open_at - base :][:_HEAD])
            self.open_at = None
        del self.buffer[: self.open_at - base if self.open_at is not None else -_TAG_TAIL]
        self._searched = max(0, len(self.buffer) - _TAG_TAIL)
        if self.open_at is not None:
            self._searched = max(self._searched, len(_OPEN))

    def may_own(self, border: int) -> bool:
        """Whether a page that begins before `border` is open, or may be beginning."""
        if self.open_at is not None:
            return self.open_at < border
        return self.total < border + _TAG_TAIL and any(self.buffer.endswith(_OPEN[:n]) for n in (1, 2, 3, 4, 5))

    def forget(self) -> None:
        """Drop the open page: the bytes that follow are not its own."""
        self.open_at = None
        self.buffer.clear()
        self._searched = 0

    def _end(self, start: int, tag: re.Match[bytes]) -> bytes | Reject:
        if tag.end() - start > MAX_PAGE:
            return _too_large(self.buffer[start:][:_HEAD])
        if tag[0] == _OPEN:
            return _reject(_title(self.buffer[start:][:_HEAD]), "malformed_xml", "<page> without </page>")
        return bytes(self.buffer[start : tag.end()])


def _parse_page(xml: bytes) -> RawPage | Reject:
    try:
        root = etree.fromstring(xml, _PARSER)
    except etree.XMLSyntaxError as error:
        if len(xml) > _LIBXML_TEXT:
            return _too_large(xml)
        name = etree.ErrorTypes._getName(error.code) or "not well-formed"
        return _reject(_title(xml), "malformed_xml", name)
    fields = {child.tag: child for child in root}
    title = (fields["title"].text or "") if "title" in fields else ""
    revision = max(root.iterfind("revision"), key=_revision_id, default=None)
    page_id = _number(root, "id", end=_END_OF_PAGE_IDS)
    key = title or (str(page_id) if page_id is not None else _title(xml))
    if not title:
        return _reject(key, "missing_title", "")
    if page_id is None:
        return _reject(key, "missing_id", root.findtext("id") or "")
    if revision is None or _revision_id(revision) < 0:
        return _reject(key, "missing_revision", "" if revision is None else (revision.findtext("id") or ""))
    text = revision.find("text")
    if text is not None and len(text):
        return _reject(key, "malformed_xml", "markup inside <text>")
    redirect = fields["redirect"].get("title") if "redirect" in fields else None
    return RawPage(
        page_id=page_id,
        namespace=_number(root, "ns", low=-2) or 0,
        title=title,
        redirect=redirect or None,
        revision_id=_revision_id(revision),
        timestamp=revision.findtext("timestamp") or "",
        model=revision.findtext("model") or "wikitext",
        text=_text(text),
    )


def _text(element: etree._Element | None) -> str | None:
    if element is None or element.get("deleted") is not None:
        return None
    if element.text is None and element.get("bytes", "0") != "0":
        return None  # a stub: the text is said to have bytes, and is not here
    return element.text or ""


def _revision_id(revision: etree._Element) -> int:
    number = _number(revision, "id")
    return -1 if number is None else number


def _number(element: etree._Element, tag: str, low: int = 1, end: int = 2**63) -> int | None:
    """The integer in child `tag`, None where there is none from `low` up to `end`."""
    text = (element.findtext(tag) or "").strip()
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if low <= number < end else None


def _title(xml: bytes | bytearray) -> str:
    found = _TITLE.search(xml, 0, _HEAD)
    return html.unescape(found[1].decode(errors="replace")) if found else ""


def _too_large(xml: bytes | bytearray) -> Reject:
    return _reject(_title(xml), "page_too_large", f"more than {MAX_PAGE} bytes, or a text of {_LIBXML_TEXT} and more")


def _reject(key: str, reason: str, detail: str) -> Reject:
    return Reject("wikipedia", key, reason, detail)
