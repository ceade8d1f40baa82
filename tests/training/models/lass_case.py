"""A small encoder with fixed weights, and facts, for the authors' model and for ours."""

import torch

WORDS, HIDDEN, LAYERS, HEADS, POSITIONS = 40, 16, 2, 2, 64
LONGEST = 18
"""Tokens of a fact, specials included."""
OFFSET = 7.0
CLS, PAD, SEP = 1, 0, 2
ENTITIES = [[5, 6], [7], [8, 9, 10, 11], [12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [22, 23, 24, 25, 26, 27, 28, 29]]
RELATIONS = [[30], [31, 32, 33], [34, 35, 36, 37, 38, 39, 5, 6, 7]]
FACTS = [(0, 0, 1), (1, 1, 2), (2, 2, 3), (3, 1, 4), (4, 2, 3), (3, 2, 3), (0, 2, 0)]
LABELS = [1, 0, 0, 1, 0, 0, 0]


@torch.no_grad()
def fill(model):
    """Numbers that look random in place of all weights, the same wherever the model is made."""
    for number, (name, weight) in enumerate(sorted(model.named_parameters())):
        at = torch.arange(weight.numel(), dtype=torch.float64)
        values = torch.sin(at * at * 0.37 + number).reshape(weight.shape).float()
        weight.copy_(1 + 0.1 * values if name.endswith("LayerNorm.weight") else 0.3 * values)


def config(kind):
    """Of the encoder; `kind` is transformers' BertConfig."""
    return kind(
        vocab_size=WORDS,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=POSITIONS,
        pad_token_id=PAD,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
