"""in = out + drops: the manifest's counts against each other and against the tables."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipelines.report.funnel import read_drops
from pipelines.scan import scan
from schemas.dataset import Dataset
from schemas.errors import DataError

TABLE_OF = {("align", "pages"): "pages", ("graph", "triples"): "triples", ("wk_graphs", "wk_graphs"): "wk_graphs"}
"""(stage, what it gives out) -> the table that holds it."""


def check_counts(dataset: Dataset) -> Iterator[str]:
    """A line for each sum that is not right; a dataset without stages (an imported one) has none to check."""
    stages, drops = (dataset.manifest.rest.get(name, {}) for name in ("stages", "drops"))
    where = dataset.folder / "manifest.json"
    try:
        _require_counts(stages, drops)
    except (TypeError, AttributeError) as error:
        yield f"{where}: stages and drops should be counts by name, found {error}"
        return
    for name, stage in stages.items():
        if "in" not in stage:
            continue
        out, dropped = sum(stage.get("out", {}).values()), sum(drops.get(name, {}).values())
        if stage["in"] != out + dropped:
            yield f"{where}, stage {name}: {stage['in']} in, but {out} out + {dropped} dropped"
    for (name, what), table in TABLE_OF.items():
        out = stages.get(name, {}).get("out", {}).get(what)
        if out is not None and out != dataset.rows(table):
            yield f"{where}, stage {name}: {out} {what} out, the table has {dataset.rows(table)} rows"
    articles = stages.get("wikipedia", {}).get("out", {}).get("articles")
    if articles is not None and "align" in stages and articles != stages["align"].get("in"):
        yield f"{where}: {articles} articles out of stage wikipedia, {stages['align'].get('in')} into align"
    yield from _check_graph(dataset, drops)


def _check_graph(dataset: Dataset, drops: dict) -> Iterator[str]:
    """What the manifest says of the splits and of --exclude-triples."""
    said: Any = dataset.manifest.rest.get("graph")
    try:
        splits = said["split"]["triples"]
        removed = said["excluded_triples"]["removed"] if "graph" in dataset.manifest.rest.get("stages", {}) else None
    except (KeyError, TypeError):
        return  # nothing is said
    if not isinstance(splits, dict):
        yield f"{dataset.folder}/manifest.json: graph.split.triples should be counts by name, found {splits!r:.80}"
        return
    for name, count in splits.items():
        if count != dataset.rows("triples", name):
            yield (
                f"{dataset.folder}/manifest.json: graph.split.triples.{name} is {count}, "
                f"the table has {dataset.rows('triples', name)} rows"
            )
    if removed is not None and removed != drops.get("graph", {}).get("excluded", 0):
        dropped = drops.get("graph", {}).get("excluded", 0)
        yield f"{dataset.folder}/manifest.json: graph.excluded_triples.removed is {removed}, drops have {dropped}"


def check_rejects(dataset: Dataset) -> Iterator[str]:
    """Each rejected record is one of the drops: as many rows of a stage and reason as the manifest counts."""
    found: Counter[tuple[str, str]] = Counter()
    for rows in scan(dataset, "rejects", ["stage", "reason"]):
        found.update(zip(rows["stage"].to_pylist(), rows["reason"].to_pylist(), strict=True))
    try:
        drops = read_drops(dataset.manifest)
    except DataError:
        return  # check_counts has said so
    for (stage, reason), count in sorted(found.items()):
        counted = drops.get(stage, {}).get(reason, 0)
        if counted != count:
            yield f"{dataset.folder}, table rejects: {count} rows {stage}/{reason}, {counted} in the manifest's drops"


def _require_counts(stages: dict, drops: dict) -> None:
    counts = [n for reasons in drops.values() for n in reasons.values()]
    for stage in stages.values():
        counts += [stage.get("in", 0), *stage.get("out", {}).values()]
    for count in counts:
        if type(count) is not int or count < 0:
            raise TypeError(f"{count!r}")
