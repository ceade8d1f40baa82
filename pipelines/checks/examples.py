"""Checks of examples, and of the graphs that are cut from them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.graph_texts import GraphTexts
from pipelines.checks.known import Known
from pipelines.checks.problems import Checker, Problem, span_problems, where
from pipelines.columns import elements, lengths, values
from pipelines.transforms.example_texts import as_pages, number_examples

ROLES = ("head", "tail", "topic", "target", "context")
TASKS = ("few-shot", "relation-classification", "typing", "probing", "kgqa", "linking", "glue", "entity-classification")


class Examples(Checker):
    """Text tasks: ids, offsets and references."""

    def __init__(self, known: Known, graphs: GraphTexts | None) -> None:
        self._known, self._graphs = known, graphs
        ids = known.dataset.read("examples", columns=["example_id"])["example_id"]
        self._repeated = len(ids) - pc.count_distinct(ids).as_py()
        self._numbers = number_examples(ids) if graphs is not None else np.empty(0, np.int64)
        self._row = 0

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Mentions lie in the text and their entities in the dataset. Head and tail may overlap, in any order."""
        mentions = elements(rows, "mentions")
        yield from span_problems(mentions, lengths(rows, "text"), "mention", ordered=False)
        names = mentions.fields["entity"]
        known = self._known.entities.index(names)
        dangling = names.is_valid().to_numpy(zero_copy_only=False) & (known < 0)
        yield from where(
            dangling, "mention entity", lambda i: f"entity {names[i]} is not in table entities", mentions.rows
        )
        relations = values(rows, "relation")
        unknown = relations.is_valid().to_numpy(zero_copy_only=False) & (self._known.relations.index(relations) < 0)
        yield from where(unknown, "relation", lambda i: f"relation {relations[i]} is not in table relations")
        for name, column, words, places in (
            ("role", mentions.fields["role"], ROLES, mentions.rows),
            ("task", values(rows, "task"), TASKS, None),
        ):
            odd = ~pc.is_in(column, value_set=pa.array(words)).to_numpy(zero_copy_only=False)
            yield from where(odd, name, lambda i, n=name, c=column: f"{n} {c[i].as_py()!r} is unknown", places)
        if self._graphs is not None:
            self._compare(rows, part)

    def finish(self) -> Iterator[str]:
        """Ids that two rows have; graphs that no example bears out."""
        if self._repeated:
            yield f"{self._repeated} rows have an example_id that another row has"
        if self._graphs is not None:
            yield from self._graphs.finish()

    def _compare(self, rows: pa.Table, part: str) -> None:
        numbers = self._numbers[self._row : self._row + rows.num_rows]
        self._row += rows.num_rows
        links = elements(as_pages(rows, numbers), "links")
        entities = self._known.entities.index(links.fields["entity"])
        ours = entities >= 0
        found = links.rows[ours], links.numbers("start")[ours], links.numbers("end")[ours], entities[ours]
        # Graphs are looked up by page_id, ascending.
        order = np.argsort(numbers)
        place = np.argsort(order)
        by_number = np.lexsort((found[1], place[found[0]]))
        texts = values(rows, "text").take(pa.array(order)).to_pylist()
        sorted_links = place[found[0]][by_number], *(column[by_number] for column in found[1:])
        self._graphs.compare(texts, numbers[order], sorted_links, part)  # type: ignore[union-attr]
