"""Export XML to pages: however it is cut, compressed or broken."""

import bz2
import codecs

import pytest

from pipelines.sources import Reject, wikipedia
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from schemas.errors import DataError
from tests.conftest import EXAMPLES
from tests.pipelines.sources.inputs import CONTAINERS, FOOTER, HEADER, compress, dump, page, write

PAGES = [page(i, f"Text {i} & <ref>more</ref> " * i) for i in range(1, 31)]
WHOLE = dump(PAGES)


def read(path, target=1 << 26):
    return [one for part in plan_ranges(path, target) for one in read_pages(part)]


def reasons(records):
    return [(one.key, one.reason) for one in records if isinstance(one, Reject)]


def titles(records):
    return [one.title for one in records if isinstance(one, RawPage)]


def test_a_page_is_read_whole(tmp_path):
    extra = '    <redirect title="Grey heron" />\n'
    path = write(
        tmp_path, "x", dump([page(7, "a & <b>\n\n c ", title="A &amp; B", extra=extra, namespace=4, revision=9)])
    )
    assert read(path) == [RawPage(7, 4, "A & B", "Grey heron", 9, "2024-01-08T00:00:00Z", "wikitext", "a & <b>\n\n c ")]


def test_siteinfo_is_the_headers(tmp_path):
    path = write(tmp_path, "x", compress(WHOLE, "bz2"))
    assert b"<sitename>Wikipedia</sitename>" in read_siteinfo(path)
    assert read_siteinfo(write(tmp_path, "y", "".join(PAGES).encode())) is None


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_examples_give_the_same_pages_in_any_container_and_number_of_ranges(tmp_path, name):
    expected = read(str(EXAMPLES / "enwiki-mini.xml.bz2"))
    assert len(expected) == 400
    data = CONTAINERS[name](bz2.decompress((EXAMPLES / "enwiki-mini.xml.bz2").read_bytes()))
    path = write(tmp_path, "x", data)
    for count in (1, 2, 7, 40):
        assert read(path, -(-len(data) // count)) == expected


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("parts", [1, 2, 7, 40])
def test_ranges_give_what_the_sequence_gives(tmp_path, kind, parts):
    # Streams are cut without regard to pages, as pbzip2 does.
    path = write(tmp_path, "x", compress(WHOLE, kind, parts))
    expected = titles(read(path))
    assert expected == [f"Page {i}" for i in range(1, 31)]
    for target in (1, 700, 5000):
        assert read(path, target) == read(path)


def test_every_cut_into_two_ranges_gives_the_same_pages(tmp_path):
    data = dump([page(1), page(2, "<page>"), page(3)])
    path = write(tmp_path, "x", data)
    expected = read(path)
    assert len(titles(expected)) == 3
    for cut in range(1, len(data)):
        assert [
            one for part in (Range(path, 0, cut), Range(path, cut, len(data))) for one in read_pages(part)
        ] == expected


def test_two_files_give_what_one_gives(tmp_path):
    first, second = write(tmp_path, "a", dump(PAGES[:12])), write(tmp_path, "b", dump(PAGES[12:]))
    assert read(first) + read(second) == read(write(tmp_path, "c", WHOLE))


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("target", [1, 1 << 26])
def test_a_cut_tail_keeps_every_whole_page_and_is_reported_once(tmp_path, kind, target):
    data = compress(WHOLE, kind, 1 if kind == "plain" else 6)
    for share in (0.5, 0.7, 0.95):
        path = write(tmp_path, f"{share}", data[: int(len(data) * share)])
        records = read(path, target)
        assert reasons(records) == [("", "truncated")]
        kept = titles(records)
        assert kept == [f"Page {i}" for i in range(1, len(kept) + 1)]
        assert len(kept) >= 30 * share * share * 0.7
        assert set(records) == set(read(path))


def test_every_cut_of_a_plain_dump_is_reported(tmp_path):
    data = dump([page(1), page(2)])
    for cut in range(data.index(b"</page>") + 7, len(data) - len(FOOTER)):
        path = write(tmp_path, f"{cut}", data[:cut])
        kept = data[:cut].count(b"</page>")
        for target in (256, 1 << 26):
            records = read(path, target)
            assert (len(titles(records)), reasons(records)) == (kept, [("", "truncated")]), cut


def test_a_piece_without_header_and_footer_is_whole_unless_a_page_is_open(tmp_path):
    piece = "".join(PAGES[:3])
    assert reasons(read(write(tmp_path, "a", piece.encode()))) == []
    assert reasons(read(write(tmp_path, "b", piece.encode()[:-20]), 99)) == [("", "truncated")]


BAD_PAGES = {
    "malformed_xml": [
        "<page><title>Bad</title><ns>0</ns><id>5</id><revision><id>1</id><text>a <b></text></revision></page>\n",
        "<page><title>Bad</title><id>5</id><revision><id>1</id><text>&undefined;</text></revision></page>\n",
        '<page><title>Bad</title><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><id>5</id></page>\n',
        "<page><title>Bad</title><id>5</id><revision><id>1</id><text>a<b>c</b></text></revision></page>\n",
        "<page><title>Bad</title><id>5</id><revision><id>1</id><text>\x00</text></revision></page>\n",
        "<page><title>Bad</title><id>5</id><revision><id>1</id><text>&#xD83D;</text></revision></page>\n",
        "<page><title>Bad</title><id>5</id><revision>\n",
    ],
    "missing_id": [
        "<page><title>Bad</title><revision><id>1</id></revision></page>",
        "<page><title>Bad</title><id>x5</id><revision><id>1</id></revision></page>",
        "<page><title>Bad</title><id>0</id><revision><id>1</id></revision></page>",
        f"<page><title>Bad</title><id>{'9' * 20}</id><revision><id>1</id></revision></page>",
    ],
    "missing_revision": [
        "<page><title>Bad</title><id>5</id></page>",
        "<page><title>Bad</title><id>5</id><revision><text>a</text></revision></page>",
    ],
}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bad) for reason, all_bad in BAD_PAGES.items() for bad in all_bad])
def test_a_bad_page_costs_only_itself(tmp_path, reason, bad):
    path = write(tmp_path, "x", dump([page(1), bad, page(2)]))
    for target in (1 << 26, 100):
        records = read(path, target)
        assert titles(records) == ["Page 1", "Page 2"]
        assert reasons(records) == [("Bad", reason)]


def test_a_page_without_a_title_is_named_by_its_id(tmp_path):
    bad = "<page><ns>0</ns><id>5</id><revision><id>1</id><text>a</text></revision></page>"
    assert reasons(read(write(tmp_path, "x", dump([bad, page(1)])))) == [("5", "missing_title")]


def test_bytes_that_are_no_utf8_cost_one_page(tmp_path):
    data = dump([page(1), page(2, "BAD"), page(3)]).replace(b"BAD", b"\xff\xfe")
    records = read(write(tmp_path, "x", data))
    assert titles(records) == ["Page 1", "Page 3"] and reasons(records) == [("Page 2", "malformed_xml")]


def test_the_newest_revision_counts_and_missing_text_is_none(tmp_path):
    def revision(number, attributes="", text=""):
        return f"<revision><id>{number}</id><text {attributes}>{text}</text></revision>"

    revisions = [
        revision(9, text="new") + revision(3, text="old"),
        revision(1, 'deleted="deleted"'),
        "<revision><id>1</id></revision>",
        revision(1, 'bytes="5" id="1"'),
        revision(1, 'bytes="0"'),
    ]
    pages = [f"<page><title>{i}</title><ns>0</ns><id>{i}</id>{one}</page>" for i, one in enumerate(revisions, 1)]
    records = read(write(tmp_path, "x", dump(pages)))
    assert [one.text for one in records] == ["new", None, None, None, ""]


def test_a_page_over_the_limit_is_rejected_and_the_next_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(wikipedia, "MAX_PAGE", 3 << 20)
    path = write(tmp_path, "x", dump([page(1), page(2, "word " * 800_000), page(3)]))
    for target in (1 << 26, 1 << 20):
        records = read(path, target)
        assert titles(records) == ["Page 1", "Page 3"]
        assert reasons(records) == [("Page 2", "page_too_large")]


def test_a_text_longer_than_libxml2_takes_is_rejected(tmp_path):
    path = write(tmp_path, "x", compress(dump([page(1), page(2, "word " * 2_400_000), page(3)]), "gz"))
    records = read(path)
    assert titles(records) == ["Page 1", "Page 3"] and reasons(records) == [("Page 2", "page_too_large")]


def test_utf16_with_windows_line_ends_is_read(tmp_path):
    data = dump([page(1, "Чапла\nтук")]).decode().replace("\n", "\r\n").encode("utf-16")
    assert read(write(tmp_path, "x", compress(data, "bz2")))[0].text == "Чапла\nтук"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["plain", "bz2"])
def test_a_cut_dump_in_another_encoding_is_reported(tmp_path, encoding, kind):
    text = dump([page(1), page(2)]).decode()
    for end in (text.index("</mediawiki>"), text.rindex("</page>")):
        path = write(tmp_path, "x", compress(text[:end].encode(encoding), kind))
        records = read(path, 300)
        assert titles(records) == ["Page 1", "Page 2"][: text[:end].count("</page>")]
        assert reasons(records) == [("", "truncated")]


def test_after_a_byte_order_mark_ranges_give_what_the_sequence_gives(tmp_path):
    data = codecs.BOM_UTF8 + dump([*PAGES, page(31, "BAD"), *PAGES]).replace(b"BAD", b"\xff\xfe")
    path = write(tmp_path, "x", data)
    assert reasons(read(path)) == [("Page 31", "malformed_xml")]
    assert read(path, 1000) == read(path)


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_a_dump_with_a_damaged_beginning_is_read_from_there_on(tmp_path, kind):
    data = bytearray(compress(WHOLE, kind, 6))
    data[100 if kind == "bz2" else 12] ^= 0xFF
    path = write(tmp_path, "x", data)
    assert read_siteinfo(path) is None
    records = read(path)
    assert titles(records)[-1] == "Page 30" and len(titles(records)) >= 20
    assert reasons(records) == [("", "truncated")]
    assert read(path, 1) == records


def test_rejects_do_not_say_where_the_input_lies(tmp_path):
    data = dump([page(1), BAD_PAGES["malformed_xml"][0], page(2)])[:-30]
    for one in read(write(tmp_path, "secret-name", compress(data, "gz")[:-5])):
        if isinstance(one, Reject):
            assert "secret" not in "".join(one) and str(tmp_path) not in "".join(one)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEADER.encode() + FOOTER.encode(), "no <page>"),
        (b"just words", "neither <mediawiki> nor <page>"),
        (b'[\n{"id": "Q1"}\n]', "pages-articles dump"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_file_without_pages_is_an_error(tmp_path, data, words, kind, parts):
    with pytest.raises(DataError, match=words):
        read_siteinfo(write(tmp_path, "x", compress(data, kind, parts)))
