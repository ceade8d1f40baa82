"""wikiloom demo: the whole way, from a miniature wiki to a report, by the same commands that anyone would type."""

import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import DataError
from wikiloom import parse

BASELINES = ("transe", "distmult", "complex", "rotate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo:
    """Build the examples, train CoLAKE and KEPLER on them, evaluate both, and write one report.html."""

    examples: Path = Path("examples")
    """Folder of the miniature dumps."""
    out: Path = Path("demo")
    """Folder for the dataset, the runs and the report."""


def run(command: str, arguments: list[str]) -> int:
    """The demo command."""
    demo: Demo = parse(Demo, command, arguments)
    dumps = {name: demo.examples / name for name in ("enwiki-mini.xml.bz2", "wikidata-mini.json.gz")}
    for path in dumps.values():
        if not path.is_file():
            raise DataError(f"{path} is missing. Run the demo from a checkout, or name its examples with --examples.")
    started = time.monotonic()
    data, runs = demo.out / "dataset", demo.out / "runs"
    if (data / "manifest.json").is_file():
        shutil.rmtree(runs, ignore_errors=True)  # an earlier demo's: train never writes into a run that is there
    for words in steps(dumps, data, runs):
        _wikiloom(words)
    from pipelines.report import write_html

    report = demo.out / "report.html"
    write_html(data, report, runs=sorted(path for path in runs.iterdir() if (path / "results").is_dir()))
    print(f"demo: {time.monotonic() - started:.0f} s, report in {report}")
    return 0


def steps(dumps: dict[str, Path], data: Path, runs: Path) -> list[list[str]]:
    """The commands of the demo, in order."""
    wikipedia, wikidata = (str(path) for path in dumps.values())
    # So small a wiki needs larger shares of it to evaluate on than the default's one page in a hundred.
    shares = ["--set", "valid_pages=0.05", "--set", "test_pages=0.1", "--set", "passage_chars=300"]
    evaluate = [
        ["evaluate", str(runs / "colake"), "--task", "masked"],
        ["evaluate", str(runs / "kepler"), "--task", "link-prediction"],
    ]
    return [
        ["build", "--wikipedia", wikipedia, "--wikidata", wikidata, "--out", str(data), *shares],
        ["validate", str(data)],
        ["train", "colake-tiny", "--data", str(data), "--out", str(runs / "colake"), "--set", "train.steps=300"],
        ["train", "kepler-tiny", "--data", str(data), "--out", str(runs / "kepler")],
        *(["baseline", name, "--data", str(data), "--out", str(runs / name)] for name in BASELINES),
        *evaluate,
        ["predict", str(runs / "kepler"), "--head", "France", "--relation", "capital", "--top", "3"],
    ]


def _wikiloom(words: Sequence[str]) -> None:
    """Run one command in a process of its own: the two halves of the project never share one."""
    print(f"$ wikiloom {' '.join(words)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "wikiloom", *words], check=False)
    if done.returncode:
        raise DataError(f"The demo stopped: wikiloom {words[0]} ended with exit code {done.returncode} (see above).")
    print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
