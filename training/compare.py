"""`wikiloom compare`: the runs that differ in nothing but their seed as one row, with mean and standard deviation."""

import dataclasses
import json
import math
import statistics
import sys
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.errors import DataError, UsageError, first_line, printable
from training.config_file import FREE, read_config
from training.metrics import read_metrics, table

NO_DIFFERENCE = {*FREE, "seed", "settings.seed"}
"""Keys of a run's config.toml that make no other group."""
LOSSES = ("loss", "valid")
"""The task and split that the last valid losses of metrics.jsonl count as."""
NAMED = 3
"""Differences of two protocols that a message names."""
NONE = "none"
"""What a message says where a protocol lacks a key."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A file of RUN/results, or the last valid losses of RUN/metrics.jsonl."""

    task: str
    digest: str
    metrics: dict[str, Any]
    protocol: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says."""

    folder: Path
    name: str
    """The recipe's or the baseline's."""
    seed: int | None
    """None for a plain rule, which has none."""
    settings: dict[str, Any]
    """config.toml by dotted keys, without those of NO_DIFFERENCE."""
    trained: bool
    """By a recipe, so that there are losses."""
    results: dict[tuple[str, str], Result]
    """By task and split."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """A metric over the runs that have it; `sd` is the sample standard deviation, None for a single run."""

    mean: float
    sd: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Row:
    """The runs of a group that have a result; their metrics are nested as in the results."""

    group: str
    runs: list[Run]
    metrics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A task on a split, under one protocol on one dataset; a row for each group."""

    task: str
    split: str
    digest: str
    protocol: dict[str, Any]
    rows: list[Row]


def compare(folders: Sequence[Path]) -> tuple[list[Table], list[str]]:
    """The tables of these runs, trained ones and baselines, and lines about what is missing.

    Raises DataError for a folder that is no run, a damaged file, runs without any result or loss, and for results of
    one task and split that differ in protocol or dataset; UsageError for a run that is given twice.
    """
    runs = [_read_run(folder) for folder in folders]
    keys = sorted({key for run in runs for key in run.results}, key=lambda key: (key == LOSSES, key))
    notes = []
    if keys in ([], [LOSSES]):
        notes.append("none of the runs has results: make them with wikiloom evaluate RUN --task TASK")
    if not keys:
        raise DataError(f"{notes[0]}. Nor has any of them a valid loss in metrics.jsonl.")
    groups, tables = _groups(runs), []
    for key in keys:
        asked = {name: members for name, members in groups.items() if key != LOSSES or members[0].trained}
        having = [run for members in asked.values() for run in members if key in run.results]
        _require_alike(key, having)
        missing = [str(run.folder) for members in asked.values() for run in members if key not in run.results]
        if missing:
            notes.append(f"no {key[0]}, {key[1]}: {', '.join(missing)}")
        rows = [_row(name, members, key) for name, members in asked.items()]
        first = having[0].results[key]
        tables.append(Table(*key, first.digest, first.protocol, rows))
    return tables, notes


def _read_run(folder: Path) -> Run:
    config, trained = _read_settings(folder)
    name = str(config["recipe" if trained else "baseline"])
    seed = config.get("seed" if trained else "settings.seed")
    results: dict[tuple[str, str], Result] = {}
    for path in sorted((folder / "results").glob("*.json")):
        result = _read_result(path)
        split, setting, told = (str(result.protocol.get(name, "")) for name in ("split", "setting", "variant"))
        split = ", ".join(part for part in (split, setting, told) if part not in ("", "transductive"))
        # What a run is fine-tuned for has datasets of its own, of which there may be several.
        of = f" of {result.digest[:8]}" if result.protocol.get("fine_tuned") else ""
        key = (result.task, split + of)
        if key in results:
            raise DataError(f"{folder}/results has two results of {', '.join(key)}. Remove one of them.")
        results[key] = result
    if trained and (losses := _last_losses(folder)):
        results[LOSSES] = Result(LOSSES[0], str(config["data.digest"]), losses, {})
    settings = {key: value for key, value in config.items() if key not in NO_DIFFERENCE}
    return Run(folder, name, seed, settings, trained, results)


def _read_settings(folder: Path) -> tuple[dict[str, Any], bool]:
    """config.toml by dotted keys, and whether a recipe's run wrote it (else a baseline's)."""
    path = folder / "config.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    if "baseline" in document:
        return _flat(document), False
    return _flat(dataclasses.asdict(read_config(folder))), True


def _read_result(path: Path) -> Result:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
        return TypeAdapter(Result).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error)
    raise DataError(f"{path} is no result of wikiloom evaluate ({reason}). Remove it, or evaluate the run again.")


def _last_losses(folder: Path) -> dict[str, Any]:
    """The step of the last valid losses, and these; empty where there are none."""
    losses = [line for line in read_metrics(folder) if any(name.startswith("valid/") for name in line)]
    return {name: v for name, v in losses[-1].items() if name == "step" or name.startswith("valid/")} if losses else {}


def _groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by the name of their group: the recipe, and what differs from the recipe's other groups."""
    of_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        of_name[run.name].append(run)
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        others = of_name[run.name]
        keys = dict.fromkeys(key for other in others for key in other.settings)
        differing = [key for key in keys if any(other.settings.get(key) != run.settings.get(key) for other in others)]
        words = [f"{key}={_short(key, run.settings.get(key))}" for key in differing]
        groups[" ".join([run.name, *words])].append(run)
    for members in groups.values():
        _require_seeds(members)
    return groups


def _require_seeds(runs: Sequence[Run]) -> None:
    """UsageError where two runs have the same result twice: they say nothing about the spread."""
    seen: dict[tuple[int | None, tuple[str, str]], Run] = {}
    for run in runs:
        for key in run.results:
            before = seen.setdefault((run.seed, key), run)
            if before is not run:
                seed = "no seed" if run.seed is None else f"seed {run.seed}"
                raise UsageError(
                    f"{before.folder} and {run.folder} are the same run twice ({run.name}, {seed}). "
                    "Give one of them, or train with another seed."
                )


def _require_alike(key: tuple[str, str], runs: Sequence[Run]) -> None:
    """DataError where the results are of several datasets or protocols: it names the runs, and what differs."""
    said = [{"digest": run.results[key].digest, **_flat(run.results[key].protocol)} for run in runs]
    forms = {one["form"] for one in said if one.get("form", "auto") != "auto"}
    for one in said:
        if one.get("form") == "auto" and len(forms) == 1:
            (one["form"],) = forms  # a plain rule, which reads no text in whatever form
    other = next((i for i in range(len(runs)) if said[i] != said[0]), None)
    if other is None:
        return
    differing = [name for name in said[0] | said[other] if said[0].get(name, NONE) != said[other].get(name, NONE)]
    more = f" ({len(differing) - NAMED} more differences)" if len(differing) > NAMED else ""
    sides = []
    for one in (said[0], said[other]):
        folders = [str(run.folder) for run, its in zip(runs, said, strict=True) if its == one]
        values = ", ".join(f"{name} {_short(name, one.get(name, NONE))}" for name in differing[:NAMED])
        sides.append(f"{', '.join(folders)}: {values}")
    raise DataError(
        f"{', '.join(key)}: these results can't be compared. {'; '.join(sides)}{more}. "
        "Evaluate the runs alike, or compare them apart."
    )


def _row(group: str, members: Sequence[Run], key: tuple[str, str]) -> Row:
    runs = [run for run in members if key in run.results]
    return Row(group, runs, _spread([run.results[key].metrics for run in runs]))


def _spread(metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every number of some results, nested as they are; a Spread in the place of each."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in metrics for name in one):
        values = [one[name] for one in metrics if name in one]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers:
            found[name] = _spread_of(numbers)
        elif inner := _spread([value for value in values if isinstance(value, dict)]):
            found[name] = inner
    return found


def _spread_of(values: Sequence[int | float]) -> Spread:
    if not all(abs(value) <= sys.float_info.max for value in values):
        return Spread(math.nan, None, len(values))
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted keys; an empty object is a value."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if value and isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(key: str, value: Any) -> str:
    return str(value)[:8] if key.endswith("digest") else str(value)


def to_json(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """One document of everything; what is no number (a mean over a NaN) is null."""
    document = {
        "tables": [
            {
                "task": one.task,
                "split": one.split,
                "digest": one.digest,
                "protocol": one.protocol,
                "groups": [_group(row) for row in one.rows],
            }
            for one in tables
        ],
        "notes": list(notes),
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _group(row: Row) -> dict[str, Any]:
    runs = [{"folder": str(run.folder), "seed": run.seed} for run in row.runs]
    return {"group": row.group, "n": len(runs), "runs": runs, "metrics": _plain(row.metrics)}


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, Spread):
            mean = value.mean if math.isfinite(value.mean) else None
            plain[name] = {"mean": mean, "sd": value.sd, "n": value.n}
        else:
            plain[name] = _plain(value)
    return plain


def render(tables: Sequence[Table]) -> str:
    """The tables as text: a block for each part of the metrics (both, head, tail), a column for each metric.

    What lies deeper in the results (metrics of each relation) is in `to_json` alone.
    """
    blocks = []
    for one in tables:
        blocks.append(f"{one.task}, {one.split}, dataset {one.digest[:8]}: mean ± sample standard deviation")
        if any(_is_part(row.metrics) for row in one.rows):
            blocks.append(_block("", one.rows, [row.metrics for row in one.rows]))
        for part in dict.fromkeys(name for row in one.rows for name, value in row.metrics.items() if _is_part(value)):
            blocks.append(_block(part, one.rows, [row.metrics.get(part, {}) for row in one.rows]))
    return printable("\n\n".join(blocks))


def _block(title: str, rows: Sequence[Row], metrics: Sequence[dict[str, Any]]) -> str:
    names = dict.fromkeys(name for one in metrics for name, value in one.items() if isinstance(value, Spread))
    lines = [
        [row.group, str(len(row.runs)), *(_cell(one.get(name), len(row.runs)) for name in names)]
        for row, one in zip(rows, metrics, strict=True)
    ]
    return table([[title, "n", *names], *lines])


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inner, Spread) for inner in value.values())


def _cell(spread: Any, runs: int) -> str:
    if not isinstance(spread, Spread):
        return "-"
    digits = 3 if abs(spread.mean) < 100 else 0
    cell = f"{spread.mean:.{digits}f}" + (f" ± {spread.sd:.{digits}f}" if spread.sd is not None else "")
    return cell if spread.n == runs else f"{cell} (n {spread.n})"
