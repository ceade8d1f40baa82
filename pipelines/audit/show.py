"""The leakage report on the terminal."""

from collections.abc import Iterator
from typing import Any

from pipelines.audit.report import Report
from pipelines.report import terminal

ROWS = 12
"""Rows of a list that the terminal shows; --json has all."""

LINES = {
    "facts": "facts",
    "in_train": "in train as well",
    "linked": "train links the two, by any relation and either way",
    "symmetric": "... by the same relation, reversed",
    "inverse": "... by a near inverse relation, reversed",
    "duplicate": "... by a near duplicate relation",
    "facts_with_unseen_entity": "with an entity that train has not",
    "facts_with_unseen_relation": "with a relation that train has not",
    "graph_mentions": "both are mentioned in one train graph",
    "graph_labels": "both labels are in the text of one train graph",
    "page_labels": "both labels are in one line of a train page",
    "head_text": "the head's text names the tail's label",
    "tail_text": "the tail's text names the head's label",
}
"""Counts of a split in the order that they are shown."""


def print_report(report: Report) -> None:
    """Tables, examples, then what must not be."""
    console = terminal.console()
    document = report.document
    console.print(
        terminal.plain(f"dataset {document['digest'][:8]}, graphs of the facts with {document['graph_split']} = train")
    )
    for heading, head, rows in _tables(document):
        if rows:
            console.print()
            console.print(terminal.table(heading, head, rows))
    for line in (*_examples(document), *_verdict(report)):
        console.print(terminal.plain(line), soft_wrap=True)


def _tables(document: dict[str, Any]) -> Iterator[tuple[str, list[str], list[tuple]]]:
    sets = [*document["splits"], "excluded"]
    graphs = [
        (proof["table"], proof["graphs"], proof["facts"], *(proof["found"].get(name, "not checked") for name in sets))
        for proof in document["graphs"]
    ]
    yield "Facts in graphs that are in", ["table", "graphs", "facts", *sets], graphs
    yield (
        "Facts that training gives away",
        ["", *document["splits"]],
        [(line, *(_share(counts, key) for counts in document["splits"].values())) for key, line in LINES.items()],
    )
    heading = f"Near relations, at least {document['relation_overlap']:.0%} in common"
    near = [
        (pair["kind"], *pair["relations"], pair["common"], *(f"{share:.1%}" for share in pair["shares"]))
        for pair in document["near_relations"]
    ]
    yield f"{heading}: {len(near)}", ["kind", "relation", "and", "pairs", "of its", "of the other's"], near[:ROWS]
    shown = ("facts", "linked", "symmetric", "inverse", "duplicate", "graph_labels", "head_text")
    rows = [
        (row["split"], row["relation"], row["label"], *(row[name] for name in shown)) for row in document["relations"]
    ]
    yield (
        f"Relations: {len(rows)}",
        ["split", "relation", "label", *(name.replace("_", " ") for name in shown)],
        rows[:ROWS],
    )
    sides = document["inductive"]
    if sides:
        inductive = [
            (side, n, sides["entities"].get(side), sides["relations"].get(side)) for side, n in sides["facts"].items()
        ]
        yield "Inductive split", ["side", "facts", "entities", "relations"], inductive


def _examples(document: dict[str, Any]) -> Iterator[str]:
    yield ""
    for split, counts in document["splits"].items():
        for kind, found in counts["examples"].items():
            if found:
                yield f"{split}, {LINES[kind].removeprefix('... ')}: {found[0]}"


def _verdict(report: Report) -> Iterator[str]:
    """What is proved, what is not checked, what must not be."""
    document = report.document
    text = document["text"]
    yield ""
    yield (
        f"texts: {text['graphs']:,} train graphs and {text['pages']:,} train pages were searched for the labels of "
        f"{text['entities']:,} entities; {text['entities_without_label']:,} have no label to look for"
    )
    excluded = document["excluded"]
    if excluded is None:
        left_out = document["excluded_by_build"]
        yield f"excluded facts: not checked (the build left out {left_out:,}). Give the list with --exclude-triples."
    else:
        origin = (
            "the list that the build was given" if excluded["of_the_build"] else "not a list that the build was given"
        )
        yield f"excluded facts: {excluded['listed']:,} listed ({origin}), {excluded['in_triples']:,} of them in triples"
    inductive = document["inductive"]
    if inductive:
        shared = ", ".join(f"{name} {n:,}" for name, n in inductive["shared_entities"].items())
        missing = ", ".join(f"{name} {n:,}" for name, n in inductive["relations_not_in_train"].items())
        yield f"inductive split: entities in both sides: {shared}; relations not in train: {missing}"
    else:
        yield "inductive split: none"
    facts = sum(proof["facts"] for proof in document["graphs"])
    tables = ", ".join(proof["table"] for proof in document["graphs"])
    if report.violations:
        yield from (f"LEAK {line}" for line in report.violations)
    elif not any(counts["facts"] for counts in document["splits"].values()):
        yield "nothing to prove: no fact is in valid or test"
    else:
        sets = "valid, test or excluded" if excluded else "valid or test"
        yield f"proved: none of the {facts:,} facts in {tables} is a {sets} fact"


def _share(counts: dict[str, Any], key: str) -> str:
    if key == "facts" or not counts["facts"]:
        return f"{counts[key]:,}"
    return f"{counts[key]:,} ({counts[key] / counts['facts']:.1%})"
