"""The datasets of benchmarks/completion.py: FewRel's sentences and facts cut into folds, woven with two graphs.

A fold's dataset holds the sentences of all folds. The facts of the fold (split test) and a share of the others (split
valid) are in no graph; those that are left are facts of the knowledge graph, and their sentences the train graphs.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.commands import wikiloom
from schemas.hashing import hash_string, random_u64

FOLDS = 10
VALID = 5
"""Per cent of the facts outside of a fold, by a hash of their own."""
FILES = {"train": "train_wiki.json", "valid": "val_wiki.json", "test": "test_wiki.json"}
"""What wikiloom import fewrel makes a split of."""
Fact = tuple[str, str, str]


def real_data() -> Path:
    """The folder with eval/fewrel, kg/codex-m, wikipedia and wikidata."""
    return Path(os.environ["WIKILOOM_DATA"])


def shared_datasets(folder: Path) -> dict[str, Path]:
    """What all folds share, made once: CoDEx-M, the Wikipedia sample with its Wikidata, and the latter's tokenizer."""
    data, made = real_data(), {name: folder / name for name in ("codex", "sample", "tokenizer")}
    if not (made["codex"] / "manifest.json").is_file():
        wikiloom("import", "codex", "--from", data / "kg/codex-m", "--out", made["codex"])
    if not (made["sample"] / "manifest.json").is_file():
        dumps = data / "wikipedia/enwiki-sample.xml.bz2", data / "wikidata/enwiki-sample-wikidata.json.gz"
        words = ["--wikipedia", dumps[0], "--wikidata", dumps[1], "--keep", "linked"]
        wikiloom("build", *words, "--out", made["sample"])
    if not (made["tokenizer"] / "tokenizer.json").is_file():
        wikiloom("train-tokenizer", made["sample"], "--out", made["tokenizer"], "--vocab-size", "4000")
    return made


def fold_of(fact: Fact) -> int:
    """The fold that tests the fact."""
    return hash_string("\t".join(fact)) % FOLDS


def split_of(fact: Fact, fold: int) -> str:
    """train, valid or test in the dataset of this fold."""
    if fold_of(fact) == fold:
        return "test"
    held = int(random_u64(0, "completion/valid", hash_string("\t".join(fact)))) % 100 < VALID
    return "valid" if held else "train"


def fold_dataset(fold: int, folder: Path, shared: dict[str, Path]) -> Path:
    """The woven dataset of a fold with its tokens, made where it is not there."""
    woven = folder / "dataset"
    if (woven / "tokens/tiny/manifest.json").is_file():
        return woven
    text, facts = _sentences(fold, folder / "fewrel"), folder / "facts"
    held = _write_facts(fold, facts)
    wikiloom("import", "fewrel", "--from", text, "--out", folder / "text")
    wikiloom("import", "tsv", "--from", facts, "--out", folder / "graph")
    graphs = [folder / "graph", shared["codex"], shared["sample"]]
    flags = [word for graph in graphs for word in ("--graph", graph)]
    wikiloom("weave", "--text", folder / "text", *flags, "--exclude-triples", held, "--out", woven)
    wikiloom("tokenize", woven, "--tokenizer", shared["tokenizer"], "--name", "tiny")
    return woven


def _instances() -> Iterator[tuple[Fact, dict[str, Any]]]:
    """Each sentence of FewRel's val_wiki with the fact that it states."""
    published = json.loads((real_data() / "eval/fewrel/val_wiki.json").read_text(encoding="utf-8"))
    for relation, instances in published.items():
        for instance in instances:
            yield (instance["h"][1], relation, instance["t"][1]), instance


def _sentences(fold: int, folder: Path) -> Path:
    """FewRel's files anew, with the sentences of each split of this fold."""
    parts: dict[str, dict[str, list[Any]]] = {split: defaultdict(list) for split in FILES}
    for fact, instance in _instances():
        parts[split_of(fact, fold)][fact[1]].append(instance)
    folder.mkdir(parents=True, exist_ok=True)
    for split, instances in parts.items():
        (folder / FILES[split]).write_text(json.dumps(instances), encoding="utf-8")
    names = real_data() / "eval/fewrel/pid2name.json"
    (folder / names.name).write_bytes(names.read_bytes())
    return folder


def _write_facts(fold: int, folder: Path) -> Path:
    """A graph of the train facts that lists all entities by name; returns the file of the facts that are held out."""
    facts = {fact: split_of(fact, fold) for fact, _ in _instances()}
    names = {end[1]: end[0] for _, instance in _instances() for end in (instance["h"], instance["t"])}
    folder.mkdir(parents=True, exist_ok=True)
    train = ((*fact, "train") for fact, split in facts.items() if split == "train")
    _write_lines(folder / "triples.tsv", train)
    _write_lines(folder / "entities.tsv", names.items())
    held = folder.with_name("held-out.tsv")
    _write_lines(held, (fact for fact, split in facts.items() if split != "train"))
    return held


def _write_lines(path: Path, rows: Iterable[Iterable[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
