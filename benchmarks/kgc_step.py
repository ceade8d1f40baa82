"""A training step of the text systems of knowledge graph completion beside their authors' own, on UMLS.

    python -m benchmarks.kgc_step [--lmke FOLDER] [--lass FOLDER] [--batches 4] [--rounds 3]

FOLDER is a checkout of github.com/Neph0s/LMKE at d742869, and of github.com/pkusjh/LASS at 43f4c5e; what is not given
is not measured, and its figures stay as they are. benchmarks/lmke_original.py and lass_original.py say what runs of
them. Theirs and ours have the same small encoder, weights, texts and batches, and have to give equal losses before they
are timed. One thread, CPU time, the best of some rounds, each of which runs both. Writes results/kgc_step.json.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import lass_original, lmke_original
from benchmarks.timing import RESULTS, save

PEERS: dict[str, Callable[[Path, int, int], dict[str, Any]]] = {
    "lmke": lmke_original.measure,
    "lass": lass_original.measure,
}
"""(checkout, batches, rounds) -> figures."""


def main() -> None:
    """Measure what is given, print all that is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "kgc_step.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, measure in PEERS.items():
        if folder := getattr(words, name):
            kept[name] = {"batches": words.batches, "torch": torch.__version__}
            kept[name] |= measure(folder.resolve(), words.batches, words.rounds)
            print(f"wrote {save('kgc_step', kept)}")
    for name in kept.keys() & PEERS.keys():
        print(name, *(f"  {figure}: {value}" for figure, value in kept[name].items()), sep="\n")


if __name__ == "__main__":
    main()
