"""wikiloom describe: what is in a dataset, as tables on the terminal or as one self-contained page."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.report import run_sections, sections, summary, terminal
from pipelines.report.drawing import draw_graph
from pipelines.report.funnel import kept_line, read_drops, read_stages
from pipelines.report.markup import page, text
from schemas.dataset import Dataset
from schemas.errors import DataError

__all__ = ["describe_terminal", "draw_graph", "write_html"]

GRAPHS = 4
PAGES, ROWS = 2, 5
"""Pages, and rows of other tables, that are shown as samples."""


def write_html(folder: Path, out: Path, runs: Sequence[Path] = ()) -> None:
    """Write one page about a dataset, and about the runs that were trained on it: no script, nothing that loads.

    The same bytes for the same dataset and runs: no time, no path of the machine. Raises DataError where the folder is
    no dataset, a run is no run, or the file can't be written.
    """
    document = render(Dataset(folder), [run_sections.read_run(run) for run in runs])
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(document, encoding="utf-8")
        os.replace(temporary, out)
    except OSError as error:
        raise DataError(f"{out} can't be written ({error.strerror}). Name another file with --html.") from error


def render(dataset: Dataset, runs: Sequence[run_sections.Run]) -> str:
    """The page as a string."""
    body = dict(_dataset_parts(dataset))
    if runs:
        body["Results"] = run_sections.results(runs, dataset.digest)
        labels = summary.relation_ids(dataset)
        body["Runs"] = "".join(run_sections.run_section(run, dataset.digest, labels) for run in runs)
    body["Columns"] = sections.columns(dataset)
    body["Commands and queries"] = sections.commands(dataset)
    links = "".join(f'<a href="#part-{i}">{text(name)}</a> ' for i, name in enumerate(body))
    parts = "".join(
        f'<section>\n<h2 id="part-{i}">{text(name)}</h2>\n{content}</section>\n'
        for i, (name, content) in enumerate(body.items())
    )
    heading = sections.head(dataset)
    return page(f"{sections.title(dataset.manifest)}, {dataset.digest[:8]}", f"{heading}<nav>{links}</nav>\n{parts}")


def _dataset_parts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    graphs = summary.good_graphs(dataset, GRAPHS)
    entities = summary.entity_statistics(dataset)
    samples = _sample_rows(dataset)
    names = summary.entity_names(dataset, *_wanted(graphs, entities, samples))
    relations = summary.relation_labels(dataset)
    for row in samples["triples"]:
        row["relation_label"] = relations.get(row["relation_index"], row["relation"])
    if dataset.rows("wk_graphs"):
        yield "Word-knowledge graphs", sections.graphs(graphs, names, relations)
    yield "From dumps to graphs", sections.funnel(read_stages(dataset.manifest), read_drops(dataset.manifest))
    statistics = summary.page_statistics(dataset), summary.graph_statistics(dataset), entities
    yield "Distributions", sections.distributions(*statistics)
    yield "Relations and entities", sections.frequent(summary.top_relations(dataset), entities, names)
    inductive = {"entities": entities.inductive_split}
    inductive["triples"] = summary.split_counts(dataset, "triples", "inductive_split")
    yield "Tables and splits", sections.splits(dataset, inductive)
    yield "Samples", sections.samples(dataset, names, samples)
    yield "Rejects", sections.rejects(summary.reject_counts(dataset), summary.sample_rows(dataset, "rejects", ROWS))


def _sample_rows(dataset: Dataset) -> dict[str, list[dict]]:
    counts = {"pages": PAGES, "entities": ROWS, "triples": ROWS, "anchors": ROWS, "redirects": ROWS, "examples": ROWS}
    return {name: summary.sample_rows(dataset, name, count) for name, count in counts.items()}


def _wanted(
    graphs: Sequence[dict], entities: summary.EntityStatistics, samples: dict[str, list[dict]]
) -> tuple[set[int], set[str]]:
    """The entities whose labels the page needs: by index, by id."""
    indices = {mention["entity_index"] for row in graphs for mention in row["mentions"]}
    indices |= {triple["tail_index"] for row in graphs for triple in row["triples"]}
    ids = {id_ for id_, _ in sections.top(entities.categories)}
    ids |= {row[side] for row in samples["triples"] for side in ("head", "tail")}
    ids |= {link["entity"] for row in samples["pages"] for link in row["links"] if link["start"] < sections.EXCERPT}
    return indices, ids - {None}


def describe_terminal(folder: Path) -> None:
    """Print what is in a dataset; plain text where stdout is no terminal. Raises DataError where it is no dataset."""
    dataset = Dataset(folder)
    console = terminal.console()
    manifest = dataset.manifest
    console.print(terminal.plain(sections.title(manifest)), style="bold")
    console.print(terminal.plain(sections.origin(manifest)))
    console.print(terminal.plain(f"digest {dataset.digest}"))
    settings = ", ".join(f"{key} {value}" for key, value in sections.parameters(manifest).items())
    if settings:
        console.print(terminal.plain(f"parameters: {settings}"))
    for heading, head, rows in _terminal_tables(dataset):
        if rows:
            console.print()
            console.print(terminal.table(heading, head, rows))


def _terminal_tables(dataset: Dataset) -> Iterator[tuple[str, list[str], list[tuple]]]:
    files = [
        (str(file.get("role")), str(file.get("name")), file.get("bytes"), str(file.get("sha256"))[:16])
        for file in sections.inputs(dataset.manifest)
    ]
    yield "Inputs", ["role", "file", "bytes", "sha256"], files
    yield "Tables", ["table", "split", "rows", "files", "MB"], list(_table_rows(dataset))
    yield from _funnel_tables(dataset)
    entities = summary.entity_statistics(dataset)
    yield "Statistics", ["", "rows", "mean", "median", "95 %", "most"], _statistics(dataset, entities)
    yield "Text of an entity", ["source", "entities"], entities.text_source.most_common()
    names = summary.entity_names(dataset, set(), {id_ for id_, _ in sections.top(entities.categories, 10)})
    relations = [(id_, label, n) for id_, label, n in summary.top_relations(dataset)[:10] if n]
    yield "Most frequent relations", ["id", "relation", "train triples"], relations
    categories = [(id_, names.label_of.get(id_, ""), n) for id_, n in sections.top(entities.categories, 10)]
    yield "Most frequent categories", ["id", "category", "entities"], categories
    rejects = [(stage, reason, n) for (stage, reason), n in sorted(summary.reject_counts(dataset).items())]
    yield "Rejects", ["stage", "reason", "records"], rejects


def _table_rows(dataset: Dataset) -> Iterator[tuple]:
    for name, entry in dataset.manifest.tables.items():
        for part in dataset.table(name).parts:
            shards = entry.split(part)
            if shards:
                split = part if dataset.table(name).splits else ""
                size = sum(shard.bytes for shard in shards) / 1e6
                yield name, split, sum(shard.rows for shard in shards), len(shards), f"{size:,.2f}"


def _funnel_tables(dataset: Dataset) -> Iterator[tuple[str, list[str], list[tuple]]]:
    stages = read_stages(dataset.manifest)
    rows = [(s.name, s.taken, kept_line(s), s.dropped, s.cpu_seconds, s.peak_memory_mb) for s in stages]
    yield "Stages (in = out + dropped)", ["stage", "in", "out", "dropped", "CPU s", "peak MB"], rows
    drops = [
        (name, reason, n) for name, reasons in read_drops(dataset.manifest).items() for reason, n in reasons.items()
    ]
    yield "Dropped", ["where", "reason", "rows"], drops


def _statistics(dataset: Dataset, entities: summary.EntityStatistics) -> list[tuple]:
    pages, graphs = summary.page_statistics(dataset), summary.graph_statistics(dataset)
    samples = {
        "code points of a page": pages.length,
        "links of a page": pages.links,
        "links with an entity": pages.linked,
        "mentions of a graph": graphs.mentions,
        "triples of a graph": graphs.triples,
        "in-degree of an entity": summary.sample_of_counts(entities.in_degree),
        "out-degree of an entity": summary.sample_of_counts(entities.out_degree),
    }
    return [
        (
            name,
            f"{sample.read:,}" + ("" if sample.whole else f" of {sample.rows:,}"),
            f"{sample.mean:,.1f}",
            *(f"{sample.quantile(q):,}" for q in (0.5, 0.95, 1.0)),
        )
        for name, sample in samples.items()
        if sample.rows
    ]
