"""Wikidata's reader under changes of any node of real records."""

import functools
import itertools
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.sources import Reject
from pipelines.sources.lines import Line, read_lines
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikidata import MAX_LINE, EntityReader, Item, Property, read_entities
from tests.conftest import ROOT
from tests.end_to_end.reliability.mutations import draws, mutated, tolerant
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome
from tests.pipelines.sources.slow_wikidata import count_qualifiers, count_statements, read_slowly
from tests.pipelines.sources.test_wikidata_oracle import WHOLE

ABOUT = (
    "real Wikidata records with up to three nodes dropped, doubled, retyped, replaced, renamed, wrapped or swapped, "
    "each eighth changed as bytes: no exception; each line is a record, a counted drop or a reject, each statement and "
    "qualifier kept or counted, as a slow reader does it; and files of them in ranges give what their lines give"
)
COUNT = 1_000_000

LANGUAGES = ("en", "de", "pt-br", "zh", "simple")
VALUES: list[Any] = [
    None, True, False, 0, -1, 7, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 0.5, 1e300, "", "Q5", "Q0", "Q05", "P31",
    "P0", "item", "property", "lexeme", "normal", "preferred", "deprecated", "value", "novalue", "somevalue", "en",
    "enwiki", "wikibase-entityid", "string", "Q99999999999999999999", "鳥", "a\0b", "x" * 300, [], {}, [[]], [None],
    [{}], {"": {}}, {"value": None}, {"en": "heron"}, {"id": "Q5"}, {"numeric-id": 5}, {"P31": []},
    {"mainsnak": {}}, {"en": []},
]  # fmt: skip
"""What a node is retyped to."""
TOKENS = [
    *"{}[],:\"\\0-.e \t", "null", "true", "NaN", "1e999", '"id":', '"id":"Q5",', '"claims":', "\\u0000", "\\ud83d",
    '"type":"property"', "[" * 2_000, '{"a":' * 2_000, "9" * 5_000, "\ufeff", "\ud83d", "//", "'", "\r", "\x0b", "},{",
]  # fmt: skip
"""What changes of the bytes put in."""
_RECORDS, _LINES = 200, 2_000
"""Read of all files together, chosen among the first lines of each."""
_CODES = ("en", "de", "fr", "pt", "pt-br", "zh", "zh-hans", "mul")
_SITES = tuple(f"{code}wiki" for code in (*LANGUAGES, "fr"))
_GROUPS, _STATEMENTS = 5, 3
"""Of a record, so that changes hit what is read, and soon."""
_FILE = 512
"""Lines of a file."""
_BYTES = 7
Path_ = tuple[str | int, ...]


class Record(NamedTuple):
    """A real one."""

    document: dict[str, Any]
    paths: Sequence[Path_]
    """Of all its nodes but itself."""


def run(count: int, seed: int) -> Outcome:
    """Change, read and check `count` records."""
    failures: list[str] = []
    tried = 0
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dump.json")
        lines: list[bytes] = []
        for number, words in draws(seed, "fuzz_wikidata", count, 5):
            tried += 1
            language = LANGUAGES[(words[0] >> 8) % len(LANGUAGES)]
            line, document = changed_line(words)
            if fault := tolerant(check, line, document, language):
                failures.append(f"seed {seed}, number {number}, {language}: {fault}: {line[:2_000]!r}")
            lines.append(line)
            if len(lines) == _FILE or tried == count:
                if fault := tolerant(check_file, lines, path):
                    failures.append(f"seed {seed}, the {len(lines)} numbers up to {number}: {fault}")
                lines.clear()
            if len(failures) >= MAX_FAILURES:
                break
    return Outcome(tried, failures, {"records a CPU second": round(tried / max(time.process_time() - begun, 1e-9))})


def check(line: bytes, document: Any, language: str) -> str | None:
    """What is wrong with the record of a line; its document is None where it was changed as bytes."""
    drops: Counter[str] = Counter()
    records = EntityReader(language, drops).read(line)
    entities = sum(number for reason, number in drops.items() if reason.startswith("entity_"))
    if document is None:
        whole = all(isinstance(one, Item | Property | Reject) for one in records)
        blank = not line.strip(b" \t\r\n\v\f,[]\xef\xbb\xbf")
        return None if whole and (records or drops or blank) else f"read as {records}, {drops}"
    found = [one.reason if isinstance(one, Reject) else one for one in records]
    expected, expected_drops = read_slowly(document, language)
    if found != ([expected] if expected else []) or +drops != +expected_drops:
        return f"expected {expected} with {expected_drops}, found {found} with {drops}"
    if len(found) + entities != 1:
        return f"{len(found)} records and {entities} counted entities of a line"
    if isinstance(expected, Item):
        counts = len(expected.tails) + drops.total() - drops["qualifier"], drops["qualifier"]
        if counts != (count_statements(document), count_qualifiers(document)):
            return f"{counts} statements and qualifiers are kept and counted"
    return None


def check_file(lines: Sequence[bytes], path: Path) -> str | None:
    """What is wrong with the records of a file of lines, read in ranges; it has what each line has alone."""
    path.write_bytes(b"[\n" + b",\n".join(lines) + b"\n]\n")
    alone: Counter[str] = Counter()
    in_file: Counter[str] = Counter()
    reader = EntityReader("en", alone)
    expected = [one for line in lines for one in reader.read(line)]
    ranges = plan_ranges(str(path), path.stat().st_size // 3)
    found = [one for part in ranges for one in read_entities(part, "en", in_file)]
    if found == expected and alone == in_file:
        return None
    return f"{len(found)} records and {in_file} from a file, {len(expected)} and {alone} from its lines"


def changed_line(words: list[int]) -> tuple[bytes, Any]:
    """(line, what it is the JSON of, None where it was changed as bytes): a record with one to three changes."""
    first = words[0]
    records = read_records()
    record, other = (records[(first >> shift) % len(records)] for shift in (16, 32))
    document: Any = record.document
    if first & 7 == _BYTES:
        text = json.dumps(document, ensure_ascii=bool(first & 8))
        for word in words[1 : 2 + (first >> 4 & 1)]:
            text = mutated(text, word, TOKENS, "")
        return text.encode("utf-8", "surrogatepass").replace(b"\n", b" "), None
    for word in words[1 : 2 + (first >> 4 & 3) % 3]:
        path = record.paths[(word >> 4) % len(record.paths)]
        document = changed(document, path, word, other)
    return json.dumps(document, ensure_ascii=bool(first & 8)).encode(), document


def changed(node: Any, path: Path_, bits: int, other: Record) -> Any:
    """`node` with the node at `path` below it changed; what is on the way there is copied, the rest shared."""
    if not isinstance(node, dict | list):
        return node
    key = path[0]
    if (key not in node) if isinstance(node, dict) else (not isinstance(key, int) or key >= len(node)):
        return node
    copy: Any = node.copy()
    if len(path) > 1:
        copy[key] = changed(node[key], path[1:], bits, other)
    else:
        _CHANGES[(bits >> 24) % len(_CHANGES)](copy, key, bits >> 28, other)
    return copy


def _drop(parent: Any, key: Any, bits: int, other: Record) -> None:
    del parent[key]


def _double(parent: Any, key: Any, bits: int, other: Record) -> None:
    if isinstance(parent, list):
        parent.insert(key, parent[key])
    else:
        parent[_key(parent, bits)] = parent[key]


def _retype(parent: Any, key: Any, bits: int, other: Record) -> None:
    parent[key] = VALUES[bits % len(VALUES)]


def _replace(parent: Any, key: Any, bits: int, other: Record) -> None:
    node: Any = other.document
    for step in other.paths[bits % len(other.paths)]:
        node = node[step]
    parent[key] = node


def _rename(parent: Any, key: Any, bits: int, other: Record) -> None:
    if isinstance(parent, dict):
        parent[_key(parent, bits)] = parent.pop(key)


def _wrap(parent: Any, key: Any, bits: int, other: Record) -> None:
    parent[key] = [parent[key]] if bits & 1 else {_key(parent, bits): parent[key]}


def _swap(parent: Any, key: Any, bits: int, other: Record) -> None:
    keys = list(parent) if isinstance(parent, dict) else range(len(parent))
    partner = keys[bits % len(keys)]
    parent[key], parent[partner] = parent[partner], parent[key]


def _key(parent: Any, bits: int) -> str:
    value = VALUES[bits % len(VALUES)]
    return value if isinstance(value, str) else str(next(iter(parent), ""))


_CHANGES = (_drop, _double, _retype, _retype, _replace, _rename, _wrap, _swap)


@functools.cache
def read_records() -> Sequence[Record]:
    """Records of the dumps in $WIKILOOM_DATA, or else of the examples, shortened; and one that has all there is."""
    found = [WHOLE]
    for path in dumps():
        lines = itertools.islice(read_lines(plan_ranges(str(path))[0], MAX_LINE), _LINES)
        own = [line.data.rstrip(b",") for line in lines if isinstance(line, Line) and b"{" in line.data]
        found += [_shortened(json.loads(line)) for line in own[:: max(1, len(own) * len(dumps()) // _RECORDS)]]
    return [Record(document, [path for path in paths_of(document) if path]) for document in found]


def dumps() -> list[Path]:
    """Dumps of Wikidata that are at hand."""
    folder = Path(os.environ["WIKILOOM_DATA"], "wikidata") if "WIKILOOM_DATA" in os.environ else ROOT / "examples"
    return sorted(folder.glob("*wikidata*.json.*"))


def _shortened(document: dict[str, Any]) -> dict[str, Any]:
    """A record without most languages and statements, and without references."""
    short = dict(document)
    for name, keys in (("labels", _CODES), ("descriptions", _CODES), ("aliases", _CODES), ("sitelinks", _SITES)):
        if isinstance(found := document.get(name), dict):
            short[name] = {key: value for key, value in found.items() if key in keys}
    if isinstance(claims := document.get("claims"), dict):
        groups = list(claims.items())[:_GROUPS]
        short["claims"] = {name: [_bare(one) for one in group[:_STATEMENTS]] for name, group in groups}
    return short


def _bare(statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if name != "references"}


def paths_of(node: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Of every node of a document."""
    yield path
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from paths_of(node[key], (*path, key))
