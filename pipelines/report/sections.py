"""The parts of a dataset's page that count: each takes what was read and returns markup."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from pipelines.report import plots, summary
from pipelines.report.about import origin, parts, title
from pipelines.report.drawing import NARROW
from pipelines.report.funnel import Stage, by_count, draw_funnel, share
from pipelines.report.markup import Figure, Markup, bar_table, details, side_by_side, table, text, two_widths
from schemas.dataset import Dataset

HEADLINES = {
    "Pages": "pages",
    "Entities": "entities",
    "Relations": "relations",
    "Triples": "triples",
    "Word-knowledge graphs": "wk_graphs",
    "Examples": "examples",
}
SPLITS = ("train", "valid", "test")


def head(dataset: Dataset) -> str:
    """Title, one line, and the strip of numbers."""
    manifest = dataset.manifest
    rows = sum(entry.rows for entry in manifest.tables.values())
    facts = {
        **{name: f"{dataset.rows(of):,}" for name, of in HEADLINES.items() if dataset.rows(of)},
        "Rows in all": f"{rows:,}",
        "Size": megabytes(sum(shard.bytes for entry in manifest.tables.values() for shard in entry.shards)),
        "Digest": Markup(f'<code title="{text(manifest.digest)}">{text(manifest.digest[:12])}</code>'),
    }
    strip = "".join(
        f"<div><dt>{text(name)}</dt><dd>{value if isinstance(value, Markup) else text(value)}</dd></div>"
        for name, value in facts.items()
    )
    heading = f'<h1>{text(title(manifest))}</h1>\n<p class="quiet">{text(origin(manifest))}</p>\n'
    return f'{heading}<dl class="strip">{strip}</dl>\n'


def megabytes(size: int) -> str:
    """Bytes as MB."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e6:.2f} MB"


def funnel(stages: Sequence[Stage], drops: Mapping[str, Mapping[str, int]]) -> str:
    """The bars, and every reason with its count."""
    if not stages and not drops:
        return "<p>The manifest of this dataset has no counts by stage.</p>\n"
    taken = {stage.name: stage.taken for stage in stages}
    by_stage = [
        (name, spaced(reason), n, Figure(share(n, taken[name])))
        for name in taken
        for reason, n in by_count(drops.get(name, {}))
    ]
    groups = [name for name in drops if name not in taken]
    others = [(spaced(name), spaced(reason), n) for name in groups for reason, n in by_count(drops[name])]
    left = table(["stage", "reason", "rows", "share"], by_stage, "Dropped rows, of what came into the stage")
    cost = [(s.name, Figure(f"{s.cpu_seconds:,.2f}"), s.peak_memory_mb) for s in stages if s.cpu_seconds is not None]
    spent = table(["stage", "CPU seconds", "peak MB"], cost, "What each stage took") if cost else ""
    right = table(["part", "reason", "count"], others, "Parts of the rows that stayed") if others else ""
    note = "Each bar is what came into a stage, all of it; the hatched end was dropped. In = out + dropped."
    drawn = two_widths(draw_funnel(stages), draw_funnel(stages, NARROW))
    shown = f'<p class="note">{note}</p><figure>{drawn}</figure>\n' if stages else ""
    return shown + side_by_side([(left if by_stage else "") + spent, right])


def spaced(name: str) -> str:
    """A name from the data as words."""
    return name.replace("_", " ")


def distributions(dataset: Dataset, entities: summary.EntityStatistics) -> str:
    """Small plots of the tables that there are, each with its numbers beneath."""
    figures = []
    for name, heading, unit, sample in summary.samples(dataset):
        figures.append(_histogram(name, heading, unit, sample))
        if name == summary.ENTITY_TEXTS:
            figures += [_degrees(entities), _ranks(entities)]
    return f'<div class="plots">{"".join(figures)}</div>\n' if figures else ""


def _histogram(name: str, heading: str, unit: str, sample: summary.Sample) -> str:
    bins = plots.histogram(sample.values, sample.counts)
    of = f"all {sample.rows:,}" if sample.whole else f"a sample of {sample.read:,} of {sample.rows:,}"
    wider = bins and bins[-1][1] - bins[-1][0] > bins[0][1] - bins[0][0]
    last = f" The last bar reaches to {bins[-1][1]:,}." if wider else ""
    quantiles = f"Median {sample.quantile(0.5):,}, 95 % up to {sample.quantile(0.95):,}, most {sample.quantile(1):,}"
    rows = [(f"{start:,}" if start == end else f"{start:,} to {end:,}", n) for start, end, n in bins]
    drawn = plots.draw_histogram(name, heading, unit, bins)
    return _figure(heading, drawn, f"{quantiles}; {of}.{last}", table([unit, "rows"], rows))


def _degrees(entities: summary.EntityStatistics) -> str:
    degrees = {"in": entities.in_degree, "out": entities.out_degree}
    zero = ", ".join(f"{kind} {counts[0]:,}" for kind, counts in degrees.items())
    smallest = itertools.chain.from_iterable(itertools.islice(sorted(counts), 15) for counts in degrees.values())
    rows = [(value, entities.in_degree[value], entities.out_degree[value]) for value in sorted(set(smallest))]
    heading = "Degree of an entity"
    return _figure(
        heading,
        plots.draw_degrees("plot-degree", heading, degrees),
        f"Entities by their train triples, logarithmic. Without any: {zero}.",
        table(["triples", "entities, as tail (in)", "as head (out)"], rows, "The smallest degrees"),
    )


def _ranks(entities: summary.EntityStatistics) -> str:
    heading = "Frequency of an entity"
    tail = " The tail has a frequency of 0." if any(n == 0 for _, n in entities.ranks) else ""
    words = f"Mentions and degrees together, by rank, logarithmic.{tail}"
    drawn = plots.draw_ranks("plot-rank", heading, entities.ranks)
    return _figure(heading, drawn, words, table(["rank", "frequency"], entities.ranks))


def _figure(heading: str, drawn: str, words: str, numbers: str) -> str:
    caption = f"<strong>{text(heading)}.</strong> {text(words)}"
    return f"<figure>{drawn}<figcaption>{caption}</figcaption>{details('Numbers', numbers)}</figure>\n"


def frequent(
    relations: Sequence[tuple[str, str, int]], entities: summary.EntityStatistics, names: summary.Names
) -> str:
    """Top relations and categories as bars, and where entities have their text from."""
    categories = [(names.label_of.get(id_, id_), n) for id_, n in top(entities.categories)]
    shown = [(label, n) for _, label, n in relations if n]
    parts = [
        (("relation", "train triples"), shown, "Most frequent relations"),
        (("category", "entities"), categories, "Most frequent categories (instance of)"),
        (("source", "entities"), entities.text_source.most_common(), "Where the text of an entity is from"),
        (("kind", "entities"), entities.kind.most_common(), "Kind of an entity"),
    ]
    left, *right = [bar_table(*part) if part[1] else "" for part in parts]
    return side_by_side([left, "".join(right)])


def top(counts: Mapping[str, int], most: int = summary.TOP) -> list[tuple[str, int]]:
    """The most frequent, equals by name."""
    return by_count(counts)[:most]


def splits(dataset: Dataset, inductive: Mapping[str, Mapping[str, int]]) -> str:
    """Rows, shards and size by table and split; what the triples of each split are about, in both settings."""
    rows = [(*part, Figure(f"{size:,.2f}")) for *part, size in parts(dataset.manifest, dataset.table)]
    first = table(["table", "split", "rows", "files", "MB"], rows, "Tables")
    ends = [dataclasses.astuple(split) for split in summary.split_ends(dataset)]
    heads = ["split", "triples", "entities", "new", "relations", "new"]
    second = table(heads, ends, "What the triples of a split are about; new: not in train") if ends else ""
    settings = [(name, split, n) for name, counts in inductive.items() for split, n in _ordered(counts)]
    third = table(["table", "inductive split", "rows"], settings, "The inductive setting") if settings else ""
    return side_by_side([first, second + third])


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The usual splits first, in their usual order."""
    return sorted(counts.items(), key=lambda entry: (*(entry[0] != split for split in SPLITS), entry[0]))


def rejects(counts: Mapping[tuple[str, ...], int], rows: Sequence[Mapping]) -> str:
    """Counts by reason, and a few."""
    if not counts:
        return "<p>None.</p>\n"
    by_reason = [(stage, spaced(reason), n) for (stage, reason), n in sorted(counts.items())]
    some = [(row["stage"], row["key"], spaced(row["reason"]), row["detail"]) for row in rows]
    first = table(["stage", "reason", "records"], by_reason, "By reason")
    return side_by_side([first, table(["stage", "key", "reason", "detail"], some, "Some of them, chosen by hash")])


def examples(counts: Mapping[tuple[str, ...], int]) -> str:
    """How many examples each task has, by group and split."""
    groups = sorted({(task, group) for task, group, _ in counts})
    rows = [(task, group, *(counts.get((task, group, split), 0) for split in SPLITS)) for task, group in groups]
    return table(["task", "group", *SPLITS], rows, "Examples by task and split")
