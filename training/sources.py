"""The datasets of a run, opened: their tokens, and what these imply."""

import dataclasses
from collections.abc import Sequence

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config import Config
from training.data.graphs import TableSizes
from training.data.special import SpecialTokens, load_tokenizer, special_tokens


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset, its tokens, and what they imply."""

    dataset: Dataset
    tokens: Dataset
    special: SpecialTokens
    sizes: TableSizes
    more: Sequence["Source"] = ()
    """Further datasets, of the same tokenizer."""


def open_source(dataset: Dataset, tokens: Dataset, *, graph: bool = True) -> Source:
    """DataError where the tokenizer lacks a special token, or the dataset, as a `graph`, entities or relations."""
    tokenizer = load_tokenizer(tokens)
    words = max(tokenizer.get_vocab().values()) + 1  # there may be ids that no token has
    sizes = TableSizes(words, dataset.rows("entities"), dataset.rows("relations"))
    for name, rows in (("entities", sizes.entities), ("relations", sizes.relations)):
        if graph and not rows:
            raise DataError(f"{dataset.folder} has no {name}, which training needs. Build it with a larger --keep.")
    return Source(dataset, tokens, special_tokens(tokenizer), sizes)


def open_sources(config: Config, datasets: Sequence[Dataset], tokens: Sequence[Dataset]) -> Source:
    """The first of a run's datasets, with the further ones; DataError where one lacks what it is for."""
    graphs = 0 if config.system == "mlm-only" else graph_count(config)
    sources = [
        open_source(*pair, graph=number < graphs) for number, pair in enumerate(zip(datasets, tokens, strict=True))
    ]
    for source in sources[max(1, graphs) :]:
        if not source.tokens.rows("pages"):
            raise DataError(f"{source.dataset.folder} has no pages for masked language modelling. Leave it out.")
    return dataclasses.replace(sources[0], more=sources[1:])


def graph_count(config: Config) -> int:
    """Of how many of its datasets a run learns the graph: of the first, and of the second by kepler.second_batch. The
    others give their pages alone."""
    return 2 if config.system == "kepler" and config.kepler.second_batch else 1


def graphs_of(config: Config, source: Source) -> list[Source]:
    """The datasets whose graphs a run learns."""
    return [source, *source.more][: graph_count(config)]
