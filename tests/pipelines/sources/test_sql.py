"""MySQL dumps: rows of one table, whatever the year, the tool and the cut."""

import gzip
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import sql
from pipelines.sources.sql import integer, read_rows, table_name, text
from schemas.errors import DataError
from tests.pipelines.sources.inputs import write

PROPS = ("pp_page", "pp_propname", "pp_value")
DUMP = rb"""-- MySQL dump 10.13
DROP TABLE IF EXISTS `page_props`;
CREATE TABLE `page_props` (
  `pp_page` int(11) NOT NULL COMMENT 'a page; (not `pp_value` int)',
  `pp_propname` varbinary(60) NOT NULL DEFAULT '',
  `pp_value` blob NOT NULL,
  `pp_sortkey` float DEFAULT NULL,
  PRIMARY KEY (`pp_page`,`pp_propname`),
  UNIQUE KEY `pp_propname_page` (`pp_propname`,`pp_page`)
) ENGINE=InnoDB;
/*!40000 ALTER TABLE `page_props` DISABLE KEYS */;
INSERT INTO `page_props` VALUES (12,'wikibase_item','Q6199',NULL),(12,'displaytitle','it\'s (a), \"b\"\\\n',-1.5);
INSERT INTO `page_props` VALUES (25,'wikibase_item','Q38404',NULL),(25,'sections','5',5),(30,'',';),(',1),
(31,'x','''',0);
/*!40000 ALTER TABLE `page_props` ENABLE KEYS */;
-- Dump completed on 2015-01-12 23:04:32
"""
ROWS = [
    (12, "wikibase_item", "Q6199"),
    (12, "displaytitle", 'it\'s (a), "b"\\\n'),
    (25, "wikibase_item", "Q38404"),
    (25, "sections", "5"),
    (30, "", ";),("),
    (31, "x", "'"),
]


def read(path, table="page_props", columns=PROPS, drops=None, optional=()):
    drops = Counter() if drops is None else drops
    first, *others = zip(*read_rows(str(path), table, columns, drops, optional), strict=True)
    return list(zip(map(integer, first), *(map(text, other) for other in others), strict=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b"VALUES (", b"VALUES\n("),
        (b"),(1", b"),\n(1"),  # mariadb-dump 11 writes a row a line
        (b"),(2", b"), (2"),
        (b"VALUES", b"(`pp_page`, `pp_propname`, `pp_value`, `pp_sortkey`) VALUES"),
        (b",'wikibase_item'", b",_binary 'wikibase_item'"),  # MySQL 8
        (b"\n", b"\r\n"),
        (b"`", b""),
    ],
    ids=["mysqldump", "first-row-below", "row-a-line", "spaces", "names-in-insert", "binary", "crlf", "no-backticks"],
)
def test_rows_of_dumps_by_several_tools(tmp_path, old, new):
    drops = Counter()
    assert read(write(tmp_path, "x.sql", DUMP.replace(old, new) if old else DUMP), drops=drops) == ROWS
    assert read(write(tmp_path, "x.sql.gz", gzip.compress(DUMP)), drops=drops) == ROWS
    assert not drops


def test_columns_are_found_by_name_wherever_they_stand(tmp_path):
    other = (
        b"CREATE TABLE `page_props` (`pp_sortkey` float, `pp_value` blob, `new` int(1), `pp_page` int,"
        b" KEY `pp_page` (`pp_page`));\n"
    )
    path = write(tmp_path, "x.sql", other + b"INSERT INTO `page_props` VALUES (NULL,'Q1',0,7),(1.5,'(;',1,8);\n")
    assert read(path, columns=("pp_page", "pp_value")) == [(7, "Q1"), (8, "(;")]
    assert read(path, columns=("pp_page", "pp_gone", "pp_value"), optional=["pp_gone"]) == [
        (7, "", "Q1"),
        (8, "", "(;"),
    ]
    with pytest.raises(DataError, match="table page_props has no column pp_propname; found pp_sortkey, pp_value, new"):
        read(path)


def test_without_create_table_the_columns_are_those_of_mediawiki_today(tmp_path):
    path = write(tmp_path, "x.sql", b"INSERT INTO `redirect` VALUES (1,0,'Oslo','','top');\n")
    assert read(path, "redirect", ("rd_from", "rd_title", "rd_fragment")) == [(1, "Oslo", "top")]


def test_rows_of_other_tables_in_the_same_dump_are_passed_over(tmp_path):
    others = b"\nINSERT INTO `page` VALUES (1,0,'INSERT INTO `page_props` VALUES (9,');\n"
    assert read(write(tmp_path, "x.sql", others + DUMP + others)) == ROWS


def test_a_cut_at_any_byte_keeps_the_rows_before_it_and_is_counted_once(tmp_path):
    for cut in range(DUMP.index(b"(12"), DUMP.index(b"-- Dump completed")):
        drops = Counter()
        path = write(tmp_path, "x.sql", DUMP[:cut])
        if b"NULL)," not in DUMP[:cut]:
            with pytest.raises(DataError, match="no whole row"):
                read(path, drops=drops)
            continue
        rows = read(path, drops=drops)
        assert rows == ROWS[: len(rows)] and len(rows) == sum(
            DUMP[:cut].count(end) for end in (b"NULL),", b"-1.5);", b",5),", b",1),", b",0);")
        )
        assert drops == {"truncated": 1}


def test_a_cut_gzip_member_is_counted_once(tmp_path):
    many = (
        b"INSERT INTO `page_props` VALUES "
        + b",".join(b"(%d,'wikibase_item','Q%d',NULL)" % (i, i * 7919) for i in range(1, 9000))
        + b";\n"
    )
    packed = gzip.compress(many)
    drops = Counter()
    rows = read(write(tmp_path, "x.sql.gz", packed[: len(packed) // 2]), drops=drops)
    assert rows == [(i, "wikibase_item", f"Q{i * 7919}") for i in range(1, len(rows) + 1)] and len(rows) > 3000
    assert drops == {"truncated": 1}


def test_what_makes_no_row_costs_the_rest_of_its_statement_only(tmp_path, monkeypatch):
    monkeypatch.setattr(sql, "MAX_ROW", 1000)
    damaged = DUMP.replace(b"(12,'displaytitle'", b"(12,'displaytitle' oops (" + b"x" * 2000)
    drops = Counter()
    path = write(tmp_path, "x.sql", damaged)
    assert read(path, drops=drops) == [ROWS[0], *ROWS[2:]]
    assert drops == {"truncated": 1}


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 2**40), st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=9),
    st.integers(1, 40),
)
def test_any_text_comes_back_however_the_stream_is_cut_into_blocks(rows, size):
    def quoted(value):
        escapes = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0", "\x1a": "\\Z"}
        return "'" + "".join(escapes.get(char, char) for char in value) + "'"

    values = ",".join(f"({number},{quoted(name)},{quoted(value)},NULL)" for number, name, value in rows)
    data = f"INSERT INTO `page_props` VALUES {values};\n".encode()
    reader = sql._Reader("x", "page_props", PROPS, (), Counter())
    found = [row for start in range(0, len(data), size) for row in reader.feed(data[start : start + size])]
    found += reader.end()
    assert [(integer(number), text(name), text(value)) for number, name, value in found] == rows


def test_a_file_of_something_else_is_an_error_that_says_what_it_is(tmp_path):
    with pytest.raises(DataError, match=r"x\.sql: expected table page_props as a MySQL dump .*, no INSERT statement"):
        read(write(tmp_path, "x.sql", b"title\ttarget\n"))
    with pytest.raises(DataError, match=r"expected table redirect .*, found page_props"):
        read(write(tmp_path, "x.sql", DUMP), "redirect", ("rd_from",))


def test_a_dump_is_told_by_its_table(tmp_path):
    assert table_name(write(tmp_path, "x.sql.gz", gzip.compress(DUMP))) == "page_props"
    assert table_name(write(tmp_path, "y.sql", b"INSERT INTO page VALUES (1);")) == "page"
    assert table_name(write(tmp_path, "x.tsv", b"Norge\tNorway\nCREATE TABLE\tSQL\n")) is None


def test_numbers_and_texts_of_odd_values():
    assert [integer(value) for value in (b"7", b"'7'", b"-1", b"NULL", b"''", b"9" * 30, b"9" * 5000)] == [
        7, 7, -1, None, None, None, None,
    ]  # fmt: skip
    assert [text(value) for value in (b"NULL", b"''", b"12", b"'\xff'", rb"'\%'")] == ["", "", "12", "\ufffd", "%"]


@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        ("page", 9559, ("page_id", "page_namespace", "page_title", "page_is_redirect")),
        ("redirect", 28013, ("rd_from", "rd_namespace", "rd_title", "rd_interwiki")),
        ("page_props", 22934, PROPS),
    ],
)
def test_real_dumps_are_read_up_to_their_cut(real_data, table, rows, columns):
    drops = Counter()
    path = str(real_data / f"wikipedia/enwiki-20150112-{table}.sql.head.gz")
    assert table_name(path) == table
    found = list(read_rows(path, table, columns, drops))
    assert len(found) == rows and drops == {"truncated": 1}
    assert all(integer(row[0]) for row in found)
    if table == "page":
        assert sum(integer(row[3]) == 1 for row in found) > 1_000  # not the column that stands there today
