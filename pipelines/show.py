"""wikiloom show: one word-knowledge graph, on the terminal and as a drawing; its nodes as a model reads them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.lookup import any_graph_id, find_graph, find_page
from pipelines.records import write_text
from pipelines.report import terminal
from pipelines.report.drawing import draw_graph, on_paper
from pipelines.report.nodes import RELATION, WORD, Node, graph_nodes, ranges
from pipelines.report.summary import Names, entity_names, relation_labels
from pipelines.tokenizer import Encoder, read_tokenizer
from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def show_graph(folder: Path, asked: str, svg: Path | None = None, tokens: str | None = None) -> None:
    """Print the graph with this id; with `tokens`, a name under tokens/, its nodes; with `svg` write its drawing.

    Raises UsageError where `asked` is no id, DataError where no graph has it, or no tokens, or for a file that fails.
    """
    dataset = Dataset(folder)
    row = _find(dataset, asked)
    indices = {mention["entity_index"] for mention in row["mentions"]}
    names = entity_names(dataset, indices | {triple["tail_index"] for triple in row["triples"]}, set())
    relations = relation_labels(dataset)
    console = terminal.console()
    for part in graph_parts(row, names, relations, find_page(dataset, row["page_id"])):
        console.print(part)
    if tokens is not None:
        console.print(node_table(dataset.tokens(tokens), row["graph_id"], names, relations))
    if svg is not None:
        write_text(svg, on_paper(draw_graph(row, names.labels, relations)), "--svg")
        console.print(terminal.plain(f"wrote {svg}"))


def _find(dataset: Dataset, asked: str) -> dict[str, Any]:
    example = any_graph_id(dataset)
    if example is None:
        raise DataError(f"{dataset.folder} has no word-knowledge graph: there is none to show.")
    if not (asked.isascii() and asked.isdigit() and int(asked) < 2**63):
        raise UsageError(
            f"--graph {asked!r:.80}: expected a graph_id of wk_graphs, a whole number such as {example}. "
            "wikiloom describe shows some."
        )
    row = find_graph(dataset, int(asked))
    if row is None:
        raise DataError(
            f"{dataset.folder} has no graph {asked}. An id is page_id * 2^27 + the start of the passage in its page, "
            f"such as {example}; wikiloom describe shows some."
        )
    return row


def graph_parts(
    row: Mapping[str, Any], names: Names, relations: Mapping[int, str], page: Mapping[str, Any] | None
) -> Iterator["Text | Table"]:
    """The graph's heading, its passage with the anchors marked, and its facts by label."""
    counts = f"{len(row['mentions'])} anchors, {len(row['triples'])} facts"
    yield terminal.plain(f"graph {row['graph_id']}, {row['split']}: {counts}")
    place = f"code points {row['start']:,} to {row['end']:,}"
    title = f' "{page["title"]}"' if page else ""
    yield terminal.plain(f"page {row['page_id']}{title}, {place}")
    yield terminal.plain("")
    yield terminal.marked(row["text"], row["mentions"])
    facts = [
        (
            _name(names, triple["head_index"]),
            relations.get(triple["relation_index"], f"relation {triple['relation_index']}"),
            _name(names, triple["tail_index"]),
        )
        for triple in row["triples"]
    ]
    if facts:
        yield terminal.table("", ["anchor", "relation", "tail"], facts)


def node_table(tokens: Dataset, graph_id: int, names: Names, relations: Mapping[int, str]) -> "Table":
    """The graph's nodes in the model's order, each with its type, its soft position and the nodes that it sees."""
    row = find_graph(tokens, graph_id)
    if row is None:
        raise DataError(f"{tokens.folder} has no graph {graph_id}. Make the tokens again: wikiloom tokenize.")
    encoder = Encoder(str(tokens.folder), read_tokenizer(str(tokens.folder)).data)

    def label(node: Node) -> str:
        if node.kind == WORD:
            return encoder.token(node.id)
        return relations.get(node.id, f"relation {node.id}") if node.kind == RELATION else _name(names, node.id)

    nodes = graph_nodes(row, encoder.special["bos"], encoder.special["eos"])
    rows = [(number, node.kind, label(node), node.position, ranges(node.sees)) for number, node in enumerate(nodes)]
    return terminal.table("", ["node", "type", "is", "position", "sees"], rows)


def _name(names: Names, index: int) -> str:
    label, id_ = names.labels.get(index, f"entity {index}"), names.ids.get(index)
    return label if id_ in (None, label) else f"{label} ({id_})"
