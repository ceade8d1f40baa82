"""C-LMKE's matching: the labels, logits, losses and gradients of the authors' code, and the MLP's factorisation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.models import lmke_case as case
from training import matching
from training.config import LmkeConfig
from training.data.batch import Columns, ragged_rows
from training.data.links import FactTexts, LinkFeed
from training.data.negatives import known_facts
from training.data.sequences import HIDDEN, Layout
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.matching import Matcher, Ranking, Vectors, matching_sum

GOLDEN = json.loads((Path(__file__).parent / "golden" / "lmke.json").read_text(encoding="utf-8"))
SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)


def rows_of(triples):
    numbers = dict(zip(TRIPLE, np.array(triples).T, strict=True)) | {"row": np.arange(len(triples))}
    return Part(Columns(len(triples), numbers, {}), np.zeros(len(triples), np.int64))


def indices(triples):
    return np.array([[case.ENTITIES.index(h), case.RELATIONS.index(r), case.ENTITIES.index(t)] for h, r, t in triples])


def feed_of_case(**changes):
    texts = FactTexts(
        *[ragged_rows([[]] * 7)] * 2, Layout(SPECIAL, 9, holders=True), Layout(SPECIAL, 9, holders=True), 64
    )
    return LinkFeed(texts, known_facts(indices(case.TRAIN), 7, 2), LmkeConfig(**changes))


def matcher_of_case():
    matcher, weights = Matcher(case.WIDTH, case.WIDTH), case.matcher_weights()
    matcher.hidden.load_state_dict({"weight": weights["0.weight"], "bias": weights["0.bias"]})
    matcher.output.load_state_dict({"weight": weights["2.weight"], "bias": weights["2.bias"]})
    return matcher


def degrees_of_case():
    found = case.degrees()
    return torch.tensor([float(found.get(entity, 0)) for entity in case.ENTITIES]).log1p()


def vectors_of_case(batch):
    """What the golden file's script gives the authors' code as queries and keys, once each."""
    queries = []
    for parts, side in zip(batch.queries.parts.tolist(), batch.sides.tolist(), strict=True):
        name = ("head", "tail")[side]
        queries.append(case.query_vector(name, case.ENTITIES[parts[2 - 2 * side]], case.RELATIONS[parts[1]]))
    degrees = degrees_of_case()
    keys = case.key_vectors()[batch.entities]
    return Vectors(torch.stack(queries), degrees[batch.given]), Vectors(keys, degrees[batch.entities])


def places_of_case(batch, side):
    """Which of the batch's queries and keys those of the authors' rows and columns are."""
    asked, own = indices(case.BATCH).tolist(), batch.queries.parts.tolist()
    rows = [own.index([HIDDEN, r, t] if side == "head" else [h, r, HIDDEN]) for h, r, t in asked]
    entities = batch.entities.tolist()
    return rows, [entities.index(triple[0 if side == "head" else 2]) for triple in asked]


@pytest.mark.parametrize(("mode", "negatives"), [("self-adversarial", "attached"), ("alike", "off")])
def test_labels_logits_loss_and_gradients_are_the_authors(mode, negatives):
    batch = feed_of_case(keys="side", repeated_keys=True).batch(rows_of(indices(case.BATCH)))
    queries, keys = vectors_of_case(batch)
    for vectors in (queries, keys):
        vectors.values.requires_grad_()
    logits = matcher_of_case()(queries, keys)
    answers = torch.zeros(logits.shape, dtype=torch.bool)
    answers[batch.answers[:, 0], batch.answers[:, 1]] = True
    loss = matching_sum(logits, answers, batch.times[batch.sides], batch.asked, negatives)
    loss.backward()
    golden = GOLDEN[mode]
    assert torch.isclose(loss, torch.tensor(sum(side["loss"] for side in golden.values())), rtol=1e-6)
    query_gradients, key_gradients = torch.zeros_like(queries.values), torch.zeros_like(keys.values)
    for side, told in golden.items():
        rows, columns = places_of_case(batch, side)
        assert answers[rows][:, columns].int().tolist() == told["labels"]
        assert torch.allclose(logits[rows][:, columns], torch.tensor(told["logits"]), atol=1e-6)
        # What comes twice there is here once, with the gradient of both.
        query_gradients.index_add_(0, torch.tensor(rows), torch.tensor(told["query gradients"]))
        key_gradients.index_add_(0, torch.tensor(columns), torch.tensor(told["key gradients"]))
    assert torch.allclose(queries.values.grad, query_gradients, atol=1e-6)
    assert torch.allclose(keys.values.grad, key_gradients, atol=1e-6)


def test_the_ranking_is_the_authors():
    batch = feed_of_case().batch(rows_of(indices(case.BATCH)))
    ranking = Ranking(matcher_of_case(), Vectors(case.key_vectors(), degrees_of_case()))
    scores = ranking.scores(vectors_of_case(batch)[0])
    for side, told in GOLDEN["alike"].items():
        assert torch.allclose(scores[places_of_case(batch, side)[0]], torch.tensor(told["ranked"]), atol=1e-6)


def test_no_gradient_goes_through_the_weights_of_negatives_unless_it_is_attached():
    logits, answers = torch.tensor([[0.3, -0.2, 0.9]]), torch.tensor([[True, False, False]])
    gradients = {}
    for negatives in ("detached", "attached", "off"):
        own = logits.clone().requires_grad_()
        matching_sum(own, answers, torch.ones(1, 3), torch.ones(1), negatives).backward()
        gradients[negatives] = own.grad[0]
    weights = torch.softmax(logits.sigmoid()[0, 1:], dim=0)
    assert torch.allclose(gradients["detached"][1:], weights * logits.sigmoid()[0, 1:], atol=1e-6)
    assert torch.allclose(gradients["off"][1:], logits.sigmoid()[0, 1:] / 2, atol=1e-6)
    assert (gradients["attached"][1:] - gradients["detached"][1:]).abs().max() > 1e-3


def test_at_a_low_temperature_the_hardest_negatives_weigh_most():
    logits, answers = torch.tensor([[0.3, -0.2, 0.9]]), torch.tensor([[True, False, False]])
    own = logits.clone().requires_grad_()
    matching_sum(own, answers, torch.ones(1, 3), torch.ones(1), "detached", 0.1).backward()
    p = logits.sigmoid()[0, 1:]
    assert torch.allclose(own.grad[0, 1:], torch.softmax(p / 0.1, dim=0) * p, atol=1e-6)


def naive(matcher, queries, keys):
    """The MLP on every pair's features, written down."""
    q = queries.values[:, None].expand(-1, len(keys.values), -1)
    k = keys.values[None].expand(len(queries.values), -1, -1)
    own, asked = keys.degrees.expand(len(q), -1), queries.degrees[:, None].expand(-1, k.shape[1])
    features = torch.cat([q, k, q - k, q * k, own[..., None], asked[..., None]], dim=-1)
    return matcher.output(matcher.hidden(features).relu())[..., 0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 20), st.integers(1, 7), st.integers(0, 99))
def test_the_factorised_matcher_is_the_mlp_on_every_pair(queries, keys, width, hidden, seed):
    torch.manual_seed(seed)
    matcher = Matcher(width, hidden)
    vectors = [Vectors(torch.randn(count, width), 5 * torch.rand(count)) for count in (queries, keys)]
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        expected = naive(matcher, *vectors)
        patch.setattr(matching, "BLOCK", {"cpu": (2, 5)})
        found = [matcher(*vectors), Ranking(matcher, vectors[1]).scores(vectors[0])]
        patch.setitem(matching.PIECE, "cpu", 1)
        found.append(matcher(*vectors))
        row, column = torch.arange(queries * keys) // keys, torch.arange(queries * keys) % keys
        found.append(matcher.of_pairs(vectors[0].rows(row), vectors[1].rows(column)).view(queries, keys))
    for logits in found:
        assert torch.allclose(logits, expected, rtol=1e-6, atol=2e-6)


def test_a_matcher_may_begin_as_the_scaled_product():
    torch.manual_seed(0)
    matcher = Matcher(9, 2)
    matcher.begin_as_product()
    queries, keys = (Vectors(torch.randn(count, 9), torch.rand(count)) for count in (4, 3))
    expected = queries.values @ keys.values.T / 3 + matcher.output.bias
    assert torch.allclose(matcher(queries, keys), expected, atol=1e-6)


def test_pieces_of_the_matcher_have_the_gradients_of_the_whole(monkeypatch):
    torch.manual_seed(0)
    matcher, gradients = Matcher(6, 5), []
    queries, keys = (Vectors(torch.randn(count, 6), torch.rand(count)) for count in (7, 4))
    for piece in (matching.PIECE["cpu"], 2 * 4 * 5):
        monkeypatch.setitem(matching.PIECE, "cpu", piece)
        matcher.zero_grad()
        matcher(queries, keys).square().sum().backward()
        gradients.append([p.grad.clone() for p in matcher.parameters()])
    for whole, cut in zip(*gradients, strict=True):
        assert torch.allclose(whole, cut, rtol=1e-5)


def test_logits_have_32_bits_where_the_products_have_16():
    matcher, keys = matcher_of_case(), Vectors(case.key_vectors(), degrees_of_case())
    exact = matcher(keys, keys)
    with torch.autocast("cpu", torch.bfloat16):
        logits = [matcher(keys, keys).diagonal(), matcher.of_pairs(keys, keys)]
    for found in logits:
        assert found.dtype == torch.float32
        assert torch.allclose(found, exact.diagonal(), atol=0.1)
