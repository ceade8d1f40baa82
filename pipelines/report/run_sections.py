"""The parts of a page about runs: config, learning curves, and results beside the baselines."""

import dataclasses
import itertools
import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.report import plots
from pipelines.report.markup import Figure, Markup, Number, details, side_by_side, table, text
from schemas.errors import DataError, first_line

LEADING = ("accuracy", "mrr")
"""What a system is judged by, beside the plain rules: the first that all have."""
LOWER_IS_BETTER = ("mr", "macro_mr", "loss", "perplexity")
COUNTS = ("queries", "triples", "count", "examples", "samples", "relations")
PRIVATE = ("data.folder", "init")
"""Keys of a config that only say where something lay on somebody's disk."""
ROWS = 60
"""Rows of a table of parts, at most."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One results/*.json."""

    run: str
    """The run folder's name."""
    system: str
    task: str
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Mapping[str, Any]]
    protocol: Mapping[str, Any]
    digest: str
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder, as far as a page shows it."""

    name: str
    config: Mapping[str, Any]
    """Flat: section.key -> value."""
    metrics: Sequence[Mapping[str, Any]]
    """The lines of metrics.jsonl."""
    results: Sequence[Result]


def read_run(folder: Path) -> Run:
    """Read a run folder; DataError where it is none, or where one of its files is not of the right form."""
    config, results = folder / "config.toml", sorted((folder / "results").glob("*.json"))
    if not config.is_file() and not results:
        raise DataError(f"{folder} is not a run: it has neither config.toml nor results/*.json.")
    return Run(
        folder.name, _read_config(config), _read_metrics(folder / "metrics.jsonl"), [*map(_read_result, results)]
    )


def results(runs: Sequence[Run], digest: str) -> str:
    """For each task and protocol one table a part, all systems and baselines beneath each other."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in itertools.chain.from_iterable(run.results for run in runs):
        protocol = json.dumps(result.protocol, sort_keys=True)
        groups.setdefault((result.task, result.digest, protocol), []).append(result)
    parts = []
    for (task, of, _), members in sorted(groups.items(), key=lambda group: group[0]):
        parts.append(f'<h3>{text(task)}</h3>\n<p class="note">{text(_line(members[0].protocol))}</p>\n')
        if of != digest:
            parts.append(_other_dataset(of))
        parts.append(_comparison(members))
    return "".join(parts) or "<p>No run has a result yet.</p>\n"


def run_section(run: Run, digest: str, relations: Mapping[str, str]) -> str:
    """One run: what it was told, how it learned, and the finer parts of its results.

    `relations` are labels by id, for results by relation.
    """
    told = run.config.get("data.digest")
    parts = [
        f"<h3>{text(run.name)}</h3>\n",
        f'<p class="note">{text(_told(run.config))}</p>\n' if run.config else "",
        _other_dataset(str(told)) if told and told != digest else "",
        _curves(run),
    ]
    if run.config:
        rows = [(key, str(value)) for key, value in run.config.items()]
        parts.append(details("Config", table(["key", "value"], rows)))
    for result in run.results:
        finer = {name: part for name, part in result.metrics.items() if not _is_row(part) or name == "ties"}
        if finer:
            seconds = f", {result.seconds:.1f} s" if result.seconds is not None else ""
            parts.append(details(f"{result.task}: finer parts{seconds}", _parts(finer, relations)))
    return "".join(parts)


def _comparison(members: Sequence[Result]) -> str:
    """A row per system, plain rules once each; a table per part of the metrics that all of them have."""
    times = Counter(result.system for result in members)
    systems: dict[str, Mapping[str, Any]] = {
        result.system if times[result.system] == 1 else f"{result.system} ({result.run})": result.metrics
        for result in members
    }
    rules = [name for result in members for name in result.baselines]
    for result in members:
        for name, metrics in result.baselines.items():
            systems.setdefault(name, metrics)
    parts = [name for name, part in members[0].metrics.items() if _is_row(part)]
    shared = [name for name in parts if all(_is_row(metrics.get(name)) for metrics in systems.values())]
    if not shared:
        return _parts(systems, {})
    rows = {part: {name: metrics[part] for name, metrics in systems.items()} for part in shared}
    # Where both sides are summed up in one part, the verdict is about that one.
    judged = ["both"] if "both" in shared else shared
    verdicts = [_part_table(part, rows[part]) + _verdict(rows[part], rules) for part in shared if part in judged]
    others = [_part_table(part, rows[part]) for part in shared if part not in judged]
    return "".join(verdicts) + (side_by_side(others) if others else "")


def _verdict(rows: Mapping[str, Mapping[str, Number]], rules: Sequence[str]) -> str:
    """In words: which systems are above every plain rule, and which are not."""
    metric = next((name for name in LEADING if all(name in row for row in rows.values())), None)
    learned = [name for name in rows if name not in rules]
    if metric is None or not rules or not learned:
        return ""
    bar = max(rows[rule][metric] for rule in rules)
    above = [name for name in learned if rows[name][metric] > bar]
    below = [name for name in learned if name not in above]
    said = [
        f"{words} every plain rule in {metric}: {', '.join(names)}."
        for words, names in (("Above", above), ("Not above", below))
        if names
    ]
    return f'<p class="note">{text(" ".join(said))}</p>\n'


def _part_table(part: str, rows: Mapping[str, Mapping[str, Number]]) -> str:
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows.values())))
    best = {name: _best(name, [row[name] for row in rows.values() if name in row]) for name in names}
    body = [
        [
            Markup(f'<span class="name">{text(system)}</span>'),
            *(_value(name, row.get(name), best[name] if len(rows) > 1 else None) for name in names),
        ]
        for system, row in rows.items()
    ]
    return table(["system", *names], body, part)


def _best(name: str, values: Sequence[Number]) -> Number | None:
    finite = [value for value in values if math.isfinite(value)]
    if name in COUNTS or not finite:
        return None
    return min(finite) if name in LOWER_IS_BETTER else max(finite)


def _value(name: str, value: Number | None, best: Number | None) -> Figure:
    """Ranks to one decimal, shares and losses to four, counts as they are."""
    if value is None:
        return Figure("")
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if name == "mr" else f"{value:,.4f}"
    return Figure(shown, best is not None and value == best)


def _parts(metrics: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Any nest of numbers as tables: a row per innermost part, a table per set of columns."""
    tables: dict[tuple[str, ...], list[list[object]]] = {}
    for path, row in _rows(metrics, ()):
        name = " / ".join(f"{labels[part]} ({part})" if part in labels else part for part in path)
        tables.setdefault(tuple(row), []).append([name, *(_value(key, value, None) for key, value in row.items())])
    shown = []
    for names, rows in tables.items():
        caption = f"the first {ROWS} of {len(rows)}" if len(rows) > ROWS else None
        shown.append(table(["part", *names], rows[:ROWS], caption))
    return "".join(shown)


def _rows(nest: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Number]]]:
    numbers = {str(key): value for key, value in nest.items() if _is_number(value)}
    if numbers:
        yield path or ("all",), numbers
    for key, value in nest.items():
        if isinstance(value, dict):
            yield from _rows(value, (*path, str(key)))


def _curves(run: Run) -> str:
    """A plot for each term that train or valid has, and its first and last values as a table."""
    terms: dict[str, dict[str, list[tuple[int, Number]]]] = {}
    for entry in run.metrics:
        for name, value in entry.items():
            kind, slash, term = name.partition("/")
            if slash and kind in ("train", "valid") and _is_number(value) and math.isfinite(value):
                terms.setdefault(term, {}).setdefault(kind, []).append((int(entry["step"]), float(value)))
    # Terms that are also measured on held-out data come first: they are what was learned.
    order = sorted(terms, key=lambda term: ("valid" not in terms[term], term))
    figures, rows = [], []
    for term in order:
        name = f"curve-{plots.identifier(run.name)}-{plots.identifier(term)}"
        drawn = plots.draw_curves(name, f"{term} of {run.name}", dict(sorted(terms[term].items())))
        figures.append(f"<figure>{drawn}<figcaption><strong>{text(term)}</strong></figcaption></figure>")
        for kind, points in sorted(terms[term].items()):
            lowest = min(points, key=lambda point: point[1])
            rows.append((term, kind, points[0][0], points[0][1], points[-1][0], points[-1][1], lowest[1], lowest[0]))
    if not figures:
        return ""
    heads = ["term", "split", "first step", "value", "last step", "value", "lowest", "at step"]
    return f'<div class="plots">{"".join(figures)}</div>\n{details("Numbers", table(heads, rows))}'


def _told(config: Mapping[str, Any]) -> str:
    about = str(config.get("about", "")).rstrip(".")
    shown = ", ".join(f"{name} {config[key]}" for key, name in TOLD.items() if key in config)
    return ". ".join(part[:1].upper() + part[1:] for part in (about, shown) if part) + "."


TOLD = {
    "recipe": "recipe",
    "baseline": "baseline",
    "encoder.name": "encoder",
    "encoder.layers": "layers",
    "encoder.hidden_size": "width",
    "train.steps": "steps",
    "train.batch_size": "batch",
    "optim.lr": "learning rate",
    "seed": "seed",
    "settings.dim": "width",
    "settings.epochs": "epochs",
    "settings.lr": "learning rate",
}


def _line(protocol: Mapping[str, Any]) -> str:
    words = [
        f"{path[0].replace('_', ' ') + ' ' if path != ('all',) else ''}{key} {value}"
        for path, key, value in _leaves(protocol, ())
    ]
    return "Protocol: " + "; ".join(words) + "." if words else "The result has no protocol."


def _leaves(nest: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for key, value in nest.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, str(key)))
        else:
            words = " + ".join(map(str, value)) if isinstance(value, list) else str(value)
            words = {"True": "yes", "False": "no"}.get(words, words)
            yield path or ("all",), str(key).replace("_", " "), words


def _other_dataset(digest: str) -> str:
    return f'<p class="warning">This is about another dataset, digest <code>{text(digest[:12])}</code>.</p>\n'


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_row(part: object) -> bool:
    return isinstance(part, dict) and bool(part) and all(map(_is_number, part.values()))


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {first_line(error)}") from error
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value})
    return {key: value for key, value in flat.items() if key not in PRIVATE}


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines that are whole; a killed run may have left a part of its last."""
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            entries.append(entry)
    return entries


def _read_result(path: Path) -> Result:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        seconds = document.get("seconds")
        return Result(
            run=path.parent.parent.name,
            system=str(document.get("system", path.parent.parent.name)),
            task=str(document["task"]),
            metrics=dict(document["metrics"]),
            baselines={str(name): dict(part) for name, part in document.get("baselines", {}).items()},
            protocol=dict(document.get("protocol", {})),
            digest=str(document["digest"]),
            seconds=float(seconds) if _is_number(seconds) else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise DataError(f"{path} is not a result of wikiloom evaluate ({type(error).__name__}: {error}).") from error
