"""Vocabularies for any language: trained twice alike, read by transformers, and decoding to what was encoded."""

import json
import subprocess
import sys

import pytest
import sentencepiece
from tokenizers import Tokenizer

from pipelines.tokenizer import Encoder
from pipelines.train_tokenizer import SPECIAL_TOKENS, train_tokenizer
from pipelines.vocabulary import Vocabulary
from schemas.dataset import Dataset
from schemas.errors import DataError
from tests.conftest import ROOT, build_once
from tests.pipelines.planting import new_dataset
from wikiloom import main

LINES = {
    "thai": ["กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "แม่น้ำเจ้าพระยาไหลผ่านกรุงเทพมหานคร", "ภาษาไทยเป็นภาษาราชการ"],
    "japanese": [
        "東京は日本の首都です。",
        "京都は昔の日本の都でした。",
        "日本語は漢字で書きます。",
    ],
    "chinese": ["北京是中华人民共和国的首都。", "长江是中国最长的河流。", "上海是中国最大的城市之一。"],
    "cyrillic": ["София е столицата на България.", "Дунав тече през България.", "Пловдив е вторият по големина град."],
}


def dataset_of(folder, lines):
    pages = [{"page_id": i, "title": str(i), "split": "train", "text": line} for i, line in enumerate(lines)]
    return new_dataset(folder, {"pages": pages, "entities": [], "relations": []})


def trained(folder, lines, **options):
    options = Vocabulary(**{"vocab_size": 1_000, "character_coverage": 1.0, **options})
    return train_tokenizer(dataset_of(folder / "d", lines), folder / "t", options), folder / "t"


def load(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def decoded(tokenizer, text):
    return tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("model", ["unigram", "bpe"])
@pytest.mark.parametrize("language", LINES)
def test_what_was_encoded_is_decoded_in_every_script(tmp_path, language, model, split):
    lines = LINES[language] * 5
    _, folder = trained(tmp_path, lines, model=model, split_by_whitespace=split, byte_fallback=True)
    tokenizer, unknown = load(folder), 3
    for text in [*lines[:3], "Ω ≠ 👩‍🚀 unseen e\u0301", "<0x41> <0xE3>"]:
        assert decoded(tokenizer, text) == text
        assert unknown not in tokenizer.encode(text, add_special_tokens=False).ids
    assert decoded(tokenizer, f" {lines[0]} \t\n {lines[1]}") == f"{lines[0]} {lines[1]}"


def test_pieces_may_lie_across_spaces_where_words_are_not_split(tmp_path):
    lines = ["a b c", "กรุง เทพ"] * 50
    _, words = trained(tmp_path / "words", lines, model="bpe")
    _, wide = trained(tmp_path / "wide", lines, model="bpe", split_by_whitespace=False)
    assert not any("▁" in token[1:] for token in load(words).get_vocab())
    assert load(wide).encode("a b c", add_special_tokens=False).tokens == ["▁a▁b▁c"]
    assert decoded(load(wide), "a b c a b c") == "a b c a b c"


def test_text_that_says_a_special_token_is_text(tmp_path):
    for model in ("unigram", "bpe"):
        _, folder = trained(tmp_path / model, ["a <s> b </s> <mask> c"] * 20, model=model)
        encoder = Encoder("t", (folder / "tokenizer.json").read_bytes())
        text = "<s> <pad> </s> <unk> <mask>"
        ids = encoder.encode([text]).ids
        assert min(ids) > 4
        assert load(folder).decode(ids.tolist()) == text
        assert encoder.counts["special_tokens_in_text"] == 0
        assert [load(folder).token_to_id(token) for token in text.split()] == [0, 1, 2, 3, 4]


def test_options_reach_the_texts(tmp_path):
    lines = ["Ｆｕｌｌ ＷＩＤＴＨ 2026 1999 e\u0301té"] * 30
    _, folder = trained(tmp_path / "a", lines, normalization="nfkc", lowercase=True, split_digits=True)
    tokenizer = load(folder)
    assert decoded(tokenizer, lines[0]) == "full width 2026 1999 \u00e9té"
    assert not any(sum(char.isdigit() for char in token) > 1 for token in tokenizer.get_vocab())
    encoding = tokenizer.encode("ＷＩＤＴＨ e\u0301té", add_special_tokens=False)
    assert [encoding.offsets[0][0], encoding.offsets[-1][1]] == [0, 10]
    _, folder = trained(tmp_path / "b", ["abcabcabc"] * 30, max_piece_length=3)
    assert max(len(token) for token in set(load(folder).get_vocab()) - set(SPECIAL_TOKENS)) <= 3


def test_lines_left_out_are_counted(tmp_path):
    short = [f"line number {i}" for i in range(200)]
    found, _ = trained(tmp_path / "a", [*short, "word " * 10_000, "\n\n"], model="bpe")
    assert (found.lines, found.dropped) == (201, {})
    found, _ = trained(tmp_path / "b", [*short, "word " * 30], max_sentence_bytes=100, model="bpe")
    assert (found.lines, found.dropped) == (200, {"longer than 100 bytes": 1})
    found, _ = trained(tmp_path / "c", [f"{line} {'ab ' * 3_333}" for line in short], sample_mb=1, model="bpe")
    assert found.lines + found.dropped["not in the sample"] == 200
    assert 50 < found.lines < 150


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_the_same_texts_give_the_same_bytes_whatever_their_files(demo_dataset, tmp_path, model):
    options = ["--model", model, "--vocab-size", "700", "--byte-fallback"]
    words = [sys.executable, "-m", "wikiloom", "train-tokenizer", str(demo_dataset), "--out", str(tmp_path / "a")]
    subprocess.run([*words, *options], cwd=ROOT, check=True, capture_output=True)
    rows = {name: Dataset(demo_dataset).read(name).to_pylist() for name in ("pages", "entities", "relations")}
    again = new_dataset(tmp_path / "d", rows)
    train_tokenizer(again, tmp_path / "b", Vocabulary(model=model, vocab_size=700, byte_fallback=True))
    a, b = ((tmp_path / name / "tokenizer.json").read_bytes() for name in "ab")
    assert a == b
    assert len(json.loads(a)["model"]["vocab"]) == 700


def test_bulgarian_articles_are_decoded_as_they_were(real_data, tmp_path_factory, tmp_path):
    dump, facts = real_data / "wikipedia/bgwiki-sample.xml.bz2", real_data / "wikidata/enwiki-sample-wikidata.json.gz"
    words = ["--wikipedia", dump, "--wikidata", facts, "--language", "bg", "--keep", "linked"]
    dataset = Dataset(build_once(tmp_path_factory, "bgwiki-sample", words))
    train_tokenizer(dataset, tmp_path, Vocabulary(vocab_size=2_000, byte_fallback=True))
    texts = dataset.read("pages", None, ["text"])["text"].to_pylist()
    assert texts
    encoder, tokenizer = Encoder("t", (tmp_path / "tokenizer.json").read_bytes()), load(tmp_path)
    for text in texts:
        ids = encoder.encode([text]).ids
        assert tokenizer.decode(ids.tolist()) == " ".join(text.replace("\u2581", " ").split())
        assert encoder.special["unk"] not in ids


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_pieces_are_those_of_sentencepiece_itself(demo_dataset, tmp_path, monkeypatch, model):
    made, processor = [], sentencepiece.SentencePieceProcessor

    def keep(**options):
        made.append(processor(**options))
        return made[0]

    monkeypatch.setattr(sentencepiece, "SentencePieceProcessor", keep)
    options = Vocabulary(model=model, vocab_size=900, character_coverage=1.0)
    train_tokenizer(Dataset(demo_dataset), tmp_path, options)
    tokenizer = load(tmp_path)
    texts = Dataset(demo_dataset).read("entities", None, ["text"])["text"].to_pylist()
    different = [
        text for text in texts if tokenizer.encode(text, add_special_tokens=False).tokens != sentence(made, text)
    ]
    assert len(texts) > 300
    assert different == []


def sentence(made, text):
    return made[0].EncodeAsPieces(" ".join(text.split()))


def test_transformers_reads_the_folder(tmp_path):
    from transformers import AutoTokenizer

    _, folder = trained(tmp_path, LINES["cyrillic"] * 5)
    found = AutoTokenizer.from_pretrained(folder)
    text = LINES["cyrillic"][0]
    assert found(text).input_ids == [0, *load(folder).encode(text, add_special_tokens=False).ids, 2]
    assert (found.mask_token_id, found.pad_token_id, found.cls_token, found.sep_token) == (4, 1, "<s>", "</s>")
    assert found.decode(found(text).input_ids, skip_special_tokens=True) == text


def test_without_text_or_with_too_small_a_vocabulary_there_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="make no vocabulary of 1000 pieces"):
        trained(tmp_path / "a", [])
    with pytest.raises(DataError, match="--character-coverage"):
        trained(tmp_path / "b", ["".join(map(chr, range(0x4E00, 0x5E00)))], vocab_size=500)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vocab-size", "9"], "--vocab-size 9: expected 100 to"),
        (["--character-coverage", "1.5"], "--character-coverage 1.5: expected 0.5 to 1"),
        (["--byte-fallback", "--vocab-size", "300"], "--byte-fallback needs 512"),
        (["--model", "wordpiece"], "wordpiece"),
    ],
)
def test_a_wrong_option_is_one_clear_line(tmp_path, words, message, capsys):
    assert main(["train-tokenizer", str(tmp_path), "--out", str(tmp_path / "t"), *words]) == 2
    assert message in capsys.readouterr().err
