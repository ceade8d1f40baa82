"""The parts of a dataset's page that show rows: graphs drawn, pages and examples with their spans marked."""

import re
from collections.abc import Iterable, Mapping, Sequence

from pipelines.report import summary
from pipelines.report.drawing import NARROW, WIDTH, draw_graph
from pipelines.report.markup import Markup, element, side_by_side, table, text, two_widths
from schemas.dataset import Dataset

EXCERPT, SHORT = 900, 240
"""Code points that are shown of a page, and of a text in a table."""
NOWHERE = {"start": 0, "end": 0}


def graphs(rows: Sequence[tuple[Mapping, Mapping | None]], names: summary.Names, relations: Mapping[int, str]) -> str:
    """Drawings of (graph, its page): the passage, under each anchor its facts, and where it is from."""
    if not rows:
        return "<p>There is no train graph to draw.</p>\n"
    note = (
        "A passage with its linked entities, and under each what the graph says about it: relation, then tail. A tail "
        "with a frame is an anchor of the same passage. Chosen by hash among train graphs of a readable size."
    )
    return f'<p class="note">{note}</p>\n{"".join(_graph(row, page, names, relations) for row, page in rows)}'


def _graph(row: Mapping, page: Mapping | None, names: summary.Names, relations: Mapping[int, str]) -> str:
    drawn = two_widths(*(draw_graph(row, names.labels, relations, width) for width in (WIDTH, NARROW)))
    place = f"<bdi>{text(clipped(page['title']))}</bdi> {wikidata(page['entity'])}, " if page else ""
    words = f"{place}code points {row['start']:,} to {row['end']:,}"
    caption = f"{words}. <code>wikiloom show DATASET --graph {row['graph_id']}</code>"
    return f'<figure><div class="graph">{drawn}</div><figcaption>{caption}</figcaption></figure>\n'


def samples(dataset: Dataset, names: summary.Names, rows: Mapping[str, Sequence[Mapping]]) -> str:
    """A few rows of each table, chosen by hash; links and mentions are highlighted at their offsets."""
    language = str(dataset.manifest.rest.get("language", "en"))
    parts = []
    for page in rows.get("pages", ()):
        heading = f"<bdi>{text(clipped(page['title']))}</bdi> {wikidata(page['entity'])}"
        parts.append(f"<h3>{heading}</h3>\n{excerpt(page, names, language)}")
    if parts:
        words = "Marked: a link with an entity. Dotted: a link without one. Both say where they lead when pointed at."
        parts.insert(0, element("p", words, class_="note"))
    parts += [_example(row, language) for row in rows.get("examples", ())]
    if rows.get("entities"):
        parts.append(_entity_rows(rows["entities"]))
    small = []
    if rows.get("triples"):
        small.append(_triple_rows(rows["triples"], names))
    if rows.get("anchors"):
        anchors = [
            (row["surface"], names.labels.get(row["entity_index"], row["entity_index"]), row["count"])
            for row in rows["anchors"]
        ]
        small.append(table(["surface", "entity", "count"], anchors, "anchors: what pages call an entity"))
    if rows.get("redirects"):
        redirects = [(row["title"], row["target"], Markup(wikidata(row["entity"]))) for row in rows["redirects"]]
        small.append(table(["title", "target", "entity"], redirects, "redirects"))
    return "\n".join(parts) + side_by_side(small)


def _triple_rows(rows: Sequence[Mapping], names: summary.Names) -> str:
    facts = [
        (
            names.label_of.get(row["head"], row["head"]),
            row["relation_label"],
            names.label_of.get(row["tail"], row["tail"]),
            row["split"],
        )
        for row in rows
    ]
    return table(["head", "relation", "tail", "split"], facts, "triples")


def _entity_rows(rows: Sequence[Mapping]) -> str:
    shown = [
        (
            Markup(f"<bdi>{text(clipped(row['label'] or row['entity']))}</bdi> {wikidata(row['entity'])}"),
            row["description"],
            Markup(_marked(row["text"][:SHORT], [row["text_mention"] or NOWHERE]) + _more(row["text"], SHORT)),
            row["text_source"],
            row["frequency"],
        )
        for row in rows
    ]
    return table(["entity", "description", "text, its own name marked", "source", "frequency"], shown, "entities")


def _example(row: Mapping, language: str) -> str:
    """One example: its text with the marked spans, and what is right about it."""
    spans = [{**span, "about": f"{span['role']} {span['entity'] or ''}".strip()} for span in row["mentions"]]
    body = f"{_marked(row['text'][:EXCERPT], spans)}{_more(row['text'], EXCERPT)}"
    second = f"<br>{text(clipped(row['text_b']))}" if row["text_b"] else ""
    right = {
        "label": row["label"],
        "labels": ", ".join(row["labels"]),
        "answers": ", ".join(row["answers"]),
        "options": ", ".join(row["options"]),
    }
    facts = "; ".join(f"{name}: {clipped(value)}" for name, value in right.items() if value)
    heading = f"{row['task']} {row['group']}, {row['split']}: {clipped(row['example_id'])}"
    box = f'<div class="excerpt" lang="{text(language)}" dir="auto">{body}{second}</div>'
    return f'<h3>{text(heading)}</h3>\n{box}<p class="note">{text(facts)}</p>\n'


def excerpt(page: Mapping, names: summary.Names, language: str) -> str:
    """The beginning of a page's text, its links marked; one with an entity says which."""
    spans = [
        {**link, "about": f"{link['target']}: {names.label_of.get(link['entity'], '')} {link['entity']}"}
        if link["entity"]
        else {**link, "about": f"{link['target']}: no entity", "unlinked": True}
        for link in page["links"]
    ]
    body = _marked(page["text"][:EXCERPT], spans)
    return f'<div class="excerpt" lang="{text(language)}" dir="auto">{body}{_more(page["text"], EXCERPT)}</div>\n'


def _marked(string: str, spans: Iterable[Mapping]) -> str:
    """The string with its spans marked; an empty one, or one inside another or past the end, is left out."""
    parts: list[str] = []
    at = 0
    for span in sorted(spans, key=lambda span: span["start"]):
        if at <= span["start"] < span["end"] <= len(string):
            kind = ' class="unlinked"' if span.get("unlinked") else ""
            about = f' title="{text(clipped(span["about"]))}"' if "about" in span else ""
            words = text(string[span["start"] : span["end"]])
            parts += [text(string[at : span["start"]]), f"<mark{kind}{about}>{words}</mark>"]
            at = span["end"]
    return "".join([*parts, text(string[at:])])


def _more(string: str, shown: int) -> str:
    return " …" if len(string) > shown else ""


def clipped(value: object) -> str:
    """As text, a giant cut."""
    string = str(value)
    return string if len(string) <= SHORT else string[:SHORT] + "…"


def wikidata(id_: object) -> str:
    """A link to the item on Wikidata; another id as it stands."""
    if re.fullmatch(r"[QP][1-9][0-9]*", str(id_)):
        kind = "Property:" if str(id_).startswith("P") else ""
        return f'<a href="https://www.wikidata.org/wiki/{kind}{id_}" rel="noreferrer">{id_}</a>'
    return "" if id_ is None else f"<code>{text(clipped(id_))}</code>"
