"""The section [jaket] of a recipe."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from training.config_types import Chance, Count, Positive, Share, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class JaketConfig:
    """JAKET's objective; the defaults are the paper's, or where it says nothing, docs/jaket.md's."""

    knowledge: Literal["memory", "random", "none"] = "memory"
    """What a graph network makes entities of. memory: their context embeddings; random: random numbers that stay as
    they are; none: there is no graph network, nothing is added to mentions, and the knowledge tasks read the encoder's
    output of the description (the encoder alone)."""
    layers: Positive = 2
    """Of the graph network."""
    heads: Positive = 8
    neighbours: Count = 10
    """Out-edges of a node that a layer samples; 0 for a network that sees no edges."""
    inverse: bool = False
    """Every triple is an edge of its tail as well."""
    relations: Literal["none", "described"] = "none"
    """What of its relation a neighbour carries: nothing, as in the paper's pre-training, or the relation's text as LM1
    encodes it before the first step (an inverse one with the other sign)."""
    instance_of: bool = False
    """The graph keeps the instance-of triples (P31), of which the categories are made."""
    least_members: Positive = 10
    """Entities of a category that is predicted."""
    held_out: Annotated[float, Field(ge=0, le=0.4)] = 0.1
    """Share of the labelled entities whose categories are for validation; as many are for the test."""
    roots: Count = 16
    """Entities per step from which random walks begin, beside train.batch_size windows of text."""
    walks: Positive = 4
    """From each root."""
    walk_length: Positive = 4
    """Edges of a walk."""
    description_length: Annotated[int, Field(ge=4)] = 64
    """Tokens of an entity's description, specials included."""
    names: bool = False
    """A description that does not name its entity is read behind its name. Else such an entity is read at <s>, as in
    the paper, whose descriptions are pages."""
    block_length: Annotated[int, Field(ge=4)] = 512
    """Tokens of a window of text, specials included."""
    least_links: Count = 0
    """Windows with fewer linked mentions are left out."""
    repeats: bool = True
    """Later mentions of a linked name are linked as well, beside links and a page's own title."""
    least_neighbours: Count = 0
    """Entities that have fewer triples than this and fewer links than least_mentions are left out of graph and text."""
    least_mentions: Count = 0
    mask_share: Share = 0.15
    """Of the tokens of a window, linked ones too."""
    entity_share: Share = 0.15
    """Of the mentions: their entity is not added, but asked for."""
    surface_share: Chance = 0.0
    """Chance that the words of such a mention are masked as well."""
    negatives: Count = 2_000
    """Random entities that the answers of a micro-batch are told from."""
    gold_neighbours: Count = 10
    """Neighbours of each answer that they are told from too."""
    category_weight: Weight = 1.0
    """Of its task in the loss; a task with 0 is not computed."""
    relation_weight: Weight = 1.0
    word_weight: Weight = 1.0
    entity_weight: Weight = 1.0
    momentum: Chance = 0.8
    """What remains of a context embedding when it is made anew."""
    refresh: Literal["full", "rolling", "never"] = "full"
    """full: all embeddings are made anew at the end of an interval; rolling: a share of them at each of its steps;
    never: they stay as the first LM1 made them."""
    refresh_first: Positive = 10
    """Steps of the first interval."""
    refresh_growth: Positive = 2
    """How many times as long intervals become ..."""
    refresh_hold: Positive = 3
    """... after so many of them ..."""
    refresh_longest: Positive = 500
    """... until they have so many steps."""
    encode_tokens: Positive = 8_192
    """Padded tokens encoded at a time; texts of like length go together."""

    @property
    def weights(self) -> dict[str, float]:
        """The tasks that are computed; the encoder alone has no entity to ask for."""
        told = {name: float(getattr(self, f"{name}_weight")) for name in ("category", "relation", "word", "entity")}
        if self.knowledge == "none":
            told["entity"] = 0.0
        return {name: weight for name, weight in told.items() if weight}
