"""Names of entities and relations: which tokens, and what each of them counts."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import ByteLevel

from tests.training.evaluation.kg import write_kg
from training.data.names import UNNAMED_AT_ONCE, named_rows, unnamed_rows

WORDS = ["<unk>", "ĠNew", "ĠYork", "ĠNYC", "Ġ", "Ġborders"]
NAMES = {
    "a": ("New York", ["NYC", "New York", "", "New NYC York NYC"]),
    "b": (None, []),
    "c": (None, ["NYC"]),
    "d": ("York", []),
}


@pytest.fixture
def tokenizer():
    found = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    found.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return found


@pytest.fixture
def dataset(tmp_path):
    facts = {"train": [("a", "borders", other) for other in "bcd"], "valid": [], "test": []}
    entities = write_kg(tmp_path / "plain", facts).read("entities").to_pylist()
    for row in entities:
        row["label"], row["aliases"] = NAMES[row["entity"]]
    return write_kg(tmp_path / "named", facts, entities=entities)


def test_names_count_alike_and_so_do_the_tokens_of_a_name(dataset, tokenizer):
    blocks = list(named_rows(dataset, "entities", tokenizer))
    assert [block.start for block in blocks] == [0, 4]
    tokens = blocks[0].tokens
    # The label once, though it is an alias too; words as in running text; the last row, the mask symbol, has no name.
    assert tokens.values.tolist() == [1, 2, 3, 1, 3, 2, 3, 3, 2]
    assert tokens.lengths.tolist() == [7, 0, 1, 1] and blocks[1].tokens.lengths.tolist() == [0]
    expected = [1 / 6, 1 / 6, 1 / 3, *[1 / 12] * 4, 1, 1]
    assert blocks[0].shares.tolist() == pytest.approx(expected)


def test_relations_have_names_too(dataset, tokenizer):
    first, mask = named_rows(dataset, "relations", tokenizer)
    assert first.tokens.values.tolist() == [5] and first.shares.tolist() == [1] and mask.start == 1


def test_a_name_without_tokens_takes_no_share_from_the_others(dataset, tokenizer):
    tokenizer.normalizer = Replace(" New York", "")
    first, _ = named_rows(dataset, "entities", tokenizer)
    assert first.shares.tolist() == pytest.approx([1 / 2, *[1 / 8] * 4, 1, 1])


def test_rows_without_names_come_in_blocks():
    blocks = list(unnamed_rows(UNNAMED_AT_ONCE + 5, 3))
    assert [(block.start, len(block.tokens.lengths)) for block in blocks] == [
        (3, UNNAMED_AT_ONCE),
        (3 + UNNAMED_AT_ONCE, 5),
    ]
