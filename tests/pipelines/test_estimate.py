"""What --dry-run says: exact where a dump is read whole, near where it is scaled up from a piece."""

import bz2
import dataclasses
import gzip
import random

import pytest
from backports import zstd

from pipelines import estimate as module
from pipelines.config import Build
from pipelines.estimate import estimate, read_piece
from pipelines.inputs import plan_inputs
from pipelines.sources.ranges import Range
from schemas.dataset import Dataset
from tests.conftest import EXAMPLES
from wikiloom import main

PACK = {
    "plain": lambda text: text,
    "bz2": lambda text: bz2.compress(text, 1),
    "gzip": gzip.compress,
    "gzip members": lambda text: b"".join(gzip.compress(text[i : i + 50_000]) for i in range(0, len(text), 50_000)),
    "zstd": zstd.compress,
}
DUMPS = ["--wikipedia", EXAMPLES / "enwiki-mini.xml.bz2", "--wikidata", EXAMPLES / "wikidata-mini.json.gz"]


def dry_run(*words):
    return main(["build", *map(str, words), "--dry-run"])


@pytest.mark.parametrize("name", PACK)
def test_a_piece_is_the_beginning_of_a_range_and_tells_how_much_the_whole_holds(name, tmp_path):
    draw = random.Random(1)
    text = " ".join(str(draw.randrange(10_000)) for _ in range(200_000)).encode()
    path = tmp_path / "file"
    path.write_bytes(PACK[name](text))
    part = Range(str(path), 0, path.stat().st_size)
    piece, ratio = read_piece(part, 300_000)
    assert text.startswith(piece) and 300_000 <= len(piece) < 500_000
    assert ratio * path.stat().st_size == pytest.approx(len(text), rel=0.25)
    assert read_piece(part, 1 << 30) == (text, len(text) / path.stat().st_size)


def test_damage_in_a_range_is_not_taken_for_text_that_is_well_packed(tmp_path):
    text = " ".join(map(str, range(200_000))).encode()
    raw = bytearray(PACK["bz2"](text))
    raw[len(raw) // 8] ^= 0xFF
    path = tmp_path / "file"
    path.write_bytes(raw)
    piece, ratio = read_piece(Range(str(path), 0, len(raw)), 1 << 30)
    assert len(text) - 300_000 < len(piece) < len(text)
    assert ratio == len(piece) / len(raw)
    _, near = read_piece(Range(str(path), 0, len(raw)), 600_000)
    assert near == pytest.approx(len(text) / len(raw), rel=0.35)


def test_of_dumps_that_are_read_whole_the_records_are_counted(demo_dataset, tmp_path):
    config = Build(wikipedia=(DUMPS[1],), wikidata=(DUMPS[3],), out=tmp_path / "new")
    found = estimate(config, plan_inputs(config))
    stages = Dataset(demo_dataset).manifest.rest["stages"]
    assert found.readings["wikipedia"].records == stages["wikipedia"]["out"]
    records = found.readings["wikidata"].records
    assert {name: records[name] for name in ("items", "properties")} == stages["wikidata"]["out"]
    assert records["statements"] >= Dataset(demo_dataset).rows("triples")
    everything = estimate(dataclasses.replace(config, keep="all"), plan_inputs(config))
    assert everything.dataset_mb > found.dataset_mb and everything.work_mb > found.work_mb
    assert 100 < found.memory_mb < 2_000 and found.minutes > 0


def test_the_disk_that_a_dry_run_asks_for_is_that_of_the_build_within_a_factor_of_three(demo_dataset, tmp_path):
    config = Build(wikipedia=(DUMPS[1],), wikidata=(DUMPS[3],), out=tmp_path / "new")
    found = estimate(config, plan_inputs(config))
    sizes = {path: path.stat().st_size / 1e6 for path in demo_dataset.rglob("*") if path.is_file()}
    work = sum(size for path, size in sizes.items() if path.is_relative_to(demo_dataset / ".build"))
    dataset = sum(sizes.values()) - work
    assert work / 3 < found.work_mb < 3 * work
    assert dataset / 3 < found.dataset_mb < 3 * dataset


def test_from_a_piece_the_records_are_near(demo_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECES", {"wikipedia": 100_000, "wikidata": 100_000})
    config = Build(wikipedia=(DUMPS[1],), wikidata=(DUMPS[3],), out=tmp_path / "new")
    records = estimate(config, plan_inputs(config)).readings["wikipedia"].records
    assert records["articles"] == pytest.approx(
        Dataset(demo_dataset).manifest.rest["stages"]["wikipedia"]["out"]["articles"], rel=0.5
    )


def test_a_dry_run_says_stages_ranges_time_memory_and_disk_and_writes_nothing(tmp_path, capsys):
    assert dry_run(*DUMPS, "--out", tmp_path / "new", "--workers", "2") == 0
    said = capsys.readouterr().out
    for word in (
        "wikidata: 1 range, ",
        "wikipedia: 1 range, ",
        "CPU: ",
        "--workers 2",
        "of memory",
        "of disk",
        "Nothing",
    ):
        assert word in said
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_cut_dump_without_wikidata_still_says_something(tmp_path, capsys):
    path = tmp_path / "cut.xml.bz2"
    raw = DUMPS[1].read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3])
    assert dry_run("--wikipedia", path, "--out", tmp_path / "new") == 0
    said = capsys.readouterr().out
    assert "in all: " in said and "wikidata: " not in said
