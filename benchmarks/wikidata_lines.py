"""A line of Wikidata's dump -> record: our typed decoder beside orjson and json, interleaved in one run, CPU time.

    python benchmarks/wikidata_lines.py [DUMP.json.gz ...]      (the extra `bench` brings orjson)

All give the same record: number, label, aliases, description, article, the best rank's statements between items, and
the same counts of what was dropped; the run stops where they differ. Prints MB of JSON per CPU second (best of the
rounds) and ratios; without a dump it reads examples/.
"""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.timing import best_cpu_seconds
from pipelines.sources.lines import Line, read_lines
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikidata import MAX_LINE, EntityReader, Item, Property
from pipelines.sources.wikidata_languages import language_chain, site_name

ROUNDS = 15
LANGUAGE = "en"


def read_dump(path: Path) -> list[bytes]:
    """The dump's lines that are an item or a property; the peers' reader knows nothing else."""
    reader = EntityReader(LANGUAGE, Counter())
    lines = [line for piece in plan_ranges(str(path)) for line in read_lines(piece, MAX_LINE)]
    whole = [line.data for line in lines if isinstance(line, Line)]
    return [line for line in whole if any(isinstance(record, Item | Property) for record in reader.read(line))]


class UntypedReader:
    """The same records from documents of dicts and lists, for dumps without odd values."""

    def __init__(self, loads: Callable[[bytes], Any], drops: Counter[str]) -> None:
        self._loads, self._drops = loads, drops
        self._languages, self._site = language_chain(LANGUAGE), site_name(LANGUAGE)

    def read(self, line: bytes) -> list[Item | Property]:
        """The line's record, in a list as EntityReader gives it."""
        entity = self._loads(line.rstrip(b",\r"))
        number, claims = int(entity["id"][1:]), entity["claims"]
        texts = self._first(entity["labels"]), self._aliases(entity["aliases"]), self._first(entity["descriptions"])
        if entity["type"] == "property":
            if claims:
                self._drops["property_statement"] += sum(map(len, claims.values()))
            return [Property(number, *texts, entity["datatype"])]
        sitelinks = entity["sitelinks"]
        title = sitelinks[self._site]["title"] if self._site in sitelinks else None
        return [Item(number, *texts, title, *self._statements(claims))]

    def _first(self, texts: dict[str, Any]) -> str | None:
        for code in self._languages:
            if code in texts:
                return texts[code]["value"]
        return None

    def _aliases(self, texts: dict[str, Any]) -> list[str]:
        for code in self._languages:
            if code in texts:
                return list(dict.fromkeys([text["value"] for text in texts[code]]))
        return []

    def _statements(self, claims: dict[str, Any]) -> tuple[list[int], list[int]]:
        relations: list[int] = []
        tails: list[int] = []
        dropped: list[str] = []
        for relation, group in claims.items() if claims else ():
            best = "normal"
            for statement in group:
                if statement["rank"] == "preferred":
                    best = "preferred"
                    break
            found: dict[int, None] = {}
            for statement in group:
                if "qualifiers" in statement:
                    dropped += ["qualifier"] * sum(map(len, statement["qualifiers"].values()))
                tail = find_tail(statement, best)
                if isinstance(tail, str):
                    dropped.append(tail)
                elif tail in found:
                    dropped.append("duplicate")
                else:
                    found[tail] = None
            if found:
                relations += [int(relation[1:])] * len(found)
                tails += found
        self._drops.update(dropped)
        return relations, tails


def find_tail(statement: dict[str, Any], best: str) -> int | str:
    """The number of the item that a statement of the best rank has as its value, else the reason to drop it."""
    rank, snak = statement["rank"], statement["mainsnak"]
    if rank != best:
        return "deprecated" if rank == "deprecated" else "not_best_rank"
    if snak["snaktype"] != "value":
        return snak["snaktype"]
    data = snak["datavalue"]
    if data["type"] != "wikibase-entityid":
        return "literal"
    value = data["value"]
    if value["entity-type"] != "item":
        return "non_item_entity"
    return value["numeric-id"] if "numeric-id" in value else int(value["id"][1:])


def measure(lines: Sequence[bytes], rounds: int = ROUNDS) -> dict[str, float]:
    """CPU seconds of each tool for all lines, best of the rounds; ValueError where their records or counts differ."""
    readers: dict[str, Callable[[Counter[str]], EntityReader | UntypedReader]] = {
        "wikiloom": lambda drops: EntityReader(LANGUAGE, drops),
        "orjson": lambda drops: UntypedReader(orjson.loads, drops),
        "json": lambda drops: UntypedReader(json.loads, drops),
    }
    counts: dict[str, Counter[str]] = {name: Counter() for name in readers}
    every = [reader(counts[name]) for name, reader in readers.items()]
    for line in lines:
        ours, *theirs = (reader.read(line) for reader in every)
        if any(record != ours for record in theirs):
            raise ValueError(f"different records of {line[:80]!r}")
    if any(count != counts["wikiloom"] for count in counts.values()):
        raise ValueError(f"different counts: {counts}")
    runs = {name: functools.partial(read_all, lines, reader) for name, reader in readers.items()}
    return best_cpu_seconds(runs, rounds)


def read_all(lines: Sequence[bytes], reader: Callable[[Counter[str]], EntityReader | UntypedReader]) -> None:
    """Every line with a new reader."""
    read = reader(Counter()).read
    for line in lines:
        read(line)


def main(paths: Sequence[Path]) -> None:
    """Measure every dump."""
    for path in paths:
        lines = read_dump(path)
        megabytes = sum(map(len, lines)) / 1e6
        seconds = measure(lines)
        rates = ", ".join(f"{name} {megabytes / value:.0f} MB/s" for name, value in seconds.items())
        ratios = ", ".join(f"{seconds[name] / seconds['wikiloom']:.2f}x {name}" for name in ("orjson", "json"))
        print(f"{path.name}: {len(lines)} entities, {megabytes:.2f} MB: {rates}; {ratios}")


if __name__ == "__main__":
    examples = Path(__file__).parent.parent / "examples" / "wikidata-mini.json.gz"
    main([Path(name) for name in sys.argv[1:]] or [examples])
