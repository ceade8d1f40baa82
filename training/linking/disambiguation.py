"""Which of its candidates a mention names, by a CoLAKE run: what the model restores in the mention's place.

The text around the mention becomes a word-knowledge graph: the mention is an anchor, masked and without facts, and the
other mentions stand as anchors with the facts of the entities that they most often name. Mentions that may name a
candidate too stay words, as an entity is in a graph once, and facts about a candidate are left out: neither shows, nor
rules out, what is asked for.
"""

import bisect
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int32

from schemas.errors import DataError
from training.data.graphs import Graph
from training.linking import Link, Span
from training.runs import Run
from training.weaving import Weaver


class GraphContext:
    """Logits of candidates, by the model of a CoLAKE run."""

    def __init__(self, run: Run) -> None:
        """DataError for a run of another system."""
        if run.config.system != "colake":
            raise DataError(
                f"{run.folder} is a {run.config.system} run, which reads no word-knowledge graph: link with a CoLAKE "
                "run, or without one."
            )
        self.weaver = Weaver.of(run.dataset, run.tokenizer)
        self._run = run

    def logits(
        self, text: str, links: Sequence[Link], candidates: Sequence[Int32[np.ndarray, " _"]]
    ) -> list[Float64[np.ndarray, " _"]]:
        """Of each link's candidates; 0 where there is but one. Links may overlap."""
        found = [np.zeros(len(entities)) for entities in candidates]
        asked = [number for number, entities in enumerate(candidates) if len(entities) > 1]
        if not asked:
            return found
        # A tokenizer may have no token at all for some texts.
        offsets = self._run.tokenizer.encode(text, add_special_tokens=False).offsets or [(0, len(text))]
        questions = [self._question(text, offsets, links, links[number], candidates[number]) for number in asked]
        graphs, anchors = [graph for graph, _ in questions], np.array([anchor for _, anchor in questions])
        answers = self._run.model.candidate_logits(graphs, anchors, [candidates[number] for number in asked])
        for number, answer in zip(asked, answers, strict=True):
            found[number] = answer.double().numpy()
        return found

    def _question(
        self,
        text: str,
        offsets: Sequence[Span],
        links: Sequence[Link],
        asked: Link,
        candidates: Int32[np.ndarray, " K"],
    ) -> tuple[Graph, int]:
        """The graph around a mention, and which of its anchors that is."""
        first, last = self._window(offsets, asked)
        near = [link for link in links if first <= link.start and link.end <= last]
        others = [link for link in near if link.entity_index not in candidates]
        chosen = [link._replace(start=link.start - first, end=link.end - first) for link in _apart(asked, others)]
        graph = self.weaver.weave(text[first:last], chosen)
        anchor = graph.anchors.tolist().index(asked.entity_index)
        about = (graph.triples[:, 0] == anchor) | np.isin(graph.triples[:, 2], candidates)
        return dataclasses.replace(graph, triples=graph.triples[~about]), anchor

    def _window(self, offsets: Sequence[Span], asked: Link) -> Span:
        """As many tokens as the model reads, the mention in their middle."""
        longest = self._run.config.encoder.max_positions - 2
        middle = bisect.bisect_right(offsets, asked.start, key=lambda place: place[0]) - 1
        start = max(0, min(middle - longest // 2, len(offsets) - longest))
        within = offsets[start : start + longest]
        return min(within[0][0], asked.start), max(within[-1][1], asked.end)


def _apart(asked: Link, others: Sequence[Link]) -> list[Link]:
    """The link that is asked for and those that overlap neither it nor an earlier one, in text order."""
    kept: list[Link] = [asked]
    end = 0
    for link in sorted(others, key=lambda link: (link.start, -link.end)):
        if link.start >= end and (link.end <= asked.start or link.start >= asked.end):
            kept.append(link)
            end = link.end
    return sorted(kept, key=lambda link: link.start)
