"""Fixed facts, vectors and weights, for the authors' matching and loss and for ours."""

import torch

WIDTH = 6
ENTITIES, RELATIONS = "abcdefg", "rs"
TRAIN = [
    *[("a", "r", "b"), ("a", "r", "c"), ("d", "r", "b"), ("e", "s", "f"), ("a", "s", "f"), ("b", "r", "a")],
    *[("c", "s", "d"), ("d", "s", "c"), ("d", "r", "f"), ("b", "s", "e"), ("f", "r", "d"), ("a", "r", "f")],
]
"""g is in none."""
BATCH = [("a", "r", "b"), ("a", "r", "c"), ("d", "r", "b"), ("e", "s", "f"), ("c", "s", "d"), ("b", "r", "a")]
"""Entities recur on either side, (a, r, ?) is asked twice, and so is (?, r, b)."""


def numbers(rows, columns, number, scale=1.0):
    """Numbers that look random, the same wherever they are made."""
    at = torch.arange(rows * columns, dtype=torch.float64) + 100 * number
    return (scale * torch.sin(at * at * 0.7 + number)).reshape(rows, columns).float()


def matcher_weights():
    """weight and bias of the two layers of the matcher, as nn.Sequential of the authors' has them."""
    hidden = numbers(WIDTH, 4 * WIDTH + 2, 1, 0.3), numbers(1, WIDTH, 2, 0.3)[0]
    return {"0.weight": hidden[0], "0.bias": hidden[1], "2.weight": numbers(1, WIDTH, 3), "2.bias": torch.tensor([0.1])}


def key_vectors():
    """Of every entity."""
    return numbers(len(ENTITIES), WIDTH, 4)


def query_vector(side, given, relation):
    """Of (given, relation, ?) where `side` is tail, of (?, relation, given) where it is head."""
    place = ENTITIES.index(given) * len(RELATIONS) + RELATIONS.index(relation)
    return numbers(2 * len(ENTITIES) * len(RELATIONS), WIDTH, 5)[2 * place + (side == "head")]


def degrees():
    """In TRAIN, of what is in it, relations too."""
    found = {}
    for triple in TRAIN:
        for part in triple:
            found[part] = found.get(part, 0) + 1
    return found
