"""One digest, whatever runs the build, however it joins, however its inputs are cut."""

import bz2
import gzip

import pytest

from tests.conftest import DEMO_INPUTS, DEMO_SHARES, EXAMPLES, digest, sample_inputs, wikiloom
from wikiloom import main


def read(path):
    return (bz2 if path.suffix == ".bz2" else gzip).decompress(path.read_bytes())


def cut_dump(dump, folder, count):
    """A dump of Wikipedia as so many files, each a dump of its own."""
    xml = read(dump)
    starts = [xml.index(b"<page>", len(xml) * number // count) for number in range(count)]
    ends = [*starts[1:], xml.rindex(b"</page>") + len(b"</page>")]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        (folder / f"{number}.xml").write_bytes(xml[: starts[0]] + xml[start:end] + b"</mediawiki>\n")
    return [folder / f"{number}.xml" for number in range(count)]


def cut_entities(dump, folder, count):
    """A dump of Wikidata as so many files of lines."""
    lines = [line for line in read(dump).splitlines(keepends=True) if line.strip() not in (b"[", b"]")]
    for number in range(count):
        part = lines[len(lines) * number // count : len(lines) * (number + 1) // count]
        (folder / f"{number}.json.gz").write_bytes(gzip.compress(b"[\n" + b"".join(part) + b"]\n", 1))
    return [folder / f"{number}.json.gz" for number in range(count)]


def test_examples_joined_by_cogroupbykey_have_the_same_digest(demo_dataset, tmp_path):
    words = [*DEMO_INPUTS, *DEMO_SHARES, "--set", "join=cogbk", "--out", tmp_path / "d"]
    assert main(["build", *map(str, words)]) == 0
    assert digest(tmp_path / "d") == digest(demo_dataset)


@pytest.mark.slow
def test_sample_in_five_files_joined_by_cogroupbykey_has_the_same_digest(sample_dataset, real_data, tmp_path):
    words = list(sample_inputs(real_data))
    place = words.index("--wikidata") + 1
    wikipedia, wikidata = cut_dump(words[1], tmp_path, 5), cut_entities(words[place], tmp_path, 5)
    words = [words[0], *wikipedia, *words[2:place], *wikidata, *words[place + 1 :]]
    assert main(["build", *map(str, words), "--set", "join=cogbk", "--out", str(tmp_path / "d")]) == 0
    assert digest(tmp_path / "d") == digest(sample_dataset)


@pytest.mark.slow
def test_examples_by_two_worker_processes_have_the_same_digest(demo_dataset, tmp_path):
    wikipedia = cut_dump(EXAMPLES / "enwiki-mini.xml.bz2", tmp_path, 2)
    words = ["--wikipedia", *wikipedia, *DEMO_INPUTS[2:], *DEMO_SHARES, "--workers", 2, "--out", tmp_path / "d"]
    done = wikiloom("build", *words)
    assert digest(tmp_path / "d") == digest(demo_dataset)
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("join", ["lookup", "cogbk"])
def test_sample_by_two_worker_processes_has_the_same_digest(sample_dataset, real_data, tmp_path, join):
    words = [*sample_inputs(real_data), "--set", "range_mb=1", "--set", f"join={join}", "--workers", 2]
    wikiloom("build", *words, "--out", tmp_path / "d")
    assert digest(tmp_path / "d") == digest(sample_dataset)
