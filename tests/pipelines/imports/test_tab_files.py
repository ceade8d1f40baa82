"""Tab-separated lines as columns, against splitting each line."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources import tab_files
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count, read_rows
from tests.pipelines.imports.made import write

TEXT = st.text(alphabet="ab\té\U0001f600 \n\r", max_size=60)


def read(folder, content, **options):
    """[(line number, fields)] by the reader, and its count."""
    count = Count("rows")
    file = Published(write(folder, {"f.txt": content})).require("f.txt")
    found = []
    for rows in read_rows(file, count, **options):
        fields = rows.fields.to_pylist()
        found += [
            (number, fields[start : start + size])
            for number, start, size in zip(rows.lines.tolist(), rows.starts.tolist(), rows.counts.tolist(), strict=True)
        ]
    return found, count


def in_pieces(content):
    """Three bytes at a time: lines and characters are cut anywhere."""
    return (content[start : start + 3] for start in range(0, len(content), 3))


def slowly(content, most):
    """The same, a line at a time."""
    told = [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")] if content else []
    told = enumerate(told, start=1)
    return [(number, line.split("\t", -1 if most is None else most - 1)) for number, line in told if line]


@pytest.mark.parametrize("block", [1, 7, 4 << 20])
@pytest.mark.parametrize("most", [None, 2])
def test_rows_are_those_of_splitting_each_line_whatever_the_block(tmp_path, monkeypatch, block, most):
    monkeypatch.setattr(tab_files, "BLOCK", block)
    monkeypatch.setattr(File, "blocks", lambda file: in_pieces(file.path.read_bytes()))

    @given(TEXT)
    def check(content):
        found, count = read(tmp_path, content.encode(), most=most)
        assert found == slowly(content, most)
        assert count.out == len(found)
        assert count.lines == len(found) + count.drops["blank_line"]

    check()


def test_columns_and_what_follows_them(tmp_path):
    file = Published(write(tmp_path, {"f.txt": "a\tb\tc\n\nd\n"})).require("f.txt")
    (rows,) = read_rows(file, Count("rows"))
    assert rows.column(1).to_pylist() == ["b", None]
    assert rows.rest(1).to_pylist() == [["b", "c"], []]
    assert rows.lines.tolist() == [1, 3]


def test_plain_and_compressed_files_are_the_same(tmp_path):
    content = b"a\tb\nc\td\n"
    plain = read(tmp_path / "plain", content)[0]
    write(tmp_path / "gz", {"f.txt.gz": gzip.compress(content)})
    file = Published(tmp_path / "gz").require("f.txt")
    found = [field for rows in read_rows(file, Count("rows")) for field in rows.fields.to_pylist()]
    assert found == [field for _, fields in plain for field in fields]
