"""The measurements of benchmarks/tokenize.py, which says what they are."""

import argparse
import bz2
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.reading import repeated
from benchmarks.samples import ROOT, sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from pipelines import sinks
from pipelines.scan import groups, read_group
from pipelines.tokenizer import Encoder, read_tokenizer
from pipelines.train_tokenizer import train_tokenizer
from pipelines.transforms.tokenize import BATCH_BYTES, MAKERS, TokenizeJob, TokenRules, cut_by_bytes, tokenize_range
from pipelines.vocabulary import Vocabulary
from schemas.dataset import Dataset
from schemas.tables import TOKEN_TABLES

DUMP_MB = 18
TABLES = ("wk_graphs", "entities", "pages")


def build_sample(folder: Path) -> Path:
    """A dataset of the dumps at hand; their articles come again with other titles until there is enough of them."""
    dump, facts = sample_dumps()
    folder.mkdir()
    with bz2.open(folder / "dump.xml.bz2", "wb") as file:
        file.writelines(repeated(dump, DUMP_MB * 10**6))
    words = [
        "build",
        "--wikipedia",
        folder / "dump.xml.bz2",
        "--wikidata",
        facts,
        "--keep",
        "linked",
        "--out",
        folder / "dataset",
    ]
    subprocess.run([sys.executable, "-m", "wikiloom", *map(str, words)], cwd=ROOT, check=True, capture_output=True)
    return folder / "dataset"


def read_texts(dataset: Dataset, table: str) -> Iterator[list[str]]:
    """A table's texts, as many at once as a worker encodes."""
    _, columns, _ = MAKERS[table]
    for path, group, _ in groups(dataset, table):
        for rows in cut_by_bytes(read_group(path, group, columns), BATCH_BYTES):
            yield rows["text"].to_pylist()
            if table == "entities":
                labels = zip(rows["label"].to_pylist(), rows["entity"].to_pylist(), strict=True)
                yield [label or entity for label, entity in labels]


def run_bare(encoder: Encoder, texts: list[list[str]], offsets: bool) -> None:
    """The library alone."""
    tokenizer = encoder._tokenizer
    encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    for batch in texts:
        encode(batch, add_special_tokens=False)


def run_ours(dataset: Dataset, table: str, rules: TokenRules, folder: Path) -> None:
    """Every range of a table, and its shards."""
    shutil.rmtree(folder, ignore_errors=True)
    runs = []
    for number, shard in enumerate(dataset.shards(table)):
        job = TokenizeJob(table, dataset.folder / shard.path, 0, shard.row_groups, rules, folder / str(number))
        tokenize_range(job)
        runs += sinks.runs(job.folder, TOKEN_TABLES[table])
    plan = sinks.plan_shards(TOKEN_TABLES[table], runs)
    shards = [sinks.write_shard(TOKEN_TABLES[table], job, folder) for job in plan]
    sinks.table_entry(TOKEN_TABLES[table], folder, shards)


def measure(dataset: Dataset, tokenizer: Path, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Of each table and of all: tokens, how many of them a CPU second, and ours as a share of bare."""
    file = read_tokenizer(str(tokenizer))
    encoder = Encoder(file.name, file.data)
    rules = TokenRules(tokenizer / "tokenizer.json", file.digest, 512, threads=False)
    tokens: dict[str, int] = {}
    runs: dict[str, Callable[[], object]] = {}
    for table in TABLES:
        texts = list(read_texts(dataset, table))
        tokens[table] = sum(len(encoder.encode(batch).ids) for batch in texts)
        runs[f"{table} bare"] = partial(run_bare, encoder, texts, offsets=table == "wk_graphs")
        runs[f"{table} ours"] = partial(run_ours, dataset, table, rules, folder / table)
    seconds = best_cpu_seconds(runs, rounds)
    figures = {}
    for name, tables in (*((table, (table,)) for table in TABLES), ("all", TABLES)):
        count = sum(tokens[table] for table in tables)
        bare, ours = (sum(seconds[f"{table} {what}"] for table in tables) for what in ("bare", "ours"))
        rates = {f"{what} tokens/s": round(count / one) for what, one in (("bare", bare), ("ours", ours))}
        figures[name] = {"tokens": count, **rates, "ours / bare": round(bare / ours, 2)}
    return figures


def main(description: str) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tokenizer", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = Dataset(arguments.data or build_sample(folder / "sample"))
        tokenizers = {path.name: path for path in arguments.tokenizer}
        for model in () if tokenizers else ("unigram", "bpe"):
            train_tokenizer(dataset, folder / model, Vocabulary(model=model))
            tokenizers[model] = folder / model
        figures = {}
        for key, path in tokenizers.items():
            figures[key] = measure(dataset, path, folder / "tokens", arguments.rounds)
            for table, found in figures[key].items():
                print(f"{key} {table}: " + ", ".join(f"{what} {value:,}" for what, value in found.items()))
        print(f"wrote {save('tokenize', {'dataset': dataset.digest[:8], 'figures': figures})}")
