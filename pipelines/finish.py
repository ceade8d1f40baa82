"""The end of a build: the small tables, the manifest, the card."""

import bisect
import contextlib
import dataclasses
import importlib.metadata
import itertools
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.card import write_card
from pipelines.config import STAGES, Build
from pipelines.keys import key_of
from pipelines.records import BATCH_ROWS, read_json, read_record_batches, read_records, write_json
from pipelines.transforms.align import ANCHOR_COUNTS, entity_names
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.titles import NO_ITEM, TitleIndex, are_in, hash_column
from schemas.digest import dataset_digest
from schemas.errors import DataError
from schemas.manifest import Manifest, TableEntry, read_manifest
from schemas.tables import TABLES
from wikiloom import __version__

if TYPE_CHECKING:
    from pipelines.build import Builder


ANCHOR_BATCHES = 1_000
"""Batches of anchors that are added up in memory, about."""
CAN_BE_CUT = {
    "wikidata": "wikidata dump",
    "wikipedia": "wikipedia dump",
    "redirect_list": "list of --redirects",
    "page_props": "list of --page-props",
}
"""Names of drops whose reason "truncated" is warned of -> what it is that was cut."""


def redirect_rows(index_folder: Path) -> pa.Table:
    """The redirects table: the dump's own, and those of --redirects for other titles."""
    rows = read_records(index_folder / "redirects.arrow")
    items = TitleIndex.load(index_folder).find(hash_column(rows["title"]))
    kept = np.load(index_folder / "kept_items.npy")
    entities = entity_names(np.where(are_in(items, kept), items, NO_ITEM))
    return rows.append_column("entity", entities).cast(TABLES["redirects"].schema)


def anchor_rows(align_folders: Sequence[Path], entities: Neighbourhood) -> pa.Table:
    """The anchors table: counts of all ranges added up, sorted by surface and entity."""
    files = [folder / "anchors.arrow" for folder in align_folders]
    # The first surface of each batch, in order as all of the file is.
    starts = [read_records(file, ["surface"])["surface"][::BATCH_ROWS].to_pylist() for file in files]
    schema, keys = TABLES["anchors"].schema, ["surface", "entity_index"]
    pieces = [schema.empty_table()]
    # Stretch by stretch of the alphabet: beside the table, memory holds the counts of one.
    for bounds in itertools.pairwise(["", *_alphabet_cuts(starts), None]):
        rows = pa.concat_tables(
            [_read_between(file, first, *bounds) for file, first in zip(files, starts, strict=True)]
        )
        indices = pa.array(entities.find_keys(rows["item"].to_numpy()), pa.int32())
        rows = pa.table([rows["surface"], indices, rows["count"]], schema=schema)
        added = rows.group_by(keys, use_threads=False).aggregate([("count", "sum")]).rename_columns([*keys, "count"])
        pieces.append(added.sort_by([(name, "ascending") for name in keys]).cast(schema))
    return pa.concat_tables(pieces)


def _alphabet_cuts(starts: Sequence[list[str]]) -> list[str]:
    """Surfaces, in order, between which lie the rows of about ANCHOR_BATCHES batches."""
    cuts = sorted(itertools.chain(*starts))[ANCHOR_BATCHES::ANCHOR_BATCHES]
    return sorted(set(cuts))


def _read_between(file: Path, starts: list[str], first: str, behind: str | None) -> pa.Table:
    """Counts of the surfaces in [first, behind), without `behind` all the rest, of a file whose batches so start."""
    low = max(bisect.bisect_left(starts, first) - 1, 0)
    high = len(starts) if behind is None else bisect.bisect_left(starts, behind)
    batches = itertools.islice(read_record_batches(file, first=low), high - low)
    rows = pa.Table.from_batches(batches, ANCHOR_COUNTS)
    inside = pc.greater_equal(rows["surface"], first)
    return rows.filter(inside if behind is None else pc.and_(inside, pc.less(rows["surface"], behind)))


def reject_rows(folders: Sequence[Path]) -> pa.Table:
    """The rejects table, sorted."""
    schema = TABLES["rejects"].schema
    tables = [schema.empty_table(), *(read_records(folder / "rejects.arrow").cast(schema) for folder in folders)]
    rows = pa.concat_tables(tables).to_pylist()
    rows.sort(key=lambda row: tuple(row[name].encode("utf-8", "replace") for name in TABLES["rejects"].sort_by))
    return pa.Table.from_pylist(rows, schema=schema)


def count_mentions(align_folders: Sequence[Path], kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How often train pages link to each of the items `kept` (sorted), shape (len(kept),)."""
    counts = np.zeros(len(kept), np.int64)
    for folder in align_folders:
        table = read_records(folder / "anchors.arrow", ["item", "count"])
        np.add.at(counts, np.searchsorted(kept, table["item"].to_numpy()), table["count"].to_numpy())
    return counts


def add_counts(folders: Sequence[Path], name: str, size: int) -> npt.NDArray[np.int64]:
    """Sum the (index, count) pairs of every folder's file `name`, shape (size,)."""
    counts = np.zeros(size, np.int64)
    for folder in folders:
        pairs = np.load(folder / name)
        counts[pairs[:, 0]] += pairs[:, 1]
    return counts


def write_dataset(builder: "Builder", key: str, files: list[dict]) -> Manifest:
    """Write the tables, the card and, last of all, the manifest: with it the dataset is whole."""
    out = builder.config.out
    with measured(builder.work / "tables.json", key):
        entries = builder.tables()
    stages, drops = collect_counts(builder)
    rest = {
        "wikiloom": __version__,
        "language": builder.config.language,
        "inputs": files,
        "parameters": parameters(builder.config),
        "key": key,
        "stages": stages,
        "drops": drops,
        "graph": read_json(builder.work / "graph" / "describe.json"),
    }
    return publish(out, entries, rest)


def publish(out: Path, entries: Mapping[str, TableEntry], rest: dict[str, Any]) -> Manifest:
    """Write the card and, last of all, the manifest; `rest` is what the manifest says beside the tables."""
    tables = dict(sorted(entries.items()))
    digest = dataset_digest((name, entry.digest) for name, entry in tables.items())
    manifest = Manifest(digest=digest, tables=tables, rest=rest)
    write_card(out, manifest)
    manifest.save(out)
    return manifest


def collect_counts(builder: "Builder") -> tuple[dict[str, dict], dict[str, dict[str, int]]]:
    """(stages, drops): what each stage took in and gave out, CPU and memory; why rows were dropped, by stage.

    A stage counts its `in` itself, or it is out + drops; in = out + drops for every stage.
    """
    work = builder.work
    stages: dict[str, dict] = {}
    drops: dict[str, Counter[str]] = {}
    extra = {"align": [builder.index], "graph": [work / "graph"]}
    for stage in STAGES:
        out, taken, figures = Counter[str](), Counter[str](), Counter[str]()
        folders = [] if stage == "graph" else builder.folders(stage)
        for folder in [*folders, *extra.get(stage, [])]:
            document = read_json(folder / "done.json")
            out.update(document.pop("out", {}))
            taken.update(rows=document.pop("in", 0))
            figures.update(document.pop("figures", {}))
            for name, reasons in document.items():
                drops.setdefault(stage if name == "drops" else name, Counter()).update(reasons)
        rows = taken["rows"] or out.total() + sum(drops.get(stage, {}).values())
        stages[stage] = {"in": rows, "out": dict(sorted(out.items())), **figures, **cost(work / f"{stage}.json")}
    stages["tables"] = cost(work / "tables.json")
    by_stage = {name: {reason: n for reason, n in sorted(reasons.items()) if n} for name, reasons in drops.items()}
    return stages, {name: reasons for name, reasons in sorted(by_stage.items()) if reasons}


@contextlib.contextmanager
def measured(path: Path, key: str, since: float | None = None) -> Iterator[None]:
    """Write the key of what runs inside, its CPU seconds (children included) and the peak memory, when it is done.

    With `since`, what cpu_seconds said before, it is the CPU seconds from then on.
    """
    before = cpu_seconds() if since is None else since
    yield
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = round(cpu_seconds() - before, 2)
    write_json(path, {"key": key, "cpu_seconds": seconds, "peak_memory_mb": peak // 1024})


def cost(path: Path) -> dict[str, float]:
    document = read_json(path)
    return {name: document[name] for name in ("cpu_seconds", "peak_memory_mb")}


def parameters(config: Build) -> dict[str, Any]:
    """What the dataset's files depend on beside its inputs: no path, no number of workers."""
    document = dataclasses.asdict(config.parameters)
    for name in ("join", "range_mb", "keep_work"):
        document.pop(name)
    if document["sentences"] == "spacy":
        document["spacy"] = importlib.metadata.version("spacy")
    return {"keep": config.keep, "neighbors": config.neighbors, "seed": config.seed, **document}


def build_key(config: Build, files: list[dict]) -> str:
    """A digest of inputs, parameters and version: the same key, the same dataset."""
    return key_of("dataset", config.language, files, parameters(config))


def is_done(out: Path, key: str) -> bool:
    """Does `out` hold the finished dataset of this key?"""
    if not (out / "manifest.json").is_file():
        return False
    try:
        return read_manifest(out).rest.get("key") == key
    except DataError as error:
        raise DataError(
            f"{out}/manifest.json is not that of a whole dataset. Remove {out}, or give --out a new folder."
        ) from error


def print_summary(out: Path, manifest: Manifest, *, keep_work: bool = False) -> None:
    """What was made, in a few lines; a warning for input that was cut."""
    tables = ", ".join(f"{name} {entry.rows:,}" for name, entry in manifest.tables.items())
    rows = sum(entry.rows for entry in manifest.tables.values())
    print(f"{out}: {len(manifest.tables)} tables, {rows:,} rows, digest {manifest.digest[:8]}")
    print(f"  {tables}")
    for line in graph_notes(manifest):
        print(f"  {line}")
    for stage, what in CAN_BE_CUT.items():
        lost = manifest.rest["drops"].get(stage, {}).get("truncated", 0)
        if lost:
            message = f"warning: the {what} is cut or damaged in {lost} place{'s' * (lost > 1)}; every complete "
            print(message + "record before it was read, what follows is lost (see rejects)", file=sys.stderr)
    if keep_work:
        print(f"  {out}/.build: what a build with other parameters can go on from; remove it to save disk")
    print(f"  next: wikiloom describe {out}")


def graph_notes(manifest: Manifest) -> Iterator[str]:
    """What the graph does not hold that was asked for, a line each."""
    graph, drops = manifest.rest["graph"], manifest.rest["drops"].get("graph", {})
    excluded = graph["excluded_triples"]
    if excluded["listed"]:
        yield "excluded triples: " + ", ".join(f"{name} {excluded[name]:,}" for name in ("listed", "found", "removed"))
    if drops.get("relation_without_label") and not manifest.tables["triples"].rows:
        yield "no triple: no relation has a label, the Wikidata dump holds no properties. --keep all needs none"
    for name, asked in graph["split"]["asked"].items():
        made = graph["split"]["triples"][name]
        if asked is not None and made < asked:
            yield f"split {name}: {made:,} of {asked:,} triples, train needs the others"
    for what, count in graph.get("repeats", {}).items():
        if count:
            yield f"kept as published: {count:,} {what.replace('_', ' ')}"
    if graph["inductive_split"]["refused"] and graph["inductive_split"].get("asked", True):
        # Only a build is told sizes and a limit.
        fewer = "valid_entities=N and test_entities=N ask for fewer, max_dropped=SHARE lets it cut more"
        advice = f". --set {fewer}" if "max_dropped" in manifest.rest["parameters"] else ""
        yield f"no inductive split: {graph['inductive_split']['refused']}{advice}"


def cpu_seconds() -> float:
    """Of this process and its children so far."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
