"""wikiloom explain: why an item or a title is in a dataset or not, and where. It says what the dataset itself tells;
the dumps are not there to be asked."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import elements, numbers, values
from pipelines.report.about import parameters
from pipelines.report.funnel import read_drops
from pipelines.scan import groups, read_group, scan
from pipelines.transforms.words import count_words
from pipelines.wikitext import Site
from schemas.dataset import Dataset

ITEM = re.compile(r"[QqPp][0-9]+")
SHOWN = 5
MAX_REDIRECTS = 16
"""Redirects that are followed one after the other; each is a look through the table."""
ENTITY_COLUMNS = (
    "entity",
    "entity_index",
    "label",
    "description",
    "page_id",
    "page_title",
    "text_source",
    "mention_count",
    "in_degree",
    "out_degree",
    "frequency",
    "graph_count",
    "inductive_split",
)
KEEP = {
    "paper": "an item is kept if its article is here and has a lead of at least {words} words (--keep paper)",
    "linked": "an item is kept if its article is here or a link of a page here reaches it (--keep linked)",
    "all": "every item of the Wikidata dump is kept (--keep all)",
}


def explain(folder: Path, asked: str) -> dict[str, Any]:
    """What the dataset knows of an item, a relation, or a title; `found` says whether it knows anything."""
    dataset = Dataset(folder)
    name = asked.strip()
    site = Site.from_siteinfo(None, str(dataset.manifest.rest.get("language", "en")))
    document: dict[str, Any] = {"asked": asked, "rejects": _rows(dataset, "rejects", "key", [name], None)}
    if ITEM.fullmatch(name):
        name = name.upper()
        document |= _entity(dataset, name) | {"relation": _first(_rows(dataset, "relations", "relation", [name], None))}
    if not document.get("entity") and not document.get("relation"):
        titles = list(dict.fromkeys(title for title in (site.normalize_title(name), name) if title))
        document |= _title(dataset, titles)
    document["found"] = any(
        document.get(key) for key in ("entity", "relation", "pages", "redirects", "links", "rejects")
    )
    document["why"] = list(_why(dataset, document))
    if not document["found"]:
        document["nearest"] = nearest_names(dataset, name)
    return document


def _entity(dataset: Dataset, name: str) -> dict[str, Any]:
    """All that is said of an entity; its parts are absent where there is no such entity."""
    row = _first(_rows(dataset, "entities", "entity", [name], ENTITY_COLUMNS))
    if row is None:
        return {"entity": None}
    pages = _rows(dataset, "pages", "entity", [name], ("page_id", "title", "entity", "split"))
    redirects = _rows(dataset, "redirects", "entity", [name], ("title", "target"))
    anchors = _rows(dataset, "anchors", "entity_index", [row["entity_index"]], ("surface", "count"))
    anchors.sort(key=lambda anchor: -anchor["count"])
    return {
        "entity": row,
        "pages": pages,
        "redirects_to_it": [redirect["title"] for redirect in redirects],
        "anchors": {anchor["surface"]: anchor["count"] for anchor in anchors},
        "triples": _triples(dataset, row["entity_index"]),
        "graphs": _graphs(dataset, row["entity_index"]),
        "links_to_it": _links(dataset, "entity", [name]),
    }


def _title(dataset: Dataset, titles: list[str]) -> dict[str, Any]:
    """A page, a redirect, or only a link's target; then its entity."""
    columns = ("page_id", "title", "entity", "split", "text", "lead_end")
    pages = _rows(dataset, "pages", "title", titles, columns)
    for page in pages:
        page["lead_words"] = count_words(page.pop("text")[: page.pop("lead_end")])
    redirects, links = _follow(dataset, titles), _links(dataset, "target", titles)
    reached = links["entities"] if links else {}
    entity = next((row["entity"] for row in [*pages, *redirects] if row["entity"]), next(iter(reached), None))
    by_label = (
        [] if pages or redirects else _rows(dataset, "entities", "label", titles, ("entity", "label", "description"))
    )
    if entity is None and len(by_label) == 1:
        entity = by_label[0]["entity"]
    of_entity = _entity(dataset, entity) if entity else {"entity": None}
    named = {"title": titles[0] if titles else "", "redirects": redirects, "links": links}
    return {**of_entity, **named, "pages": pages or of_entity.get("pages", []), "entities_with_that_label": by_label}


def _follow(dataset: Dataset, titles: Sequence[str]) -> list[dict[str, Any]]:
    """The redirects from one of the titles on, one after the other."""
    chain: list[dict[str, Any]] = []
    while len(chain) < MAX_REDIRECTS and (row := _first(_rows(dataset, "redirects", "title", titles, None))):
        if row["title"] in [seen["title"] for seen in chain]:
            break
        chain.append(row)
        titles = [row["target"]]
    return chain


def _triples(dataset: Dataset, index: int) -> dict[str, dict[str, int]]:
    """Split -> how many of its triples have the entity as head, and as tail."""
    found: dict[str, dict[str, int]] = {}
    for split in dataset.table("triples").splits:
        for rows in scan(dataset, "triples", ["head_index", "tail_index"], split=split):
            counts = found.setdefault(split, {"head": 0, "tail": 0})
            for end in counts:
                counts[end] += int((numbers(rows, f"{end}_index") == index).sum())
    return {split: counts for split, counts in found.items() if any(counts.values())}


def _graphs(dataset: Dataset, index: int) -> dict[str, dict[str, int]]:
    """Split -> how many of its graphs mention the entity, and have it as a tail."""
    found: dict[str, dict[str, int]] = {}
    columns = ["mentions.list.element.entity_index", "triples.list.element.tail_index"]
    for split in dataset.table("wk_graphs").splits:
        counts = {"mention": 0, "tail": 0}
        for rows in scan(dataset, "wk_graphs", columns, split=split):
            for what, table, field in (("mention", "mentions", "entity_index"), ("tail", "triples", "tail_index")):
                inside = elements(rows, table)
                counts[what] += len(np.unique(inside.rows[inside.numbers(field) == index]))
        if any(counts.values()):
            found[split] = counts
    return found


def _links(dataset: Dataset, field: str, wanted: Sequence[str]) -> dict[str, Any] | None:
    """How many links of pages here name the title or reach the entity, from how many pages; None for no link."""
    counts = {"links": 0, "pages": 0}
    entities: Counter[str | None] = Counter()
    for rows in scan(dataset, "pages", [f"links.list.element.{field}", "links.list.element.entity"]):
        links = elements(rows, "links")
        own = pc.is_in(links.fields[field], pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
        counts["links"] += int(own.sum())
        counts["pages"] += len(np.unique(links.rows[own]))
        entities.update(links.fields["entity"].filter(pa.array(own)).to_pylist())
    without = entities.pop(None, 0)
    return {**counts, "without_entity": without, "entities": dict(entities.most_common())} if counts["links"] else None


def _why(dataset: Dataset, document: dict[str, Any]) -> Iterator[str]:
    """The rule that decided, as far as the dataset can tell."""
    keep, words = (parameters(dataset.manifest).get(name) for name in ("keep", "min_lead_words"))
    rule = KEEP.get(str(keep), "").format(words=words) + _thresholds(dataset)
    entity, pages = document.get("entity"), document.get("pages", [])
    if document.get("relation"):
        return
    if entity:
        links = document.get("links_to_it")
        reasons = ["its article is here"] * (entity["page_id"] is not None) + ["links reach it"] * bool(links)
        yield f"kept: {' and '.join(reasons) or 'neither article nor link here'}" + (f"; {rule}" if rule else "")
    elif pages:
        yield "a page without entity: no item of the Wikidata dump names its title, or the item was not kept"
        if keep == "paper" and isinstance(words, int) and pages[0].get("lead_words", words) < words:
            yield f"its lead has {pages[0]['lead_words']} words; {rule}"
    elif document.get("redirects"):
        yield "a redirect that ends at no entity: its last target has no item, or one that was not kept"
    else:
        what = "item" if ITEM.fullmatch(document["asked"].strip()) else "page, redirect or entity"
        yield f"not here: no {what} of that name" + (f"; {rule}" if rule and what == "item" else "")
        yield from _dropped(dataset, what)
    for reject in document["rejects"]:
        yield f"rejected in stage {reject['stage']}: {reject['reason']} ({reject['detail']})"


def _thresholds(dataset: Dataset) -> str:
    """JAKET's filter, where the build had one."""
    least = {name: parameters(dataset.manifest).get(f"min_{name}") for name in ("neighbors", "mentions")}
    asked = [f"{n} {name}" for name, n in least.items() if n]
    return f" and has at least {' or '.join(asked)}" if asked else ""


def _dropped(dataset: Dataset, what: str) -> Iterator[str]:
    drops = read_drops(dataset.manifest)
    stages = ("items", "wikidata") if what == "item" else ("wikipedia", "align")
    counts = [f"{stage}/{reason} {n:,}" for stage in stages for reason, n in drops.get(stage, {}).items()]
    if counts:
        yield f"the build dropped, without their names: {', '.join(counts)}"
    yield "the dataset does not hold the dump: it can't tell a name that was dropped from one that was never there"


def nearest_names(dataset: Dataset, name: str, most: int = SHOWN) -> list[str]:
    """Titles, redirects and labels that look like a name, of those with the same first letter; the nearest first."""
    wanted, found = name.casefold(), set()
    for table, column in (("pages", "title"), ("redirects", "title"), ("entities", "label")):
        for rows in scan(dataset, table, [column]):
            texts = values(rows, column).drop_null()
            near = pc.and_(
                pc.starts_with(texts, wanted[:1], ignore_case=True),
                pc.less_equal(pc.abs(pc.subtract(pc.utf8_length(texts), len(name))), max(2, len(name) // 3)),
            )
            candidates = texts.filter(near).to_pylist()
            found.update(difflib.get_close_matches(name, candidates, n=most, cutoff=0.6))
    return difflib.get_close_matches(name, sorted(found), n=most, cutoff=0.6)


def _rows(
    dataset: Dataset, table: str, column: str, wanted: Sequence[Any], columns: Sequence[str] | None
) -> list[dict[str, Any]]:
    """The rows whose `column` is one of `wanted`, with their places; all columns for None."""
    names = list(columns or dataset.table(table).schema.names)
    found, last, start = [], None, 0
    for path, group, size in groups(dataset, table):
        start, last = (start if path == last else 0), path
        array = values(read_group(path, group, [column]), column)
        places = np.flatnonzero(pc.is_in(array, pa.array(wanted, array.type)).to_numpy(zero_copy_only=False))
        if len(places):  # only then are the other columns read
            for place, row in zip(
                places.tolist(), read_group(path, group, names).take(places).to_pylist(), strict=True
            ):
                found.append({**row, "shard": str(path.relative_to(dataset.folder)), "row": start + place})
        start += size
    return found


def _first(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return rows[0] if rows else None


def lines(document: dict[str, Any]) -> Iterator[str]:
    """The document as lines for a reader."""
    entity, relation = document.get("entity"), document.get("relation")
    head = entity or relation
    if head:
        name = head.get("entity") or head.get("relation")
        yield " - ".join(part for part in (name, head["label"], head["description"]) if part)
        yield f"  row {head['row']} of {head['shard']}"
    else:
        yield document["asked"]
    yield from (f"  {reason}" for reason in document["why"])
    for redirect in document.get("redirects", []):
        ends = f"{redirect['title']!r} -> {redirect['target']!r}"
        yield f"  redirect {ends}: row {redirect['row']} of {redirect['shard']}"
    for page in document.get("pages", []):
        yield f"  page {page['page_id']} {page['title']!r}, split {page['split']}: row {page['row']} of {page['shard']}"
    if entity:
        yield from _entity_lines(document, entity)
    if relation:
        yield f"  frequency {relation['frequency']:,} train triples; {relation['graph_count']:,} times in train graphs"
    if document.get("links"):
        links = document["links"]
        counts = f"{links['links']:,}, from pages: {links['pages']:,}, without an entity: {links['without_entity']:,}"
        yield f"  links that name this title: {counts}"
    same = document.get("entities_with_that_label", [])
    if len(same) > 1:
        yield f"  {len(same)} entities have this label: {', '.join(row['entity'] for row in same[:SHOWN])}"
    if document.get("nearest"):
        yield f"  did you mean: {'; '.join(document['nearest'])}"


def _entity_lines(document: dict[str, Any], entity: dict[str, Any]) -> Iterator[str]:
    yield f"  text from {entity['text_source']}; inductive side {entity['inductive_split']}"
    yield (
        f"  frequency {entity['frequency']:,} = {entity['mention_count']:,} links of train pages + "
        f"{entity['in_degree']:,} train triples as tail + {entity['out_degree']:,} as head; "
        f"in {entity['graph_count']:,} train graphs"
    )
    for split, ends in document["triples"].items():
        yield f"  triples {split}: {ends['head']:,} as head, {ends['tail']:,} as tail"
    for split, counts in document["graphs"].items():
        yield f"  graphs {split}: mentioned in {counts['mention']:,}, a tail in {counts['tail']:,}"
    if document["anchors"]:
        most = list(document["anchors"].items())[:SHOWN]
        yield f"  links to it read: {', '.join(f'{surface} ({count:,})' for surface, count in most)}"
    if document["redirects_to_it"]:
        titles = document["redirects_to_it"]
        yield f"  redirects to it: {len(titles):,} ({', '.join(titles[:SHOWN])})"
