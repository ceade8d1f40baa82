"""Lists beside the dumps: redirects by title, and MediaWiki's tables as records."""

import gzip
from collections import Counter

import pytest

from pipelines.sources.lists import (
    PageRow,
    RedirectRow,
    read_page_props,
    read_page_table,
    read_redirect_lines,
    read_redirect_table,
    read_text_lines,
)
from schemas.errors import DataError
from tests.pipelines.sources.inputs import write


def test_redirects_are_read_from_lines(tmp_path):
    data = "AT&T\tAT&T Inc.\n\nGrey_heron\tHeron\r\nЧапла\tПтица".encode()
    expected = [("AT&T", "AT&T Inc."), ("Grey heron", "Heron"), ("Чапла", "Птица")]
    assert list(read_redirect_lines(write(tmp_path, "x.tsv", data), Counter())) == expected
    assert list(read_redirect_lines(write(tmp_path, "x.tsv.gz", gzip.compress(data)), Counter())) == expected


@pytest.mark.parametrize("line", ["no tab", "a\tb\tc", "\tb", "a\t "])
def test_a_line_that_is_no_redirect_is_an_error_with_its_number(tmp_path, line):
    path = write(tmp_path, "x.tsv", f"a\tb\n{line}\n".encode())
    with pytest.raises(DataError, match="line 2: expected title TAB target"):
        list(read_redirect_lines(path, Counter()))


def test_a_cut_list_gives_its_whole_lines_and_is_counted(tmp_path):
    lines = [f"line {i * 7919 % 10007}" for i in range(5000)]
    packed = gzip.compress("\n".join(lines).encode())
    drops = Counter()
    found = list(read_text_lines(write(tmp_path, "x.gz", packed[: len(packed) // 2]), drops))
    assert found == lines[: len(found)] and len(found) > 1000
    assert drops == {"truncated": 1}


def test_tables_become_records_and_malformed_rows_are_counted(tmp_path):
    drops = Counter()
    page = write(
        tmp_path,
        "page.sql",
        b"CREATE TABLE `page` (`page_id` int, `page_namespace` int, `page_title` blob, `page_counter` int,"
        b" `page_is_redirect` int);\n"
        b"INSERT INTO `page` VALUES (5,0,'New_York',0,0),(6,10,'It\\'s',3,1),(NULL,0,'X',0,0);\n",
    )
    assert list(read_page_table(page, drops)) == [PageRow(5, 0, "New York", False), PageRow(6, 10, "It's", True)]
    redirect = write(
        tmp_path,
        "redirect.sql",
        b"INSERT INTO `redirect` VALUES (6,0,'New_York','','History'),(7,4,'About',NULL,NULL),"
        b"(8,0,'Ord','da',''),(0,0,'X','','');\n",
    )
    assert list(read_redirect_table(redirect, drops)) == [
        RedirectRow(6, 0, "New York", ""),
        RedirectRow(7, 4, "About", ""),
        RedirectRow(8, 0, "Ord", "da"),
    ]
    props = write(
        tmp_path,
        "props.sql",
        b"INSERT INTO `page_props` VALUES (5,'wikibase_item','Q60',NULL),(6,'disambiguation','',NULL),"
        b"(6,'defaultsort','a',NULL);\n",
    )
    assert list(read_page_props(props, drops)) == [(5, "wikibase_item", "Q60"), (6, "disambiguation", "")]
    assert drops == {"malformed_row": 2}


def test_an_old_redirect_table_has_no_column_for_other_wikis(tmp_path):
    old = (
        b"CREATE TABLE `redirect` (\n`rd_from` int,\n`rd_namespace` int,\n`rd_title` blob\n);\n"
        b"INSERT INTO `redirect` VALUES (6,0,'Oslo');\n"
    )
    assert list(read_redirect_table(write(tmp_path, "r.sql", old), Counter())) == [RedirectRow(6, 0, "Oslo", "")]


def test_real_lists_are_read(real_data):
    folder, drops = real_data / "wikipedia", Counter()
    assert sum(1 for _ in read_redirect_lines(str(folder / "enwiki-redirects.tsv"), drops)) == 7495
    props = list(read_page_props(str(folder / "enwiki-20150112-page_props.sql.head.gz"), drops))
    assert Counter(name for _, name, _ in props) == {"wikibase_item": 8968, "disambiguation": 640}
    assert drops == {"truncated": 1}
