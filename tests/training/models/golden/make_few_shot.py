"""Write few_shot.json: what FewRel's authors' Proto and Pair say of vectors and logits, and how their episodes look.

    python -m tests.training.models.golden.make_few_shot --original FOLDER

FOLDER is a checkout of github.com/thunlp/FewRel at 278a231. Its models run as they are, without dropout, with a
sentence encoder that returns what it is given in the place of theirs; its dataset runs on made-up sentences. Kept are
the numbers that go in, the logits that come out, and the answers and sizes of an episode with queries of none of the
relations.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch import nn

RESULT = Path(__file__).parent / "few_shot.json"
DIGITS = 6
WAYS, SHOTS, QUERIES, NA_RATE = 3, 2, 2, 1
EPISODES, WIDTH = 2, 4


class FewShotREModel(nn.Module):
    """What their models inherit, without what it imports."""

    def __init__(self, sentence_encoder):
        super().__init__()
        self.sentence_encoder = sentence_encoder


class Encoder:
    """A tokenizer of theirs that is enough for their dataset."""

    def tokenize(self, tokens, head, tail):
        """(word, head, tail, mask)."""
        return [0], 0, 0, [1]


def load(original: Path, name: str) -> types.ModuleType:
    """One file of theirs."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, original / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rounded(values: torch.Tensor) -> list:
    """Numbers that a file holds."""
    return json.loads(json.dumps(values.tolist()), parse_float=lambda text: round(float(text), DIGITS))


def episode(original: Path, folder: Path) -> dict[str, object]:
    """The sizes and answers of one of theirs."""
    sentence = {"tokens": ["a"], "h": ["a", "", [[0]]], "t": ["a", "", [[0]]]}
    (folder / "made.json").write_text(json.dumps({f"P{n}": [sentence] * 6 for n in range(5)}))
    loader = load(original, "fewshot_re_kit/data_loader.py")
    shown, asked, answers = loader.FewRelDataset("made", Encoder(), WAYS, SHOTS, QUERIES, NA_RATE, folder)[0]
    return {"support": len(shown["word"]), "queries": len(asked["word"]), "answers": answers}


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True)
    original = parser.parse_args().original
    sys.modules["fewshot_re_kit"] = types.SimpleNamespace(
        framework=types.SimpleNamespace(FewShotREModel=FewShotREModel)
    )
    queries = WAYS * QUERIES + NA_RATE * QUERIES
    torch.manual_seed(0)
    support = torch.randn(EPISODES, WAYS, SHOTS, WIDTH).mul(100).round() / 100
    query = torch.randn(EPISODES, queries, WIDTH).mul(100).round() / 100
    pairs = torch.randn(EPISODES, queries, WAYS, SHOTS, 2).mul(100).round() / 100
    proto, pair = load(original, "models/proto.py").Proto, load(original, "models/pair.py").Pair
    found = {"support": support, "query": query, "pairs": pairs}
    for name, dot in (("euclidean", False), ("dot", True)):
        model = proto(nn.Identity(), dot=dot).eval()
        given = support.flatten(0, 2), query.flatten(0, 1), WAYS, SHOTS, queries
        found[name] = model(*given)[0]
    found["pair"] = pair(nn.Identity()).eval()(pairs.flatten(0, 3), WAYS, SHOTS, queries)[0]
    document = {name: rounded(values) for name, values in found.items()}
    with tempfile.TemporaryDirectory() as folder:
        document["episode"] = episode(original, Path(folder))
    RESULT.write_text(json.dumps(document).replace('], "', '],\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
