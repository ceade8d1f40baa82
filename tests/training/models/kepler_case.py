"""Fixed vectors and facts, for the authors' losses and for ours.

B triples, D hidden, N negatives of a side.
"""

import torch

GAMMA, HIDDEN = 4.0, 6
TRIPLES = 4


def vectors(rows, number, scale=1.0):
    """Numbers that look random, the same wherever they are made."""
    at = torch.arange(rows * HIDDEN, dtype=torch.float64) + 100 * number
    return (scale * torch.sin(at * at * 0.7 + number)).reshape(rows, HIDDEN).float()


def kepler_inputs(negatives, conditioned):
    """heads, tails, corrupted heads and tails (N of a triple in a row), heads and tails as they are asked with, and
    relations: what the authors' head is given. `conditioned`: an entity is encoded with the relation to be asked with,
    else it is the same."""
    heads, tails = vectors(TRIPLES, 1), vectors(TRIPLES, 2)
    corrupted = vectors(TRIPLES * negatives, 3), vectors(TRIPLES * negatives, 4)
    asked = (vectors(TRIPLES, 5), vectors(TRIPLES, 6)) if conditioned else (heads, tails)
    return heads, tails, *corrupted, *asked, vectors(TRIPLES, 7)


TEMPERATURE, MARGIN, PRE_BATCH_WEIGHT = 0.05, 0.02, 0.5

BOTH_WAYS = [
    *[("a", "r", "b"), ("c", "r", "d"), ("e", "s", "f"), ("g", "s", "h")],
    *[("b", "inverse r", "a"), ("d", "inverse r", "c"), ("f", "inverse s", "e"), ("h", "inverse s", "g")],
]
"""A batch of SimKGC's: 4 triples of 8 entities, each in both directions."""
ONE_WAY = [("a", "r", "b"), ("c", "r", "d"), ("a", "r", "d"), ("e", "s", "b"), ("c", "s", "c"), ("e", "s", "c")]
"""Another, in which tails recur, and an entity is its own tail."""
BEFORE = {
    "both ways": [("y", "r", tail) for tail in "ijklmnop"],
    "one way": [("y", "r", "b"), ("y", "r", "d"), *[("y", "s", tail) for tail in "yyae"]],
}
"""The batch before each."""
KNOWN = [*BOTH_WAYS[:4], *ONE_WAY, ("a", "r", "f"), ("a", "r", "i"), ("l", "r", "b"), ("e", "s", "h"), ("g", "s", "e")]
"""Facts of train, one way."""


def simkgc_inputs(triples, number):
    """The vectors of a batch's queries, tails and heads, of length 1; an entity's is the same wherever it stands."""
    entities = torch.nn.functional.normalize(vectors(26, number), dim=1)
    queries = torch.nn.functional.normalize(vectors(len(triples), number + 1), dim=1)
    tails, heads = (entities[[ord(triple[end]) - ord("a") for triple in triples]] for end in (2, 0))
    return queries, tails, heads
