"""The dumps that benchmarks read where none is given."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def sample_dumps(wikidata: str = "enwiki-sample-wikidata") -> tuple[Path, Path]:
    """(Wikipedia, Wikidata): real samples in the folder WIKILOOM_DATA, `wikidata` among them; without it examples/."""
    if data := os.environ.get("WIKILOOM_DATA"):
        return Path(data, "wikipedia/enwiki-sample.xml.bz2"), Path(data, "wikidata", f"{wikidata}.json.gz")
    return ROOT / "examples/enwiki-mini.xml.bz2", ROOT / "examples/wikidata-mini.json.gz"
