"""What the tables of a dataset must agree on: names by index, and counts made again from the rows themselves."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import I64
from pipelines.names import read_names
from pipelines.report.about import parameters
from pipelines.weaving.config import is_woven
from schemas.dataset import Dataset

SIDES = ("train", "valid", "test", "none")
"""entities.inductive_split, by the code that it has in memory."""


class Known:
    """Names of entities and relations, and what the rows of other tables say of them; arrays of shape (E,) and (R,)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.entities, self.relations = read_names(dataset)
        sides = dataset.read("entities", columns=["inductive_split"])["inductive_split"]
        codes = pc.index_in(sides, value_set=pa.array(SIDES))
        self.sides: npt.NDArray[np.int8] = pc.fill_null(codes, -1).to_numpy().astype(np.int8)
        self.counted = {
            name: np.zeros(len(self.entities), np.int64)
            for name in ("mention_count", "in_degree", "out_degree", "graph_count")
        }
        self.counted_relations = {
            name: np.zeros(len(self.relations), np.int64) for name in ("frequency", "graph_count")
        }
        self.surfaces = np.zeros(len(self.entities), np.uint64)
        """For each entity the sum, modulo 2^64, of the hashes of the texts of train links to it."""

    def fact(self, head: int | np.integer, relation: int | np.integer, tail: int | np.integer) -> str:
        """A fact by its names."""
        return f"({self.entities[head]}, {self.relations[relation]}, {self.entities[tail]})"


def has_published_splits(dataset: Dataset) -> bool:
    """A benchmark's published splits are what they are: only splits made here keep the rules for splits."""
    return parameters(dataset.manifest).get("split") == "official"


def train_may_lack(dataset: Dataset) -> bool:
    """May valid and test have an entity or relation that train has not, in either setting?"""
    told = parameters(dataset.manifest)
    return has_published_splits(dataset) or is_woven(told) or told.get("train_fraction", 1.0) != 1.0


def keeps_published_split(dataset: Dataset) -> bool:
    """Is `split` the files' own, though the inductive one is new?"""
    graph = dataset.manifest.rest.get("graph")
    split = graph.get("split") if isinstance(graph, dict) else None
    return isinstance(split, dict) and split.get("published") is True


def may_repeat(dataset: Dataset, name: str) -> bool:
    """May two rows of this table be alike?"""
    return name == "rejects" or (name == "triples" and has_published_splits(dataset))


def add_at(counts: npt.NDArray[np.int64], indices: I64) -> None:
    """Count each of the indices that lies within; others are told of where they are checked."""
    inside = indices[(indices >= 0) & (indices < len(counts))]
    np.add.at(counts, inside, 1)
