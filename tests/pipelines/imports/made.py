"""Files in published layouts, written by a test, and what an import makes of them."""

from pathlib import Path

from pipelines.importing.config import Import
from pipelines.importing.run import import_dataset
from schemas.dataset import Dataset


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Files by name; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def imported(format: str, source: Path, out: Path, **options) -> Dataset:
    """The dataset that an import makes."""
    import_dataset(Import(format=format, from_=source, out=out, **options))
    return Dataset(out)


def facts(dataset: Dataset, split: str | None = None) -> list[tuple[str, str, str]]:
    """Triples by name, sorted."""
    rows = dataset.read("triples", split, columns=["head", "relation", "tail"]).to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def lines(*rows: str) -> str:
    """Lines whose fields are written with spaces, as tab-separated text."""
    return "".join(row.replace(" ", "\t") + "\n" for row in rows)
