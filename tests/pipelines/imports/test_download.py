"""--download, from a server of the test's own."""

import functools
import http.server
import threading

import pytest

from pipelines.importing import download
from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported, write

BLOB = "257cc5642cb1a054f08cc83f2d943e56fd3ebe99"
"""git hash-object of "foo" and a newline."""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that a local server offers as the host."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    folder = tmp_path / "host"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(download, "ADDRESSES", tmp_path / "addresses.tsv")
    yield folder
    server.shutdown()
    server.server_close()


def addresses(tmp_path, *rows):
    (tmp_path / "addresses.tsv").write_text("format\trepository\tcommit\tpath\tblob\n" + "".join(rows))


def test_what_is_missing_is_fetched_and_checked(tmp_path, served):
    write(served / "o/r/c/data", {"foo.txt": "foo\n", "bar.txt": "bar\n"})
    addresses(tmp_path, f"umls\to/r\tc\tdata/foo.txt\t{BLOB}\n", f"umls\to/r\tc\tdata/bar.txt\t{BLOB}\n")
    write(tmp_path / "in", {"bar.txt": "mine\n"})
    download.download("umls", tmp_path / "in")
    assert {path.name: path.read_text() for path in (tmp_path / "in").iterdir()} == {
        "foo.txt": "foo\n",
        "bar.txt": "mine\n",
    }


def test_another_content_or_no_answer_is_one_line_and_leaves_nothing(tmp_path, served):
    write(served / "o/r/c/data", {"bar.txt": "bar\n"})
    for name, words in (("bar.txt", f"expected {BLOB}"), ("none.txt", "404")):
        addresses(tmp_path, f"umls\to/r\tc\tdata/{name}\t{BLOB}\n")
        with pytest.raises(DataError, match=words):
            download.download("umls", tmp_path / "in")
        assert list((tmp_path / "in").iterdir()) == []


def test_a_format_without_checksums_says_so(tmp_path):
    with pytest.raises(UsageError, match="no address with a checksum is known for tsv"):
        imported("tsv", tmp_path / "in", tmp_path / "out", download=True)


def test_addresses_are_those_of_the_real_files(real_data):
    """The files at hand that bear the same names have the same content."""
    known = {row.split("\t")[4] for row in download.ADDRESSES.read_text().splitlines()[1:]}
    for folder in ("umls", "codex-m", "nations", "kinships"):
        files = [
            path
            for path in sorted((real_data / "kg" / folder).iterdir())
            if path.name not in ("LICENSE", "literals.txt")
        ]
        assert {download._blob_id(path) for path in files} <= known, folder
    assert download._blob_id(real_data / "kg/wn11/WN11.zip") in known
