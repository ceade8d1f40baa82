"""Tokens of texts with mentions, beside a slow obvious way."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from pipelines.transforms.splice import Mentions, splice
from pipelines.transforms.tokenize import Tally, TokenRules, graph_rows
from schemas.dataset import Dataset
from tests.pipelines import tokenizers
from tests.pipelines.tokenizers import KINDS

TEXTS = [
    "Harry Potter points his wand at Lord Voldemort.",
    "Londoner, pre-Columbian, the wizard's wand; 東京都と京都 กรุงเทพมหานคร 👩‍🚀 é café naïve",
    "points points his his wand wand at at Lord Lord wizard wizard 東京 東京 京都 京都",
] * 4
ENCODERS = {kind: tokenizers.encoder(make(TEXTS)) for kind, make in KINDS.items()}


def spliced(kind, text, mentions):
    """(units, tokens of each mention, spans) of one text."""
    starts, ends = np.array(mentions, np.int64).reshape(-1, 2).T
    found = splice([text], Mentions(np.zeros(len(mentions), np.int64), starts, ends), ENCODERS[kind])
    sizes = found.spans[:, 1] - found.spans[:, 0]
    assert found.unit_lengths.tolist() == [len(found.units)]
    assert found.mention_lengths.tolist() == [len(found.mention_ids)] == [sizes.sum()]
    own = np.split(found.mention_ids, np.cumsum(sizes)[:-1]) if mentions else []
    return found.units.tolist(), [tokens.tolist() for tokens in own], found.spans.tolist()


def undone(units, own):
    """The tokens of the whole text, and where each mention's stand."""
    ids, spans = [], []
    for unit in units:
        tokens = own[-1 - unit] if unit < 0 else [unit]
        spans += [[len(ids), len(ids) + len(tokens)]] if unit < 0 else []
        ids += tokens
    return ids, spans


def slow_tokens(encoder, text, edges):
    """(id, start) of each token; a group of tokens that share characters is encoded anew where an edge lies in it."""
    found = encoder.encode([text], offsets=True)
    groups = []
    for token, (start, end) in zip(found.ids.tolist(), found.offsets.tolist(), strict=True):
        if groups and start < groups[-1]["end"]:
            groups[-1]["tokens"].append((token, start))
            groups[-1]["end"] = max(groups[-1]["end"], end)
        else:
            groups.append({"tokens": [(token, start)], "start": start, "end": end})
    out = []
    for number, group in enumerate(groups):
        inner = [edge for edge in edges if group["start"] < edge < group["end"]]
        if not inner:
            out += group["tokens"]
            continue
        start, before = group["start"], groups[number - 1]["end"] if number else 0
        for edge in [*inner, group["end"]]:
            space = edge == [*inner, group["end"]][0] and before < start and text[start - 1].isspace()
            begins = space or (number == 0 and start == group["start"]) or text[start].isspace()
            piece = encoder.encode([text[start - space : edge]], offsets=True, inside_word=not begins)
            for token, (place, _) in zip(piece.ids.tolist(), piece.offsets.tolist(), strict=True):
                out.append((token, max(start, start - space + place)))
            start = edge
    return out


def slow_splice(encoder, text, mentions):
    """CoLAKE's rule, one token and one mention at a time: (units, tokens of each mention)."""
    spans, last = [], 0
    for start, end in mentions:
        spans.append((start - (start > last and text[start - 1] == " "), end))
        last = end
    units, own = [], [[] for _ in mentions]
    for token, start in slow_tokens(encoder, text, sorted({edge for span in spans for edge in span})):
        inside = [k for k, span in enumerate(spans) if span[0] <= start < span[1]]
        if inside:
            own[inside[0]].append(token)
        else:
            units.append((start, token))
    units += [(start, -1 - k) for k, (start, _) in enumerate(spans)]
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])], own


def tokens(kind, text, **how):
    """Tokens of a text alone."""
    return ENCODERS[kind].encode([text], **how).ids.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_behind_an_anchor_is_that_of_the_running_text(kind):
    text = "Harry Potter points his wand at Lord Voldemort."
    units, own, _ = spliced(kind, text, [(0, 12), (32, 46)])
    words = tokens(kind, text)
    between, end = tokens(kind, " points his wand at"), tokens(kind, ".", inside_word=True)
    assert units == [-1, *between, -2, *end]
    assert own == [tokens(kind, "Harry Potter"), tokens(kind, " Lord Voldemort")]
    assert undone(units, own)[0] == words


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("points", [(0, 6)]),
        ("wand wizard", [(0, 4), (5, 11)]),
        ("wandwizard", [(0, 4), (4, 10)]),
        ("Londoner", [(0, 6)]),
        ("the Londoner", [(4, 10)]),
        ("pre-Columbian", [(4, 13)]),
        ("the wizard's wand", [(4, 10)]),
        ("東京都と京都", [(0, 2), (4, 6)]),
        ("at 東京都 his", [(3, 5)]),
        ("a 👩‍🚀 b", [(2, 3), (3, 5)]),
        ("cafe\u0301 e\u0301", [(0, 4), (6, 7)]),
        ("  wand   at  ", [(2, 6), (9, 11)]),
        ("wand", []),
        ("", []),
    ],
)
def test_every_mention_has_its_own_tokens_and_no_other_word_is_lost(kind, text, mentions):
    units, own, spans = spliced(kind, text, mentions)
    assert [unit for unit in units if unit < 0] == [-1 - k for k in range(len(mentions))]
    ids, places = undone(units, own)
    assert places == spans
    if kind == "byte_level":
        assert ENCODERS[kind]._tokenizer.decode(ids, skip_special_tokens=False) == text
        for (start, end), one in zip(mentions, own, strict=True):
            assert ENCODERS[kind]._tokenizer.decode(one, skip_special_tokens=False).strip() == text[start:end]
    inner = [edge for span in mentions for edge in span if 0 < edge < len(text)]
    if all(text[edge - 1].isspace() or text[edge].isspace() for edge in inner):
        assert ids == tokens(kind, text)


def test_by_hand_a_token_over_the_end_of_a_mention_is_cut_there():
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁the", "▁Londoner", "▁London", "er", "▁er"])
    tokenizer = Tokenizer(models.Unigram([(word, -1.0 - 9 * (word != "▁Londoner")) for word in words], 3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    encoder = tokenizers.encoder(tokenizer)
    found = splice(["the Londoner"], Mentions(np.array([0]), np.array([4]), np.array([10])), encoder)
    place = {word: number for number, word in enumerate(words)}
    assert found.units.tolist() == [place["▁the"], -1, place["er"]]
    assert found.mention_ids.tolist() == [place["▁London"]]
    assert (found.spans.tolist(), found.cut) == ([[1, 2]], 1)


@st.composite
def marked_texts(draw):
    words = st.sampled_from(["wand", "Lord", "東京都", "é", "e\u0301", "👩‍🚀", "กรุง", "x", "'s", ".", "-", "\n", "  "])
    text = "".join(word + draw(st.sampled_from(["", " "])) for word in draw(st.lists(words, max_size=12)))
    edges = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    spans = zip(edges[::2], edges[1::2], strict=False)
    return text, [(start, end) for start, end in spans if text[start:end].strip() == text[start:end] != ""]


@given(st.lists(marked_texts(), min_size=1, max_size=4))
def test_joining_the_pieces_gives_the_text_and_spans_point_to_the_mentions_tokens(texts):
    encoder = ENCODERS["byte_level"]
    rows = np.repeat(np.arange(len(texts)), [len(mentions) for _, mentions in texts])
    starts, ends = np.array([span for _, mentions in texts for span in mentions], np.int64).reshape(-1, 2).T
    found = splice([text for text, _ in texts], Mentions(rows, starts, ends), encoder)
    units = np.split(found.units, np.cumsum(found.unit_lengths)[:-1])
    own = np.split(found.mention_ids, np.cumsum(found.mention_lengths)[:-1])
    for row, (text, mentions) in enumerate(texts):
        spans = found.spans[rows == row]
        sizes = np.cumsum(spans[:, 1] - spans[:, 0])
        of_mentions = [piece.tolist() for piece in np.split(own[row], sizes[:-1])] if mentions else []
        ids, places = undone(units[row].tolist(), of_mentions)
        assert places == spans.tolist()
        assert encoder._tokenizer.decode(ids) == text
        for (start, end), one in zip(mentions, of_mentions, strict=True):
            assert encoder._tokenizer.decode(one).lstrip(" ") == text[start:end]


@given(marked_texts(), st.sampled_from(list(KINDS)))
def test_splicing_equals_the_slow_way(marked, kind):
    text, mentions = marked
    assert spliced(kind, text, mentions)[:2] == slow_splice(ENCODERS[kind], text, mentions)


@pytest.mark.parametrize(("kind", "step"), [("byte_level", 1), ("word_piece", 9), ("unigram", 9)])
def test_token_rows_of_every_graph_of_the_sample_are_those_of_the_slow_builder(sample_dataset, kind, step):
    rows = Dataset(sample_dataset).read("wk_graphs", None, ["text", "mentions", "triples", "graph_id", "split"])
    assert rows.num_rows > 2_000
    rows = rows.take(np.arange(0, rows.num_rows, step))
    encoder = tokenizers.encoder(KINDS[kind](rows["text"].to_pylist()[:200], 4_000))
    rules = TokenRules(tokenizer=Path(), digest="", max_length=512, threads=False, entities=Path())
    made = graph_rows(rows, encoder, rules, Tally())
    assert made.num_rows == rows.num_rows
    for row, one in zip(rows.to_pylist(), made.to_pylist(), strict=True):
        mentions = [(mention["start"], mention["end"]) for mention in row["mentions"]]
        units, own = slow_splice(encoder, row["text"], mentions)
        ids, places = undone(units, own)
        assert one["units"] == units
        assert one["mention_ids"] == [token for tokens in own for token in tokens]
        assert [[span["start"], span["end"]] for span in one["spans"]] == places
        assert one["anchors"] == [mention["entity_index"] for mention in row["mentions"]]
        assert one["triples"] == [
            {name: triple[name] for name in ("anchor", "relation_index", "tail_index")} for triple in row["triples"]
        ]
        if kind == "byte_level":
            assert encoder._tokenizer.decode(ids) == row["text"]
