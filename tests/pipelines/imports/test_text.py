"""Plain text: documents between blank lines become pages; what can't be read is a reject."""

import gzip
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources import plain_text
from pipelines.transforms import split
from pipelines.validate import validate
from schemas.errors import DataError
from tests.conftest import digest
from tests.pipelines.imports.made import imported, write

BOOKS = {
    "a.txt": "One book.\nIts second line. \n\n \nAnother document 𝒳.\r\n",
    "b.txt.gz": gzip.compress(b"good\nbad \xff\nmore\n\n" + b"y" * (plain_text.MAX_LINE + 1) + b"\n  end"),
    "notes.md": "not text",
}


def pages(dataset):
    return [
        (row["title"], row["text"]) for row in sorted(dataset.read("pages").to_pylist(), key=lambda r: r["page_id"])
    ]


def test_blank_lines_part_documents_and_broken_lines_are_rejects(tmp_path):
    dataset = imported("text", write(tmp_path / "books", BOOKS), tmp_path / "out")
    assert pages(dataset) == [
        ("a 1", "One book.\nIts second line."),
        ("a 2", "Another document 𝒳."),
        ("b 1", "good\nmore"),
        ("b 2", "  end"),
    ]
    (first, *_) = dataset.read("pages").to_pylist()
    assert first["lead_end"] == len(first["text"]) and first["sections"] == first["links"] == []
    rejects = [(row["stage"], row["key"], row["reason"]) for row in dataset.read("rejects").to_pylist()]
    assert rejects == [("text", "b 2", "not_utf8"), ("text", "b 5", "line_too_long")]
    rest = dataset.manifest.rest
    assert rest["stages"]["text"] == {"in": 11, "out": {"lines": 6}}
    assert rest["drops"]["text"] == {"blank_line": 3, "line_too_long": 1, "not_utf8": 1}
    assert [file["name"] for file in rest["inputs"]] == ["a.txt", "b.txt.gz"]
    assert list(validate(dataset.folder)) == []


def test_a_single_file_will_do_and_packing_makes_no_difference(tmp_path):
    text = "".join(f"document {number}\n\n" for number in range(300))
    plain, packed = (
        write(tmp_path / "plain", {"x.txt": text}),
        write(tmp_path / "gz", {"x.txt.gz": gzip.compress(text.encode())}),
    )
    dataset = imported("text", plain / "x.txt", tmp_path / "one")
    imported("text", plain, tmp_path / "two")
    imported("text", packed, tmp_path / "three")
    assert len({digest(tmp_path / name) for name in ("one", "two", "three")}) == 1
    assert digest(imported("text", plain, tmp_path / "two").folder) == dataset.digest  # over an earlier import
    rows = dataset.read("pages").to_pylist()
    codes = split.pages([row["page_id"] for row in rows], seed=0, valid=0.01, test=0.01)
    assert [row["split"] for row in rows] == [split.NAMES[code] for code in codes]
    assert all(dataset.rows("pages", part) for part in ("train", "valid", "test"))


LINE = st.text(st.sampled_from(string.ascii_letters + " é𝒳"), max_size=30)


@given(st.lists(LINE, max_size=30), st.integers(5, 60))
def test_every_line_is_in_one_page_in_order(lines, longest):
    kept = [line.rstrip() for line in lines]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_text, "MAX_PAGE", longest)
        documents = list(plain_text._documents(iter(kept)))
    assert [line for document in documents for line in document.split("\n")] == [line for line in kept if line]
    for document in documents:
        assert len(document) <= longest or "\n" not in document
    # Only a document that would be too long goes on in another page.
    whole = [piece for piece in "\n".join(kept).split("\n\n") if piece.strip("\n")]
    assert len(documents) >= len(whole)


def test_a_folder_without_text_and_a_file_of_another_kind_end_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"expected files \*\.txt"):
        imported("text", write(tmp_path / "none", {"x.csv": "a"}), tmp_path / "out")
    monkeypatch.setattr(plain_text, "MAX_REJECTS", 10)
    binary = write(tmp_path / "binary", {"x.txt": b"\xff\n" * 20})
    with pytest.raises(DataError, match="more than 10 lines can't be read"):
        imported("text", binary, tmp_path / "out")
    with pytest.raises(DataError, match="cut or damaged"):
        imported("text", write(tmp_path / "cut", {"x.txt.gz": gzip.compress(b"a\n" * 9999)[:-20]}), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("name", ["books.tar.gz", "books.zip"])
def test_an_archive_is_not_taken_for_a_text(name, tmp_path):
    with pytest.raises(DataError, match=r"is an archive\. Unpack it"):
        imported("text", write(tmp_path / "in", {name: gzip.compress(b"text")}) / name, tmp_path / "out")
