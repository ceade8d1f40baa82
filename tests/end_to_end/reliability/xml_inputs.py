"""Export files that are hostile, odd or broken as XML, and dumps that are odd as dumps."""

import codecs
from collections.abc import Callable

from tests.end_to_end.reliability.inputs_tried import COUNT, PAGES, Kind, whole_pages
from tests.pipelines.sources.inputs import FOOTER, HEADER, dump, page

WHOLE = whole_pages()
TEXT = WHOLE.decode()
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
DTD = f'<!DOCTYPE mediawiki [<!ENTITY l0 "{"ha" * 50}">{LAUGHS}]>\n'
EXTERNAL = '<!DOCTYPE mediawiki [<!ENTITY canary SYSTEM "file://FOLDER/canary">]>\n'
PARAMETER = '<!DOCTYPE mediawiki [<!ENTITY % all SYSTEM "file://FOLDER/canary"> %all;]>\n'


def _kind(data: "bytes | str", **expected: object) -> Kind:
    made = data.encode() if isinstance(data, str) else data
    return Kind(PAGES, lambda: made, **expected)  # type: ignore[arg-type]


def _text(markup: str) -> str:
    """A page whose <text> has this XML, as it stands here."""
    return page(3, "HERE").replace("HERE", markup)


def _with(odd: str, before: str = "", **expected: object) -> Kind:
    """Two pages, with an odd one between them; `before` stands before the dump."""
    return _large(lambda: odd, before, **expected)


def _large(odd: Callable[[], str], before: str = "", **expected: object) -> Kind:
    """The same, made when it is needed."""
    return Kind(
        PAGES,
        lambda: f"{before}{HEADER}{page(1)}{odd()}{page(2)}{FOOTER}".encode(),
        **expected,  # type: ignore[arg-type]
    )


BAD = {"kept": 2, "rejects": ("malformed_xml",)}
ENTITIES = {
    "entities that expand to 10^11 bytes": _with(_text("&l9;"), DTD, **BAD),
    "entities within the page": _with(_text(f"x</text>{DTD}<text>&l9;"), **BAD),
    "an external entity": _with(_text("&canary;"), EXTERNAL, **BAD),
    "an external entity within the page": _with(f"<page>{EXTERNAL}<title>&canary;</title></page>", **BAD),
    "an external parameter entity": _with(page(3), PARAMETER, kept=3),
    "an external DTD": _with(page(3), '<!DOCTYPE mediawiki SYSTEM "file://FOLDER/canary">\n', kept=3),
    "a DTD of the network": _with(page(3), '<!DOCTYPE mediawiki SYSTEM "http://127.0.0.1:9/x.dtd">\n', kept=3),
    "XInclude": _with(
        _text('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file://FOLDER/canary"/>'), **BAD
    ),
    "a style sheet": _with(page(3), '<?xml-stylesheet href="file://FOLDER/canary"?>\n', kept=3),
    "a processing instruction in a text": _with(_text("a<?php echo 1 ?>b"), **BAD),
    "character references": _with(_text("&#72;&#x48;&amp;lt;"), kept=3),
    "a reference to NUL": _with(_text("&#0;"), **BAD),
    "a reference to a surrogate": _with(_text("&#xD83D;"), **BAD),
    "a reference beyond Unicode": _with(_text("&#x110000;"), **BAD),
    "a reference of 5,000 digits": _with(_text(f"&#{'9' * 5000};"), **BAD),
    "an entity of HTML": _with(_text("&nbsp;"), **BAD),
    "a bare ampersand": _with(_text("AT&T"), **BAD),
}
ENCODINGS = {
    "a byte order mark": _kind(codecs.BOM_UTF8 + WHOLE),
    "UTF-16 without an end of line": _kind(TEXT.replace("\n", " ").encode("utf-16")),
    "UTF-16, the other way round": _kind(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")),
    "UTF-32": _kind(TEXT.encode("utf-32")),
    "UTF-16 without a mark": _kind(TEXT.encode("utf-16-le"), error="unknown binary format"),
    "UTF-16 cut in a character": _kind(TEXT.encode("utf-16")[:-13], rejects=("truncated",)),
    "UTF-16 said, UTF-8 meant": _kind(b'<?xml version="1.0" encoding="UTF-16"?>\n' + WHOLE),
    "Latin-1 said, UTF-8 meant": _kind(b'<?xml version="1.0" encoding="ISO-8859-1"?>\n' + WHOLE),
    "an unknown encoding said": _kind(b'<?xml version="1.0" encoding="x-heron"?>\n' + WHOLE),
    "Latin-1": _kind(
        dump([page(1), page(2, "für"), page(3)]).decode().encode("latin-1"), kept=2, rejects=("malformed_xml",)
    ),
    "overlong UTF-8": _kind(
        dump([page(1), page(2, "HERE"), page(3)]).replace(b"HERE", b"\xc0\xaf"), kept=2, rejects=("malformed_xml",)
    ),
    "a surrogate in UTF-8": _kind(
        dump([page(1), page(2, "HERE"), page(3)]).replace(b"HERE", b"\xed\xa0\xbd"), kept=2, rejects=("malformed_xml",)
    ),
    "NUL in a text": _kind(
        dump([page(1), page(2, "HERE"), page(3)]).replace(b"HERE", b"\0"), kept=2, rejects=("malformed_xml",)
    ),
    "NUL between pages": _kind(dump([page(1), page(2)]).replace(b"  <page>", b"\0\0  <page>"), kept=2),
    "a noncharacter": _with(_text("\uffff"), **BAD),
    "line ends of Windows": _kind(WHOLE.replace(b"\n", b"\r\n")),
    "line ends of old Macs": _kind(WHOLE.replace(b"\n", b"\r")),
    "all on one line": _kind(WHOLE.replace(b"\n", b"")),
    "XML 1.1": _kind(b'<?xml version="1.1"?>\n' + WHOLE),
}
MARKUP = {
    "a page in a page": _with(_text(f"</text>{page(4)}<text>"), kept=(2, 3), rejects=("malformed_xml",)),
    "a page that opens twice": _with("  <page>\n" + page(3), kept=3, rejects=("malformed_xml",)),
    "a page that closes twice": _with(page(3) + "  </page>\n", kept=3),
    "a page without an end": _with("  <page>\n    <title>Bad</title>\n", **BAD),
    "elements 100,000 deep": _large(lambda: _text("<b>" * 100_000), **BAD),
    "elements 300 deep, all closed": _with(_text("<b>" * 300 + "</b>" * 300), **BAD),
    "a tag that does not end": _with(_text("<b"), **BAD),
    "an attribute twice": _with(page(3).replace("<title>", '<title a="1" a="2">'), **BAD),
    "100,000 attributes": _large(
        lambda: page(3).replace("<title>", "<title " + " ".join(f'a{i}="1"' for i in range(100_000)) + ">"),
        kept=(2, 3),
        rejects=(),
    ),
    "an attribute of 12 MB": _large(
        lambda: page(3).replace("<title>", f'<title a="{"x" * 12_000_000}">'), kept=2, rejects=("page_too_large",)
    ),
    "a text of 12 MB": _large(lambda: _text("heron " * 2_000_000), kept=2, rejects=("page_too_large",)),
    "a text of 9 MB": _large(lambda: _text("heron " * 1_500_000), kept=3),
    "a comment of 12 MB": _large(
        lambda: _text("a<!--" + "x" * 12_000_000 + "-->b"), kept=(2, 3), rejects=("page_too_large",)
    ),
    "a comment in a text": _with(_text("a<!-- b -->c"), kept=3),
    "a comment with a page": _with("<!-- " + page(3) + " -->", kept=(2, 3)),
    "CDATA": _with(_text("<![CDATA[ a <b> ]]>"), kept=3),
    "CDATA with a page": _with(
        _text("<![CDATA[<page><title>x</title></page>]]>"), kept=(2, 3), rejects=("malformed_xml", "missing_id")
    ),
    "a prefix without a namespace": _with(page(3).replace("title>", "mw:title>"), **BAD),
    "another namespace": _kind(WHOLE.replace(b"export-0.11", b"export-9.99")),
    "upper case": _kind(WHOLE.replace(b"page>", b"PAGE>"), error="no <page> in it"),
    "a page with attributes": _kind(WHOLE.replace(b"<page>", b'<page id="1">'), error="no <page> in it"),
}
DUMPS = {
    "no pages": _kind(HEADER + FOOTER, error="no <page> in it"),
    "no header": _kind("".join(page(n) for n in (1, 2)), kept=2),
    "no footer": _kind(HEADER + page(1) + page(2), kept=2, rejects=("truncated",)),
    "cut in a page": _kind(WHOLE[: WHOLE.rindex(b"<id>")], kept=COUNT - 1, rejects=("truncated",)),
    "cut in a tag": _kind(WHOLE[: WHOLE.rindex(b"</page>") + 4], kept=COUNT - 1, rejects=("truncated",)),
    "text behind the end": _kind(WHOLE + b"<!-- made in 2 s -->\n", rejects=("truncated",)),
    "two dumps one behind the other": _kind(WHOLE + WHOLE, kept=2 * COUNT),
    "the same page twice": _with(page(2), kept=3),
    "no title": _with(page(3).replace("<title>Page 3</title>", ""), kept=2, rejects=("missing_title",)),
    "an empty title": _with(page(3).replace("Page 3", ""), kept=2, rejects=("missing_title",)),
    "a title of 1 MB": _large(lambda: page(3, title="x" * 1_000_000), kept=3),
    "no id": _with(page(3).replace("    <id>3</id>\n", ""), kept=2, rejects=("missing_id",)),
    "an id of 10^30": _with(page(3).replace("<id>3</id>", f"<id>{10**30}</id>"), kept=2, rejects=("missing_id",)),
    "an id below zero": _with(page(3).replace("<id>3</id>", "<id>-3</id>"), kept=2, rejects=("missing_id",)),
    "an id in other digits": _with(page(3).replace("<id>3</id>", "<id>३</id>"), kept=2, rejects=("missing_id",)),
    "an id of 5,000 digits": _with(
        page(3).replace("<id>3</id>", f"<id>{'9' * 5000}</id>"), kept=2, rejects=("missing_id",)
    ),
    "no revision": _with("<page><title>Bad</title><id>3</id></page>\n", kept=2, rejects=("missing_revision",)),
    "no text": _with("<page><title>A</title><id>3</id><revision><id>9</id></revision></page>\n", kept=3),
    "a namespace of 10^9": _with(page(3, namespace=10**9), kept=3),
    "a time that is none": _with(page(3).replace("T00:00:00Z", "T99:99:99Z"), kept=3),
    "a history of 2,000 revisions": _large(
        lambda: page(3).replace(
            "</page>", "".join(f"<revision><id>{n}</id><text>x</text></revision>" for n in range(2_000)) + "</page>"
        ),
        kept=3,
    ),
    "a redirect to itself": _with(page(3, "#REDIRECT [[Page 3]]", extra='    <redirect title="Page 3" />\n'), kept=3),
    "a title of markup": _with(page(3, title="&lt;script&gt;alert(1)&lt;/script&gt;"), kept=3),
    "a title that leads up": _with(page(3, title="../../etc/passwd"), kept=3),
    "siteinfo that is not closed": _kind(WHOLE.replace(b"</siteinfo>", b"")),
    "siteinfo of entities": _kind((DTD + HEADER.replace("Wikipedia", "&l9;") + page(1) + FOOTER), kept=1),
    "siteinfo with a canary": _kind((EXTERNAL + HEADER.replace("Wikipedia", "&canary;") + page(1) + FOOTER), kept=1),
    "an abstract dump": _kind(b"<feed><doc><title>A</title></doc></feed>", error="neither <mediawiki> nor <page>"),
    "a list of titles": _kind(b"page_title\nHeron\nCrane\n", error="neither <mediawiki> nor <page>"),
    "a table of MediaWiki": _kind(b"INSERT INTO `page` VALUES (1,0,'A');\n", error="neither <mediawiki> nor <page>"),
}
XML = {f"XML: {name}": kind for found in (ENTITIES, ENCODINGS, MARKUP, DUMPS) for name, kind in found.items()}
