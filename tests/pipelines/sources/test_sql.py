"""Redirect lists and MySQL dumps."""

import gzip

import pytest

from pipelines.sources.sql import read_page_props, read_redirects, read_sql_rows
from schemas.errors import DataError
from tests.pipelines.sources.inputs import write

DUMP = rb"""-- MySQL dump
DROP TABLE IF EXISTS `page_props`;
CREATE TABLE `page_props` (`pp_page` int(11) NOT NULL);
/*!40000 ALTER TABLE `page_props` DISABLE KEYS */;
INSERT INTO `page_props` VALUES (12,'wikibase_item','Q6199',NULL),(12,'displaytitle','it\'s (a), \"b\"\\\n',-1.5);
INSERT INTO `page_props` VALUES (25,'wikibase_item','Q38404',NULL),(25,'sections','5',5),(30,'',';),(',1);
/*!40000 ALTER TABLE `page_props` ENABLE KEYS */;
"""


def test_redirects_are_read_from_lines(tmp_path):
    data = "AT&T\tAT&T Inc.\n\nGrey_heron\tHeron\r\nЧапла\tПтица".encode()
    expected = [("AT&T", "AT&T Inc."), ("Grey heron", "Heron"), ("Чапла", "Птица")]
    assert list(read_redirects(write(tmp_path, "x.tsv", data))) == expected
    assert list(read_redirects(write(tmp_path, "x.tsv.gz", gzip.compress(data)))) == expected


@pytest.mark.parametrize("line", ["no tab", "a\tb\tc", "\tb", "a\t "])
def test_a_line_that_is_no_redirect_is_an_error_with_its_number(tmp_path, line):
    path = write(tmp_path, "x.tsv", f"a\tb\n{line}\n".encode())
    with pytest.raises(DataError, match="line 2: expected title TAB target"):
        list(read_redirects(path))


def test_rows_of_a_mysql_dump(tmp_path):
    rows = list(read_sql_rows(write(tmp_path, "x.sql", DUMP)))
    assert rows == [
        (12, "wikibase_item", "Q6199", None),
        (12, "displaytitle", 'it\'s (a), "b"\\\n', -1.5),
        (25, "wikibase_item", "Q38404", None),
        (25, "sections", "5", 5),
        (30, "", ";),(", 1),
    ]
    assert list(read_page_props(write(tmp_path, "x.sql.gz", gzip.compress(DUMP)))) == [(12, "Q6199"), (25, "Q38404")]


def test_the_last_row_may_be_cut(tmp_path):
    whole = list(read_sql_rows(write(tmp_path, "x.sql", DUMP)))
    start, end = DUMP.index(b"(25"), DUMP.rindex(b",1);")
    for cut in range(start, end):
        rows = list(read_sql_rows(write(tmp_path, "y.sql", DUMP[:cut])))
        assert rows == whole[: len(rows)] and len(rows) >= 2


def test_a_file_of_something_else_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no INSERT statement"):
        list(read_sql_rows(write(tmp_path, "x.sql", b"CREATE TABLE x;\n")))


@pytest.mark.parametrize(
    ("table", "rows", "columns"), [("page", 9559, 13), ("redirect", 28013, 5), ("page_props", 22934, 4)]
)
def test_real_dumps_are_read_up_to_their_cut(real_data, table, rows, columns):
    path = str(real_data / f"wikipedia/enwiki-20150112-{table}.sql.head.gz")
    found = list(read_sql_rows(path))
    assert len(found) == rows and {len(row) for row in found} == {columns}
    if table == "page_props":
        assert sum(1 for _ in read_page_props(path)) == 8968


def test_real_redirects_are_read(real_data):
    assert sum(1 for _ in read_redirects(str(real_data / "wikipedia/enwiki-redirects.tsv"))) == 7495
