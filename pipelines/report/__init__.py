"""wikiloom describe: what is in a dataset, as tables on the terminal or as one self-contained page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.lookup import find_page
from pipelines.records import write_text
from pipelines.report import picks, reference, run_sections, samples, sections, summary
from pipelines.report.about import title
from pipelines.report.drawing import draw_graph
from pipelines.report.funnel import read_drops, read_stages
from pipelines.report.markup import page, text
from pipelines.report.on_terminal import describe_terminal
from schemas.dataset import Dataset

__all__ = ["describe_terminal", "draw_graph", "write_html"]

GRAPHS = 4
SHOWN = {"pages": 2, "entities": 5, "triples": 5, "anchors": 5, "redirects": 5, "examples": 4}
"""Rows of each table that are shown as samples."""
REJECTS = 5


def write_html(folder: Path, out: Path, runs: Sequence[Path] = ()) -> None:
    """Write one page about a dataset, and about the runs that were trained on it: no script, nothing that loads.

    The same bytes for the same dataset and runs: no time, no path of the machine. Raises DataError where the folder is
    no dataset, a run is no run, or the file can't be written.
    """
    write_text(out, render(Dataset(folder), [run_sections.read_run(run) for run in runs]), "--html")


def render(dataset: Dataset, runs: Sequence[run_sections.Run]) -> str:
    """The page as a string."""
    body = {name: content for name, content in _dataset_parts(dataset) if content}
    if runs:
        body["Results"] = run_sections.results(runs, dataset.digest)
        labels = summary.relation_ids(dataset)
        body["Runs"] = "".join(run_sections.run_section(run, dataset.digest, labels) for run in runs)
    body["Columns"] = reference.columns(dataset)
    body["Commands and queries"] = reference.commands(dataset)
    links = "".join(f'<a href="#part-{i}">{text(name)}</a> ' for i, name in enumerate(body))
    parts = "".join(
        f'<section>\n<h2 id="part-{i}">{text(name)}</h2>\n{content}</section>\n'
        for i, (name, content) in enumerate(body.items())
    )
    heading = sections.head(dataset)
    return page(f"{title(dataset.manifest)}, {dataset.digest[:8]}", f"{heading}<nav>{links}</nav>\n{parts}")


def _dataset_parts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    graphs = picks.good_graphs(dataset, GRAPHS)
    entities = summary.entity_statistics(dataset)
    rows = {name: picks.sample_rows(dataset, name, count) for name, count in SHOWN.items()}
    names = summary.entity_names(dataset, *_wanted(graphs, entities, rows))
    relations = summary.relation_labels(dataset)
    for row in rows["triples"]:
        row["relation_label"] = relations.get(row["relation_index"], row["relation"])
    if dataset.rows("wk_graphs"):
        drawn = [(row, find_page(dataset, row["page_id"])) for row in graphs]
        yield "Word-knowledge graphs", samples.graphs(drawn, names, relations)
    yield "From dumps to graphs", sections.funnel(read_stages(dataset.manifest), read_drops(dataset.manifest))
    yield "Distributions", sections.distributions(dataset, entities)
    if dataset.rows("entities"):
        yield "Relations and entities", sections.frequent(summary.top_relations(dataset), entities, names)
    if dataset.rows("examples"):
        yield "Examples", sections.examples(summary.example_counts(dataset))
    inductive = {"entities": entities.inductive_split}
    inductive["triples"] = summary.split_counts(dataset, "triples", "inductive_split")
    yield "Tables and splits", sections.splits(dataset, inductive)
    yield "Samples", samples.samples(dataset, names, rows)
    rejected = picks.sample_rows(dataset, "rejects", REJECTS)
    yield "Rejects", sections.rejects(summary.reject_counts(dataset), rejected)


def _wanted(
    graphs: Sequence[Mapping], entities: summary.EntityStatistics, rows: Mapping[str, Sequence[Mapping]]
) -> tuple[set[int], set[str]]:
    """The entities whose labels the page needs: by index, by id."""
    indices = {mention["entity_index"] for row in graphs for mention in row["mentions"]}
    indices |= {triple["tail_index"] for row in graphs for triple in row["triples"]}
    indices |= {row["entity_index"] for row in rows["anchors"]}
    ids = {id_ for id_, _ in sections.top(entities.categories)}
    ids |= {row[side] for row in rows["triples"] for side in ("head", "tail")}
    ids |= {link["entity"] for row in rows["pages"] for link in row["links"] if link["start"] < samples.EXCERPT}
    return indices, ids - {None}
