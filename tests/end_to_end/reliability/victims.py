"""What the harnesses of damage take to pieces: a small dataset with tokens, and a run trained on another."""

import contextlib
import io
from pathlib import Path

from tests.pipelines.sources.inputs import array, dump, entity, page
from tests.training.synthetic import World, make_dataset
from training.train import train
from wikiloom import main

PAGES = 12
RUN = {
    "train.threads": "1",
    "train.steps": "2",
    "train.save_every": "1",
    "train.batch_size": "4",
    "train.valid_batches": "1",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
}


def whole_dataset(folder: Path, bird: str = "heron", stride: int = 7) -> Path:
    """A dataset with tokens, made by the commands from dumps of a dozen pages: every kind of file that one has.

    With another bird and stride no file is the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = range(1, PAGES + 1)
    pages = [
        page(n, f"'''Page {n}''' waits. The [[Page {n % PAGES + 1}|{bird}]] met [[Page {n * 5 % PAGES + 1}]].")
        for n in number
    ]
    pages.append(page(99, "#REDIRECT [[Page 1]]", title=bird.title(), extra='    <redirect title="Page 1" />\n'))
    label = {"en": {"language": "en", "value": f"is a {bird}"}}
    items = [entity(n, bird, tails=[f"Q{n % PAGES + 1}", f"Q{n * stride % PAGES + 1}"]) for n in number]
    (folder / "pages.xml").write_bytes(dump([*pages, page(100 + stride, title="", extra="    <title></title>\n")]))
    (folder / "items.json").write_bytes(
        array([*items, {"type": "property", "id": "P31", "datatype": "wikibase-item", "labels": label}])
    )
    data, tokenizer = folder / "data", folder / "tokenizer"
    shares = ["--set", "valid_pages=0.2", "--set", "test_pages=0.2"]
    _run("build", "--wikipedia", folder / "pages.xml", "--wikidata", folder / "items.json", "--out", data, *shares)
    _run("train-tokenizer", data, "--out", tokenizer, "--vocab-size", 120)
    _run("tokenize", data, "--tokenizer", tokenizer, "--name", "small", "--max-length", 64)
    return data


def trained_run(folder: Path) -> Path:
    """A CoLAKE run of two steps, which has every kind of file that a checkpoint has."""
    data = make_dataset(folder / "world", World(countries=2))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        done = train("colake-tiny", data, folder / "run", resume=False, dry_run=False, settings=RUN)
    assert done == 0
    return folder / "run"


def _run(*words: object) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        done = main([str(word) for word in words])
    assert done == 0, said.getvalue()
