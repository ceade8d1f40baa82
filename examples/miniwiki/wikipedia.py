"""MediaWiki's export format 0.11 as a multistream bz2 file with its index."""

import bz2
import hashlib
from xml.sax.saxutils import escape, quoteattr

from .facts import pick
from .pages import Page

PAGES_PER_STREAM = 20

NAMESPACES = {
    -2: "Media", -1: "Special", 0: "", 1: "Talk", 2: "User", 3: "User talk", 4: "Wikipedia", 5: "Wikipedia talk",
    6: "File", 7: "File talk", 8: "MediaWiki", 9: "MediaWiki talk", 10: "Template", 11: "Template talk", 12: "Help",
    13: "Help talk", 14: "Category", 15: "Category talk", 100: "Portal", 101: "Portal talk", 118: "Draft",
    119: "Draft talk", 828: "Module", 829: "Module talk",
}  # fmt: skip

SCHEMA = "http://www.mediawiki.org/xml/export-0.11"
FOOTER = "</mediawiki>\n"


def header() -> str:
    """The opening tag and siteinfo."""
    spaces = "".join(
        f'      <namespace key="{key}" case="first-letter" />\n'
        if not name
        else f'      <namespace key="{key}" case="first-letter">{name}</namespace>\n'
        for key, name in NAMESPACES.items()
    )
    return (
        f'<mediawiki xmlns="{SCHEMA}/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{SCHEMA}/ {SCHEMA}.xsd" version="0.11" xml:lang="en">\n'
        "  <siteinfo>\n    <sitename>Wikipedia</sitename>\n    <dbname>enwiki</dbname>\n"
        "    <base>https://en.wikipedia.org/wiki/Main_Page</base>\n    <generator>MediaWiki 1.43.0-wmf.1</generator>\n"
        f"    <case>first-letter</case>\n    <namespaces>\n{spaces}    </namespaces>\n  </siteinfo>\n"
    )


def base36_sha1(text: bytes) -> str:
    """SHA-1 as MediaWiki stores it: base 36, 31 digits."""
    number, digits = int(hashlib.sha1(text).hexdigest(), 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits.rjust(31, "0")


def text_element(page: Page) -> str:
    """The <text> element and the <sha1> after it."""
    data = page.text.encode()
    sha1 = base36_sha1(data)
    if page.state == "deleted":
        return '      <text bytes="0" deleted="deleted" xml:space="preserve" />\n      <sha1 />\n'
    if page.state == "stub":
        return f'      <text bytes="512" sha1="{sha1}" location="tt:77" id="77" />\n      <sha1>{sha1}</sha1>\n'
    attributes = f'bytes="{len(data)}" sha1="{sha1}" xml:space="preserve"'
    body = f"<text {attributes}>{escape(page.text, {chr(34): '&quot;'})}</text>" if data else f"<text {attributes} />"
    return f"      {body}\n      <sha1>{sha1}</sha1>\n"


def contributor(page: Page) -> str:
    """Who made the revision: an account, an address, or somebody hidden."""
    if page.state == "deleted":
        return '      <contributor deleted="deleted" />\n'
    number = pick(range(1, 200), page.title, "user")
    if number % 7 == 0:
        return f"      <contributor>\n        <ip>192.0.2.{number}</ip>\n      </contributor>\n"
    return (
        f"      <contributor>\n        <username>Editor {number}</username>\n        <id>{number}</id>\n"
        "      </contributor>\n"
    )


def page_element(page: Page, page_id: int) -> str:
    """One <page>; ids and times come from the title's hash."""
    revision = 1_100_000_000 + page_id * 1_000 + pick(range(1_000), page.title, "revision")
    month, day, second = (pick(range(1, top), page.title, key) for key, top in (("m", 13), ("d", 29), ("s", 60)))
    redirect = f"    <redirect title={quoteattr(page.redirect.partition('#')[0])} />\n" if page.redirect else ""
    comment = pick(["", "typo", "add [[WP:RS|source]] & tidy", "/* Culture */ <small> fix"], page.title, "comment")
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.ns}</ns>\n    <id>{page_id}</id>\n{redirect}"
        f"    <revision>\n      <id>{revision}</id>\n      <parentid>{revision - 777}</parentid>\n"
        f"      <timestamp>2024-{month:02}-{day:02}T12:00:{second:02}Z</timestamp>\n{contributor(page)}"
        + ("      <minor />\n" if comment == "typo" else "")
        + (f"      <comment>{escape(comment)}</comment>\n" if comment else "")
        + f"      <origin>{revision}</origin>\n      <model>{'Scribunto' if page.ns == 828 else 'wikitext'}</model>\n"
        f"      <format>{'text/plain' if page.ns == 828 else 'text/x-wiki'}</format>\n{text_element(page)}"
        "    </revision>\n  </page>\n"
    )


def numbered(pages: list[Page]) -> list[tuple[int, Page]]:
    """(page id, page) in the dump's order: shuffled by title, ids rising with gaps."""
    order = sorted(pages, key=lambda page: pick(range(2**40), page.title, "order"))
    page_id, rows = 9, []
    for page in order:
        page_id += 1 + pick(range(40), page.title, "gap")
        rows.append((page_id, page))
    return rows


def multistream(pages: list[Page]) -> tuple[bytes, bytes]:
    """(dump, index), both bz2: the header, streams of 20 pages, the footer; offset:page_id:title per page."""
    rows = numbered(pages)
    dump, index = bz2.compress(header().encode(), 9), []
    for start in range(0, len(rows), PAGES_PER_STREAM):
        chunk = rows[start : start + PAGES_PER_STREAM]
        # Titles are written as the text dump writes them: an ampersand stays escaped in the index.
        index += [f"{len(dump)}:{page_id}:{escape(page.title)}\n" for page_id, page in chunk]
        dump += bz2.compress("".join(page_element(page, page_id) for page_id, page in chunk).encode(), 9)
    dump += bz2.compress(FOOTER.encode(), 9)
    return dump, bz2.compress("".join(index).encode(), 9)
