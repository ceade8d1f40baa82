"""wikiloom describe on the terminal: the same numbers as the page, tables first, then a page and a graph to look at."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.report import picks, plots, sections, summary, terminal
from pipelines.report.about import origin, parameters, parts, title
from pipelines.report.funnel import by_count, kept_line, read_drops, read_stages
from schemas.dataset import Dataset
from schemas.origin import inputs

Shown = tuple[str, list[str], Sequence[tuple]]
"""A table: heading, names of the columns, rows; without rows it is not shown."""
TOP, EXCERPT = 10, 600


def describe_terminal(folder: Path) -> None:
    """Print what is in a dataset; plain text where stdout is no terminal. Raises DataError where it is no dataset."""
    dataset = Dataset(folder)
    console = terminal.console()
    manifest = dataset.manifest
    console.print(terminal.plain(title(manifest)), style="bold")
    console.print(terminal.plain(origin(manifest)))
    console.print(terminal.plain(f"digest {dataset.digest}"))
    settings = ", ".join(f"{key} {value}" for key, value in parameters(manifest).items())
    if settings:
        console.print(terminal.plain(f"parameters: {settings}"))
    for heading, head, rows in _tables(dataset):
        if rows:
            console.print()
            console.print(terminal.table(heading, head, rows))
    for page in picks.sample_rows(dataset, "pages", 1):
        console.print(terminal.plain(f'A page with its links: "{page["title"]}"'), style="bold")
        cut = page["text"][:EXCERPT]
        links = [link for link in page["links"] if link["end"] <= len(cut)]
        console.print(terminal.marked(cut + "…" * (len(page["text"]) > len(cut)), links))
    for line in _next(dataset, folder):
        console.print(terminal.plain(line))


def _tables(dataset: Dataset) -> Iterator[Shown]:
    files = [
        (str(file.get("role")), str(file.get("name")), file.get("bytes"), str(file.get("sha256"))[:16])
        for file in inputs(dataset.manifest)
    ]
    yield "Inputs", ["role", "file", "bytes", "sha256"], files
    tables = [(*part, f"{size:,.2f}") for *part, size in parts(dataset.manifest, dataset.table)]
    yield "Tables", ["table", "split", "rows", "files", "MB"], tables
    yield from _funnel(dataset)
    entities = summary.entity_statistics(dataset)
    measures = ["", "rows", "mean", "median", "95 %", "most", "histogram"]
    yield "Distributions (lengths in code points)", measures, _statistics(dataset, entities)
    ends = [dataclasses.astuple(split) for split in summary.split_ends(dataset)]
    yield (
        "What the triples of a split are about; new: not in train",
        ["split", "triples", "entities", "new", "relations", "new"],
        ends,
    )
    yield "Text of an entity", ["source", "entities", ""], _bars(entities.text_source.most_common())
    names = summary.entity_names(dataset, set(), {id_ for id_, _ in sections.top(entities.categories, TOP)})
    relations = [((id_, label), n) for id_, label, n in summary.top_relations(dataset)[:TOP] if n]
    yield "Most frequent relations", ["id", "relation", "train triples", ""], _bars(relations)
    categories = [((id_, names.label_of.get(id_, "")), n) for id_, n in sections.top(entities.categories, TOP)]
    yield "Most frequent categories", ["id", "category", "entities", ""], _bars(categories)
    examples = [(*key, n) for key, n in sorted(summary.example_counts(dataset).items())]
    yield "Examples", ["task", "group", "split", "examples"], examples
    rejects = [(stage, reason, n) for (stage, reason), n in sorted(summary.reject_counts(dataset).items())]
    yield "Rejects", ["stage", "reason", "records"], rejects
    columns = [
        (name, ", ".join(field.name for field in dataset.table(name).columns)) for name in dataset.manifest.tables
    ]
    yield "Columns (each with its doc in the card, README.md)", ["table", "columns"], columns


def _funnel(dataset: Dataset) -> Iterator[Shown]:
    stages = read_stages(dataset.manifest)
    rows = [(s.name, s.taken, kept_line(s), s.dropped, s.cpu_seconds, s.peak_memory_mb) for s in stages]
    yield "Stages (in = out + dropped)", ["stage", "in", "out", "dropped", "CPU s", "peak MB"], rows
    drops = read_drops(dataset.manifest)
    yield (
        "Dropped",
        ["where", "reason", "rows"],
        [(name, reason, n) for name, reasons in drops.items() for reason, n in by_count(reasons)],
    )


def _bars(counts: Sequence[tuple[object, int]]) -> list[tuple]:
    largest = max((n for _, n in counts), default=0)
    named = [(name if isinstance(name, tuple) else (name,), n) for name, n in counts]
    return [(*name, n, terminal.bar(n, largest)) for name, n in named]


def _statistics(dataset: Dataset, entities: summary.EntityStatistics) -> list[tuple]:
    samples = {heading: sample for _, heading, _, sample in summary.samples(dataset)}
    if dataset.rows("entities"):
        samples["In-degree of an entity"] = summary.sample_of_counts(entities.in_degree)
        samples["Out-degree of an entity"] = summary.sample_of_counts(entities.out_degree)
    return [
        (
            name,
            f"{sample.read:,}" + ("" if sample.whole else f" of {sample.rows:,}"),
            f"{sample.mean:,.1f}",
            *(f"{sample.quantile(q):,}" for q in (0.5, 0.95, 1.0)),
            terminal.sparkline([n for *_, n in plots.histogram(sample.values, sample.counts, bins=20)]),
        )
        for name, sample in samples.items()
    ]


def _next(dataset: Dataset, folder: Path) -> Iterator[str]:
    yield ""
    graphs = picks.good_graphs(dataset, 1)
    if graphs:
        yield f"a graph: wikiloom show {folder} --graph {graphs[0]['graph_id']}"
    yield f"a page with plots, graphs and queries: wikiloom describe {folder} --html report.html"
