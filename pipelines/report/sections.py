"""The parts of a dataset's page: each takes what was read and returns markup."""

import itertools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipelines.config import Parameters
from pipelines.importing.config import import_command
from pipelines.report import plots, summary
from pipelines.report.drawing import draw_graph
from pipelines.report.funnel import Stage, draw_funnel, share
from pipelines.report.markup import Figure, Markup, bar_table, details, element, side_by_side, table, text
from pipelines.weaving.config import weave_command
from schemas.dataset import Dataset
from schemas.manifest import Manifest
from schemas.table import column_docs

EXCERPT = 600
"""Code points of a page shown as a sample."""
FLAGS = ("keep", "neighbors", "seed")
"""Parameters of a build that are options of their own; the others go by --set."""


def head(dataset: Dataset) -> str:
    """Title, one line, and the strip of numbers."""
    manifest = dataset.manifest
    rows = sum(entry.rows for entry in manifest.tables.values())
    facts = {
        "Digest": Markup(f'<code title="{text(manifest.digest)}">{text(manifest.digest[:12])}</code>'),
        "Rows": f"{rows:,}",
        "Size": megabytes(sum(shard.bytes for entry in manifest.tables.values() for shard in entry.shards)),
        **{title: f"{dataset.rows(name):,}" for title, name in HEADLINES.items() if name in manifest.tables},
    }
    strip = "".join(
        f"<div><dt>{text(name)}</dt><dd>{value if isinstance(value, Markup) else text(value)}</dd></div>"
        for name, value in facts.items()
    )
    heading = f'<h1>{text(title(manifest))}</h1>\n<p class="quiet">{text(origin(manifest))}</p>\n'
    return f'{heading}<dl class="strip">{strip}</dl>\n'


HEADLINES = {"Pages": "pages", "Entities": "entities", "Triples": "triples", "Word-knowledge graphs": "wk_graphs"}


def title(manifest: Manifest) -> str:
    """What the dataset is, in a few words."""
    language = manifest.rest.get("language")
    if "format" in manifest.rest:
        return f"{manifest.rest['format']} as tables"
    return "Text woven with a knowledge graph" + (f" ({language})" if language else "")


def origin(manifest: Manifest) -> str:
    """Its inputs and what made it."""
    names = [str(file.get("name")) for file in inputs(manifest)]
    made = f"Made by wikiloom {manifest.rest.get('wikiloom', '(version unknown)')}"
    return f"{made} from {', '.join(names)}." if names else f"{made}."


def inputs(manifest: Manifest) -> list[dict[str, Any]]:
    """The manifest's input files."""
    files = manifest.rest.get("inputs", [])
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def parameters(manifest: Manifest) -> dict[str, Any]:
    """The manifest's parameters."""
    found = manifest.rest.get("parameters", {})
    return found if isinstance(found, dict) else {}


def megabytes(size: int) -> str:
    """Bytes as MB."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e6:.2f} MB"


def graphs(rows: Sequence[Mapping], names: summary.Names, relations: Mapping[int, str]) -> str:
    """The drawn graphs, the first with a word on how to read it."""
    drawn = [element("div", draw_graph(row, names.labels, relations), class_="graph") for row in rows]
    if not drawn:
        return "<p>There is no train graph to draw.</p>\n"
    note = (
        "A passage with its linked entities, and under each what the graph says about it: relation, then tail. A tail "
        "with a frame is an anchor of the same passage. Chosen by hash among train graphs of a readable size."
    )
    figures = "\n".join(f"<figure>{graph}</figure>" for graph in drawn)
    return f'<p class="note">{note}</p>\n{figures}\n'


def funnel(stages: Sequence[Stage], drops: Mapping[str, Mapping[str, int]]) -> str:
    """The bars, and every reason with its count."""
    if not stages and not drops:
        return "<p>The manifest of this dataset has no counts by stage.</p>\n"
    taken = {stage.name: stage.taken for stage in stages}
    by_stage = [(name, spaced(reason), n, share(n, taken[name])) for name in taken for reason, n in _of(drops, name)]
    groups = [name for name in drops if name not in taken]
    others = [(spaced(name), spaced(reason), n) for name in groups for reason, n in _of(drops, name)]
    left = table(["stage", "reason", "rows", "of the stage"], by_stage, "Dropped rows") if by_stage else ""
    right = table(["part", "reason", "count"], others, "Parts of the rows that stayed") if others else ""
    note = "Each bar is what came into a stage, all of it; the hatched end was dropped. In = out + dropped."
    drawn = f'<p class="note">{note}</p><figure>{draw_funnel(stages)}</figure>\n' if stages else ""
    return drawn + side_by_side([left, right])


def _of(drops: Mapping[str, Mapping[str, int]], name: str) -> list[tuple[str, int]]:
    return sorted(drops.get(name, {}).items(), key=lambda entry: (-entry[1], entry[0]))


def spaced(name: str) -> str:
    """A name from the data as words."""
    return name.replace("_", " ")


def distributions(
    pages: summary.PageStatistics, graphs_: summary.GraphStatistics, entities: summary.EntityStatistics
) -> str:
    """Six small plots, each with its numbers beneath."""
    figures = [
        _histogram("plot-length", "Length of a page", "code points", pages.length),
        _histogram("plot-links", "Links of a page", "links", pages.links),
        _histogram("plot-mentions", "Mentions of a graph", "mentions", graphs_.mentions),
        _histogram("plot-triples", "Triples of a graph", "triples", graphs_.triples),
        _degrees(entities),
        _ranks(entities),
    ]
    return f'<div class="plots">{"".join(figures)}</div>\n'


def _histogram(name: str, heading: str, unit: str, sample: summary.Sample) -> str:
    bins = plots.histogram(sample.values, sample.counts)
    of = "all" if sample.whole else f"{sample.read:,} sampled of"
    last = (
        f" The last bar reaches to {bins[-1][1]:,}."
        if bins and bins[-1][1] - bins[-1][0] > bins[0][1] - bins[0][0]
        else ""
    )
    quantiles = f"Median {sample.quantile(0.5):,}, 95 % up to {sample.quantile(0.95):,}, most {sample.quantile(1):,}"
    rows = [(f"{start:,}" if start == end else f"{start:,} to {end:,}", n) for start, end, n in bins]
    drawn = plots.draw_histogram(name, heading, unit, bins)
    return _figure(heading, drawn, f"{quantiles}; {of} {sample.rows:,}.{last}", table([unit, "rows"], rows))


def _degrees(entities: summary.EntityStatistics) -> str:
    degrees = {"in": entities.in_degree, "out": entities.out_degree}
    zero = ", ".join(f"{kind} {counts[0]:,}" for kind, counts in degrees.items())
    values = sorted(
        {*itertools.islice(sorted(entities.in_degree), 15), *itertools.islice(sorted(entities.out_degree), 15)}
    )
    rows = [(value, entities.in_degree[value], entities.out_degree[value]) for value in values]
    heading = "Degree of an entity"
    drawn = plots.draw_degrees("plot-degree", heading, degrees)
    return _figure(
        heading,
        drawn,
        f"Entities by their train triples, logarithmic. Without any: {zero}.",
        table(["triples", "entities, as tail (in)", "as head (out)"], rows, "The smallest degrees"),
    )


def _ranks(entities: summary.EntityStatistics) -> str:
    heading = "Frequency of an entity"
    never = sum(1 for _, n in entities.ranks if n == 0)
    words = "Mentions and degrees together, by rank, logarithmic." + (
        " The tail has a frequency of 0." if never else ""
    )
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
    sources = bar_table(("source", "entities"), entities.text_source.most_common(), "Text of an entity")
    kinds = bar_table(("kind", "entities"), entities.kind.most_common(), "Kind of an entity")
    left = bar_table(("relation", "train triples"), shown, "Most frequent relations")
    right = bar_table(("category", "entities"), categories, "Most frequent categories (instance of)")
    return side_by_side([left, right + sources + kinds])


def top(counts: Mapping[str, int], most: int = summary.TOP) -> list[tuple[str, int]]:
    """The most frequent, equals by name."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]


def splits(dataset: Dataset, inductive: Mapping[str, Mapping[str, int]]) -> str:
    """Rows, shards and size by table and split, then the inductive setting."""
    rows: list[Sequence[object]] = []
    for name, entry in dataset.manifest.tables.items():
        for part in dataset.table(name).parts:
            shards = entry.split(part)
            if shards:
                count, size = sum(shard.rows for shard in shards), sum(shard.bytes for shard in shards)
                split = part if dataset.table(name).splits else ""
                rows.append((name, split, count, len(shards), Figure(f"{size / 1e6:,.2f}")))
    settings = [(name, split, n) for name, counts in inductive.items() for split, n in counts.items()]
    second = table(["table", "inductive split", "rows"], settings, "The inductive setting") if settings else ""
    first = table(["table", "split", "rows", "files", "MB"], rows, "Tables")
    return side_by_side([first, second])


def samples(dataset: Dataset, names: summary.Names, rows: Mapping[str, Sequence[Mapping]]) -> str:
    """A few rows of each table, chosen by hash; links and mentions are highlighted at their offsets."""
    parts = []
    language = str(dataset.manifest.rest.get("language", "en"))
    for page in rows.get("pages", ()):
        parts.append(f"<h3>{text(page['title'])} {wikidata(page['entity'])}</h3>\n{excerpt(page, names, language)}")
    if rows.get("entities"):
        parts.append(_entity_rows(rows["entities"]))
    small = []
    if rows.get("triples"):
        small.append(_triple_rows(rows["triples"], names))
    for name in ("anchors", "redirects", "examples"):
        if rows.get(name):
            heads = list(rows[name][0])
            small.append(table(heads, ([_plain(key, row[key]) for key in heads] for row in rows[name]), name))
    return "\n".join(parts) + side_by_side(small)


def _triple_rows(rows: Sequence[Mapping], names: summary.Names) -> str:
    facts = [
        (*(names.label_of.get(row[key], row[key]) for key in ("head", "tail")), row["relation_label"], row["split"])
        for row in rows
    ]
    return table(["head", "relation", "tail", "split"], [(h, r, t, split) for h, t, r, split in facts], "triples")


NOWHERE = {"start": 0, "end": 0}


def _entity_rows(rows: Sequence[Mapping]) -> str:
    shown = [
        (
            Markup(f"{text(row['label'] or row['entity'])} {wikidata(row['entity'])}"),
            row["description"],
            Markup(_marked(row["text"][:240], [row["text_mention"] or NOWHERE]) + _more(row["text"], 240)),
            row["text_source"],
            row["frequency"],
        )
        for row in rows
    ]
    return table(["entity", "description", "text, its own name marked", "source", "frequency"], shown, "entities")


def excerpt(page: Mapping, names: summary.Names, language: str) -> str:
    """The beginning of a page's text, its links marked; one with an entity says which."""
    spans = [
        {**link, "about": f"{link['target']}: {names.label_of.get(link['entity'], '')} {link['entity']}"}
        if link["entity"]
        else {**link, "about": f"{link['target']}: no entity", "unlinked": True}
        for link in page["links"]
    ]
    body = _marked(page["text"][:EXCERPT], spans)
    return f'<div class="excerpt" lang="{text(language)}">{body}{_more(page["text"], EXCERPT)}</div>\n'


def _marked(string: str, spans: Iterable[Mapping]) -> str:
    """The string with its spans marked; an empty one, or one inside another or past the end, is left out."""
    parts: list[str] = []
    at = 0
    for span in sorted(spans, key=lambda span: span["start"]):
        if at <= span["start"] < span["end"] <= len(string):
            kind = ' class="unlinked"' if span.get("unlinked") else ""
            about = f' title="{text(span["about"])}"' if "about" in span else ""
            parts += [
                text(string[at : span["start"]]),
                f"<mark{kind}{about}>{text(string[span['start'] : span['end']])}</mark>",
            ]
            at = span["end"]
    return "".join([*parts, text(string[at:])])


def _more(string: str, shown: int) -> str:
    return " …" if len(string) > shown else ""


def wikidata(id_: object) -> str:
    """A link to the item on Wikidata; another id as it stands."""
    if re.fullmatch(r"[QP][1-9][0-9]*", str(id_)):
        kind = "Property:" if str(id_).startswith("P") else ""
        return f'<a href="https://www.wikidata.org/wiki/{kind}{id_}" rel="noreferrer">{id_}</a>'
    return "" if id_ is None else f"<code>{text(id_)}</code>"


def _plain(key: str, value: object) -> object:
    """Counts stay numbers; an id or an index is not one."""
    return value if value is None or key == "count" else str(value)[:200]


def rejects(counts: Mapping[tuple[str, str], int], rows: Sequence[Mapping]) -> str:
    """Counts by reason, and a few."""
    if not counts:
        return "<p>None.</p>\n"
    by_reason = [(stage, spaced(reason), n) for (stage, reason), n in sorted(counts.items())]
    some = [(row["stage"], row["key"], spaced(row["reason"]), row["detail"][:200]) for row in rows]
    return table(["stage", "reason", "records"], by_reason) + table(["stage", "key", "reason", "detail"], some, "Some")


def columns(dataset: Dataset) -> str:
    """Name, type and doc of every column, as the files' footers have them."""
    parts = []
    for name in dataset.manifest.tables:
        definition = dataset.table(name)
        types = {field.name: field for field in definition.columns}
        rows = [
            (
                Markup(f"<code>{text(path)}</code>"),
                _type(types[path]) if path in types else "",
                doc,
            )
            for path, doc in column_docs(definition.columns)
        ]
        content = f"<p>{text(definition.doc)}</p>{table(['column', 'type', 'what it is'], rows)}"
        parts.append(details(f"{name}, version {definition.version}", content))
    return "".join(parts)


def _type(field: Any) -> str:
    kind = re.sub(r"(struct|list)<.*", r"\1", str(field.type))
    inner = "list of struct" if kind == "list" and "struct" in str(field.type) else kind
    inner = f"list of {field.type.value_type}" if inner == "list" else inner
    return inner + (", may be null" if field.nullable else "")


def commands(dataset: Dataset) -> str:
    """The build's command, and queries for readers that never import this project."""
    manifest, told = dataset.manifest, parameters(dataset.manifest)
    present = {name for name, entry in manifest.tables.items() if entry.rows}
    command = weave_command(inputs(manifest), told) or build_command(manifest)
    command = import_command(told, inputs(manifest)) if "format" in manifest.rest else command
    known = [element("h3", "Make it again") + element("pre", text(command))] if inputs(manifest) else []
    queries = [(name, query) for name, needed, query in QUERIES if needed <= present]
    notes = "Run in the dataset's folder. Offsets count Unicode code points, half-open; SQL's substr counts from one."
    shown = "".join(f"{element('h3', text(name))}{element('pre', text(query))}" for name, query in queries)
    return "".join(known) + f'<p class="note">{notes}</p>{shown}'


def build_command(manifest: Manifest) -> str:
    """The command line that makes this dataset, with the inputs by name."""
    words = ["wikiloom build"]
    for role in ("wikipedia", "wikidata"):
        names = [
            shlex.quote(PurePosixPath(str(file.get("name"))).name)
            for file in inputs(manifest)
            if file.get("role") == role
        ]
        words += [f"--{role} {' '.join(names)}"] if names else []
    words += ["--out DATASET", f"--language {shlex.quote(str(manifest.rest.get('language', 'en')))}"]
    for key, value in parameters(manifest).items():
        if key in FLAGS:
            words.append(f"--{key} {shlex.quote(str(value))}")
        elif value != getattr(Parameters, key, None):
            words.append(f"--set {shlex.quote(f'{key}={value}')}")
    lists = [file.get("name") for file in inputs(manifest) if file.get("role") == "list"]
    note = (
        f"\n# and the lists {', '.join(map(str, lists))} (--redirects, --page-props, --exclude-triples, --templates)"
        if lists
        else ""
    )
    return " \\\n  ".join(words) + note


QUERIES: list[tuple[str, set[str], str]] = [
    (
        "DuckDB: links with their text",
        {"pages"},
        'select title, link.target, link.entity, substr(text, link.start + 1, link."end" - link.start) as words\n'
        "from (select title, text, unnest(links) as link from 'pages/*.parquet') limit 5;",
    ),
    (
        "DuckDB: facts by their labels",
        {"triples", "entities", "relations"},
        "select h.label as head, r.label as relation, t.label as tail from 'triples/train-*.parquet' x\n"
        "join 'entities/*.parquet' h on x.head_index = h.entity_index\n"
        "join 'relations/*.parquet' r on x.relation_index = r.relation_index\n"
        "join 'entities/*.parquet' t on x.tail_index = t.entity_index limit 5;",
    ),
    (
        "Polars: the most frequent entities",
        {"entities"},
        "import polars as pl\n"
        'pl.scan_parquet("entities/*.parquet").select("entity", "label", "frequency").head(10).collect()',
    ),
    (
        "datasets: word-knowledge graphs, streamed",
        {"wk_graphs"},
        'from datasets import load_dataset\nnext(iter(load_dataset(".", "wk_graphs", split="train", streaming=True)))',
    ),
]
"""(what it shows, tables that must have rows, the text)."""
