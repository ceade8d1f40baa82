"""Nothing is lost: in = out + drops for every stage, on every real dump at hand."""

import bz2
import gzip

import pytest

from pipelines.audit import audit
from pipelines.config import STAGES
from pipelines.validate import validate
from schemas.dataset import Dataset
from tests.conftest import build_once


def require_counts(folder, real_data, name):
    """Every stage's sums, and its beginning against the dump itself."""
    assert list(validate(folder)) == []
    assert audit(folder).violations == []
    rest = Dataset(folder).manifest.rest
    for stage in STAGES:
        counts = rest["stages"][stage]
        assert counts["in"] == sum(counts["out"].values()) + sum(rest["drops"].get(stage, {}).values()), stage
    data = bz2.decompress((real_data / f"wikipedia/{name}.xml.bz2").read_bytes())
    # One of the dumps is UTF-16, as published.
    pages = max(data.count(b"<page>"), data.count("<page>".encode("utf-16-le")))
    assert rest["stages"]["wikipedia"]["in"] == pages > 0
    lines = gzip.decompress((real_data / "wikidata/enwiki-sample-wikidata.json.gz").read_bytes()).splitlines()
    assert rest["stages"]["wikidata"]["in"] == sum(line.strip() not in (b"[", b"]", b",", b"") for line in lines)


@pytest.mark.parametrize(
    "name",
    ["bgwiki-sample", *(pytest.param(name, marks=pytest.mark.slow) for name in ("enwiki-24", "enwiki-table-markup"))],
)
def test_in_is_out_and_drops_on_real_dumps(name, real_data, tmp_path_factory):
    dump, facts = real_data / f"wikipedia/{name}.xml.bz2", real_data / "wikidata/enwiki-sample-wikidata.json.gz"
    words = ["--wikipedia", dump, "--wikidata", facts, "--language", name[:2], "--keep", "linked"]
    require_counts(build_once(tmp_path_factory, name, words), real_data, name)


def test_in_is_out_and_drops_on_the_real_sample(sample_dataset, real_data):
    require_counts(sample_dataset, real_data, "enwiki-sample")
