"""Files that are not as published: one line each, with the file, the line, what was expected and what is there."""

import gzip
import io
import tarfile
import zipfile

import pytest

from schemas.errors import DataError
from tests.conftest import wikiloom
from tests.pipelines.imports.made import imported, write

GOOD = {"train.tsv": "a\tr\tb\n", "dev.tsv": "a\tr\ta\n", "test.tsv": "b\tr\ta\n"}
IDS = {
    "entity2id.txt": "2\na\t0\nb\t1\n",
    "relation2id.txt": "1\nr\t0\n",
    "train2id.txt": "2\n0\t1\t0\n1 0 0\n",
    "dev.tsv": "a\tr\tb\t1\na\tr\ta\t-1\n",
    "test.tsv": "b\tr\tb\t1\n",
}
SYNSET = "00000001 03 n 01 dog 0 000 | an animal  \n"
WORDNET = {
    **{f"data.{part}": "" for part in ("verb", "adj", "adv")},
    **{f"index.{part}": "" for part in ("verb", "adj", "adv")},
    "data.noun": SYNSET,
    "index.noun": "dog n 1 0 1 0 00000001\n",
}
CODEX = {"train.txt": "Q1\tP1\tQ2\n", "valid.txt": "Q1\tP1\tQ1\n", "test.txt": "Q2\tP1\tQ2\n"}
TSV = {"triples.tsv": "a\tr\tb\n"}


ENTRY, MEMBER = b"PK\x01\x02", b"PK\x03\x04"
"""How a .zip's list of members, and each member, begin: after 4 bytes more, and 2, come flags and method."""


def zipped(members):
    """A .zip of these members."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return whole.getvalue()


def marked(archive, offset, value):
    """A .zip whose members say so of themselves: two bytes at an offset behind the version that they need."""
    data = bytearray(archive)
    for mark, start in ((MEMBER, 6), (ENTRY, 8)):
        place = archive.find(mark)
        while place >= 0:
            data[place + start + offset : place + start + offset + 2] = value.to_bytes(2, "little")
            place = archive.find(mark, place + 1)
    return bytes(data)


def tarred(members):
    """A .tar.gz of these members."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return whole.getvalue()


MANY = "".join(f"a{i * 7919 % 10007}\tr\tb{i}\n" for i in range(20_000))
CASES = {
    "missing column": (
        "umls",
        {**GOOD, "train.tsv": "a\tr\tb\n\nc\tr\n"},
        "train.tsv, line 3: expected head TAB relation TAB tail, found 'c.tr'",
    ),
    "a column too many": ("umls", {**GOOD, "train.tsv": "a\tr\tb\t1\n"}, "train.tsv, line 1: expected head"),
    "columns that change": ("wn11", {**GOOD, "dev.tsv": "a\tr\tb\t1\na\tr\tb\n"}, "dev.tsv, line 2: expected head"),
    "spaces for tabs": ("umls", {**GOOD, "dev.tsv": "a r b\n"}, "dev.tsv, line 1: expected head TAB"),
    "an empty name": ("umls", {**GOOD, "test.tsv": "a\t\tb\n"}, "test.tsv, line 1: expected head"),
    "an empty file": ("umls", {**GOOD, "train.tsv": "\n"}, "train.tsv: expected triples, found no line"),
    "a label that is none": ("wn11", {**GOOD, "dev.tsv": "a\tr\tb\tyes\n"}, "dev.tsv, line 1: .*1 or -1"),
    "an HTML page": (
        "umls",
        {**GOOD, "test.tsv": "<html><body>404</body></html>\n"},
        "test.tsv, line 1: expected head",
    ),
    "invalid UTF-8": (
        "umls",
        {**GOOD, "train.tsv": b"a\tr\tb\na\tr\t\xff\n"},
        r"train.tsv, line 2: expected UTF-8 text, found the bytes b'.xff",
    ),
    "a text without id": (
        "umls",
        {**GOOD, "entity2text.txt": "a\tA\nB\n"},
        "entity2text.txt, line 2: expected id TAB text",
    ),
    "no file": (
        "umls",
        {"train.tsv": "a\tr\tb\n", "dev.tsv": "a\tr\tb\n", "tets.tsv": ""},
        "expected test.tsv or test.txt.* found none. Did you mean tets.tsv",
    ),
    "a file twice": (
        "umls",
        {"a.zip": zipped(GOOD), "b.zip": zipped({"x/dev.tsv": ""}), "train.tsv": "a\tr\tb\n"},
        "dev.tsv is in two archives",
    ),
    "a cut gz": (
        "umls",
        {"train.tsv.gz": gzip.compress(MANY.encode())[:-5000], "dev.tsv": "a\tr\tb\n", "test.tsv": "a\tr\tb\n"},
        "train.tsv.gz: cut or damaged",
    ),
    "a cut zip": ("umls", {"umls.zip": zipped({**GOOD, "train.tsv": MANY})[:-300]}, "umls.zip: cut or damaged"),
    "a cut tar.gz": (
        "umls",
        {"umls.tar.gz": tarred({**GOOD, "train.tsv": MANY})[:-3000]},
        "umls.tar.gz: cut or damaged",
    ),
    "a damaged member": (
        "umls",
        {"umls.zip": zipped({**GOOD, "train.tsv": MANY}).replace(b"\x5a", b"\x5b")},
        "umls.zip.*: cut or damaged",
    ),
    "an encrypted zip": ("umls", {"umls.zip": marked(zipped(GOOD), 0, 1)}, "umls.zip.*encrypted.* Unpack it"),
    "a method that nobody knows": (
        "umls",
        {"umls.zip": marked(zipped(GOOD), 2, 99)},
        "umls.zip.*compression .* Unpack it",
    ),
    "a file compressed within an archive": (
        "umls",
        {"umls.zip": zipped({"train.tsv.gz": "x", "dev.tsv": "", "test.tsv": ""})},
        "expected train.tsv or train.txt.* found none. Did you mean train.tsv.gz",
    ),
    "a zip member outside": (
        "umls",
        {"umls.zip": zipped({**GOOD, "../train.tsv": "a\tr\tb\n"})},
        "its member '../train.tsv' lies outside",
    ),
    "a tar member outside": (
        "umls",
        {"umls.tar.gz": tarred({**GOOD, "/etc/passwd": "a\tr\tb\n"})},
        "its member '/etc/passwd' lies outside",
    ),
    "a wrong count": (
        "fb13",
        {**IDS, "train2id.txt": "3\n0\t1\t0\n"},
        "train2id.txt: expected 3 in its first line, found 1 lines",
    ),
    "a count of many digits": (
        "fb13",
        {**IDS, "train2id.txt": "9" * 5_000 + "\n0\t1\t0\n"},
        "train2id.txt, line 1: expected a count",
    ),
    "no count": ("fb13", {**IDS, "train2id.txt": "0\t1\t0\n"}, "train2id.txt, line 1: expected a count"),
    "an id that is not in the list": (
        "fb13",
        {**IDS, "train2id.txt": "1\n0\t2\t0\n"},
        r"train2id.txt, line 2: expected numbers of head, tail \(below 2\)",
    ),
    "an id that is no number": (
        "fb13",
        {**IDS, "train2id.txt": "1\n0\tx\t0\n"},
        "train2id.txt, line 2: expected numbers",
    ),
    "an id twice": (
        "fb13",
        {**IDS, "entity2id.txt": "2\na\t0\nb\t0\n"},
        "entity2id.txt: expected each number from 0 to 1 once",
    ),
    "an id beyond the count": (
        "fb13",
        {**IDS, "entity2id.txt": "2\na\t0\nb\t7\n"},
        "entity2id.txt, line 3: expected name TAB number",
    ),
    "cut JSON": ("codex", {**CODEX, "relations.json": '{"P1": {"label": "x"'}, "relations.json: expected JSON"),
    "JSON of another form": (
        "codex",
        {**CODEX, "entity2types.json": '{"Q1": "Q5"}'},
        "entity2types.json: expected JSON .*Expected `array`",
    ),
    "a synset that ends early": (
        "wordnet",
        {**WORDNET, "data.noun": "00000001 03 n 02 dog 0 000 | x\n"},
        "data.noun, line 1: expected offset, file",
    ),
    "a synset without a gloss": (
        "wordnet",
        {**WORDNET, "data.noun": "00000001 03 n 01 dog 0 000\n"},
        "data.noun, line 1: expected offset",
    ),
    "an unknown pointer": (
        "wordnet",
        {**WORDNET, "data.noun": SYNSET.replace("000 |", "001 ? 00000001 n 0000 |")},
        "data.noun, line 1: expected offset",
    ),
    "a pointer to nowhere": (
        "wordnet",
        {**WORDNET, "data.noun": SYNSET.replace("000 |", "001 @ 00000009 n 0000 |")},
        "data.noun, line 1: expected a pointer to a synset that is there, found 00000009-n",
    ),
    "a word that is not there": (
        "wordnet",
        {**WORDNET, "data.noun": SYNSET.replace("000 |", "001 ! 00000001 n 0102 |")},
        "data.noun, line 1: expected .*found word numbers 1 and 2",
    ),
    "a sense that is not there": (
        "wordnet",
        {**WORDNET, "index.noun": "dog n 1 0 1 0 00000002\n"},
        "index.noun, line 1: expected a lemma",
    ),
    "an unknown split": (
        "tsv",
        {"triples.tsv": "a\tr\tb\ttrain\na\tr\tb\tholdout\n"},
        "triples.tsv, line 2: .*split: train, valid",
    ),
    "a name without id": ("tsv", {**TSV, "entities.tsv": "a\tA\n\tB\n"}, "entities.tsv, line 2: expected id TAB label"),
    "an alias without id": (
        "wikidata5m",
        {f"wikidata5m_transductive_{s}.txt": "Q1\tP1\tQ2\n" for s in ("train", "valid", "test")}
        | {"wikidata5m_entity.txt": "Q1\n"},
        "wikidata5m_entity.txt, line 1: expected id TAB alias",
    ),
    "a setting without its test": (
        "wikidata5m",
        {"wikidata5m_transductive_train.txt": "Q1\tP1\tQ2\n"},
        "expected wikidata5m_transductive_valid.txt",
    ),
}


@pytest.mark.parametrize(("format", "files", "message"), CASES.values(), ids=CASES)
def test_a_malformed_file_is_one_clear_line(tmp_path, format, files, message):
    with pytest.raises(DataError, match=message) as error:
        imported(format, write(tmp_path / "in", files), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_command_prints_the_line_and_no_traceback(tmp_path):
    source = write(tmp_path / "in", {**GOOD, "train.tsv": "a\tr\n"})
    done = wikiloom("import", "umls", "--from", source, "--out", tmp_path / "out", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {source}/train.tsv, line 1: expected head TAB relation TAB tail, found 'a")
    assert done.stderr.count("\n") == 1
    wrong = wikiloom("import", "umsl", "--from", source, "--out", tmp_path / "out", check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "Did you mean umls?" in wrong.stderr
