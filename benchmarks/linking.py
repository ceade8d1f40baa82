"""Entity linking without a model: how fast mentions are found and linked, and how right the dictionary's links are.

    python benchmarks/linking.py [--data DATASET] [--examples DATASET] [--rounds N]

Rates are MB of UTF-8 a CPU second on one core, interleaved in one run, on the pages of a dataset; without --data one
is built of enwiki-sample in the folder WIKILOOM_DATA, else of examples/. Beside ours pyahocorasick finds the same
surfaces: all of them, of which Python keeps the longest at the ends of words (the same job, with the same result), and
by its iter_long, which knows no ends of words (another result, for its bare rate). "dense" is a dictionary of every
group of one to three words of the pages, so that a surface begins at every word. The examples are ELEVANT's benchmarks
from WIKILOOM_DATA, or those of --examples; without either, links are not judged. Writes results/linking.json.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import marisa_trie
import numpy as np

from benchmarks.samples import ROOT, sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from schemas.dataset import Dataset
from training.evaluation.linking import LinkingSettings, linking, prepare
from training.linking import Linker
from training.linking.detection import JOINS, Detector, kinds
from training.linking.dictionary import Dictionary, open_dictionary

WORD = re.compile(r"\w+")
LONGEST = 3
"""Words of the dense dictionary's surfaces."""
Spans = list[tuple[int, int]]


def wikiloom(*words: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "wikiloom", *map(str, words)], cwd=ROOT, check=True, capture_output=True)


def build_sample(folder: Path) -> Path:
    """A dataset of the dumps at hand."""
    dump, facts = sample_dumps()
    wikiloom("build", "--wikipedia", dump, "--wikidata", facts, "--keep", "linked", "--out", folder)
    return folder


def word_groups(texts: Iterable[str]) -> list[str]:
    """Every group of one to LONGEST neighbouring words."""
    found = set()
    for text in texts:
        words = [match.span() for match in WORD.finditer(text)]
        for size in range(1, LONGEST + 1):
            found |= {text[words[i][0] : words[i + size - 1][1]] for i in range(len(words) - size + 1)}
    return sorted(found)


def automaton(surfaces: Iterable[str]) -> Any:
    """pyahocorasick's, each surface with its length."""
    import ahocorasick

    made = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for surface in surfaces:
        made.add_word(surface)
    made.make_automaton()
    return made


def longest_at_ends_of_words(found: Any, text: str) -> Spans:
    """What Detector.spans finds, by an automaton."""
    joins = kinds() == JOINS
    inside = [False, *(joins[ord(left)] and joins[ord(right)] for left, right in itertools.pairwise(text)), False]
    matches = [(last + 1 - length, last + 1) for last, length in found.iter(text)]
    spans: Spans = []
    for start, end in sorted((span for span in matches if not inside[span[0]] and not inside[span[1]]), key=_order):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


def _order(span: tuple[int, int]) -> tuple[int, int]:
    return span[0], -span[1]


def rates(texts: Sequence[str], dictionary: Dictionary, rounds: int) -> dict[str, float]:
    """MB a second of each, with every surface of the dictionary looked for."""
    surfaces = dictionary.trie.keys()
    linker, detector = Linker(dictionary), dictionary.detector
    lines = [text.split("\n") for text in texts]
    runs: dict[str, Callable[[], object]] = {
        "link": lambda: [linker.link(text) for text in texts],
        "link, line by line": lambda: [linker.link_all(some) for some in lines],
        "detect": lambda: [detector.spans([text]) for text in texts],
    }
    try:
        peer = automaton(surfaces)
        runs["pyahocorasick, same job"] = lambda: [longest_at_ends_of_words(peer, text) for text in texts]
        runs["pyahocorasick, iter_long"] = lambda: [list(peer.iter_long(text)) for text in texts]
        for text in texts:
            assert longest_at_ends_of_words(peer, text) == list(map(tuple, detector.spans([text])[0].tolist()))
    except ModuleNotFoundError:
        print("pyahocorasick is not installed (extra bench): ours alone", file=sys.stderr)
    size = sum(len(text.encode()) for text in texts) / 1e6
    seconds = best_cpu_seconds(runs, rounds)
    return {name: size / seconds[name] for name in runs}


def dense(texts: Sequence[str], rounds: int) -> dict[str, float]:
    """Rates and sizes with a surface at every word."""
    surfaces = word_groups(texts)
    began = time.process_time()
    trie, detector = marisa_trie.Trie(surfaces), Detector(surfaces)
    took = time.process_time() - began
    nothing = np.zeros(len(trie) + 1, dtype=np.int64)
    shares = np.ones(len(trie))
    whole = Dictionary(trie, nothing + np.arange(len(nothing)), nothing[1:].astype(np.int32), shares, shares, detector)
    return {
        "surfaces": len(surfaces),
        "build us a surface": 1e6 * took / len(surfaces),
        "detector bytes a surface": detector.nbytes / len(surfaces),
        "trie bytes a surface": len(trie.tobytes()) / len(surfaces),
        **{f"{name} MB/s": rate for name, rate in rates(texts, whole, rounds).items()},
    }


def judged(dataset: Dataset, examples: Path) -> dict[str, Any]:
    """The task's metrics of the dictionary alone."""
    questions = prepare(dataset, "test", LinkingSettings(examples=str(examples)))
    train = prepare(dataset, "train", LinkingSettings(examples=str(examples)))
    found = [linking(asked.linker(), asked) for asked in (questions, train)]
    return {"test": found[0], "train": found[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--examples", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset(given.data or build_sample(Path(scratch) / "dataset"))
        examples, source = given.examples, os.environ.get("WIKILOOM_DATA")
        if examples is None and source:
            examples = Path(scratch) / "examples"
            wikiloom("import", "elevant", "--from", Path(source) / "linking", "--out", examples)
        texts = dataset.read("pages", None, ["text"])["text"].to_pylist()
        began = time.process_time()
        dictionary = open_dictionary(dataset)
        figures: dict[str, Any] = {
            "pages": len(texts),
            "MB": sum(len(text.encode()) for text in texts) / 1e6,
            "surfaces": len(dictionary.trie),
            "open CPU s": time.process_time() - began,
            "rates": {f"{name} MB/s": rate for name, rate in rates(texts, dictionary, given.rounds).items()},
            "dense": dense(texts, given.rounds),
        }
        if examples is not None:
            figures["links"] = judged(dataset, examples)
    print(save("linking", {"figures": rounded(figures)}).read_text())


def rounded(figures: Any) -> Any:
    """Numbers to 4 digits."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    return float(f"{figures:.4g}") if isinstance(figures, float) else figures


if __name__ == "__main__":
    main()
