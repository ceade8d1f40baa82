"""Exports: transformers and sentence-transformers read them without our code, and get our numbers."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from tests.training.synthetic import World
from training.baselines import run_baseline
from training.data.collate import build_graphs
from training.data.graphs import IGNORE, Graph, pad_graphs, raw_from_graphs
from training.encoders import TiedHead, encode_text
from training.export import export, plain_model
from training.linking import Link
from training.predict import predict
from training.runs import load_run
from training.tokenizer_files import frame
from training.train import train
from training.weaving import Weaver

SMALL = {
    "train.steps": "3",
    "train.batch_size": "4",
    "train.valid_batches": "1",
    "train.threads": "1",
    "optim.warmup_steps": "0",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.heads": "2",
    "encoder.max_positions": "128",
}
WORDS = [*World().names, "is", "a", "its", "unheard-of", ".", "<mask>"]
TEXTS = [
    " ".join(WORDS[int(random_u64(0, "word", text, place) % np.uint64(len(WORDS)))] for place in range(1 + text % 40))
    for text in range(100)
]
MASKED = "its city of country is <mask> . its <mask> is a job ."


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder of another family, whose masked language model has another layout."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path_factory.mktemp("bert")
    BertForMaskedLM(BertConfig(vocab_size=200, max_position_embeddings=128, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["colake", "kepler", "mlm-only", "colake-bert", "kepler-bert"])
def exported(request, made_up, bert, tmp_path_factory):
    """(run, its export) of every system and both families of encoders, hardly trained."""
    system, other = request.param.removesuffix("-bert"), request.param.endswith("-bert")
    folder = tmp_path_factory.mktemp(request.param)
    settings = {**SMALL, **({"encoder.name": str(bert)} if other else {})}
    if system == "kepler":
        settings |= {"kepler.blocks": "4", "kepler.max_length": "128", "kepler.normalized": "true"}
    train(f"{system}-tiny", made_up, folder / "run", resume=False, dry_run=False, settings=settings)
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    entities = system != "mlm-only"
    return folder / "run", export(folder / "run", folder / "out", entities=entities, texts=folder / "texts.txt")


def tokens(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")


def graphs_without_entities(run, ids, real):
    """What CoLAKE reads where no entity is linked."""
    none, empty = np.empty(0, np.int32), np.empty((0, 3), np.int32)
    texts = [own[own_real][1:-1].numpy().astype(np.int32) for own, own_real in zip(ids, real, strict=True)]
    return graph_piece(run, [Graph(text, none, empty) for text in texts])


def graph_piece(run, graphs):
    """The graphs as the model reads them, nothing masked."""
    special, raw = run.source.special, raw_from_graphs(graphs)
    limits = {"max_units": 126, "max_nodes": 256, "priority": np.zeros(len(raw.tails.values), np.uint64)}
    built = build_graphs(raw, bos=special.bos, eos=special.eos, **limits)
    return pad_graphs(built, built.ids, np.full(len(built.ids), IGNORE), np.arange(len(graphs)), special.pad)


def our_states(run, ids, real):
    """The run's own states, by the way it was trained on."""
    if run.config.system == "colake":
        return run.network.states(graphs_without_entities(run, ids, real))
    return encode_text(run.network.encoder, ids, real)


@torch.no_grad()
def test_states_and_word_logits_are_bit_for_bit_ours(exported):
    from transformers import AutoModel, AutoModelForMaskedLM

    run, (ids, mask) = load_run(exported[0]), (tokens(exported[1])[name] for name in ("input_ids", "attention_mask"))
    real = mask.bool()
    ours = our_states(run, ids, real)
    theirs = AutoModel.from_pretrained(exported[1]).eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    assert len(ids) == 100 and float((ours - theirs)[real].abs().max()) == 0.0
    logits = AutoModelForMaskedLM.from_pretrained(exported[1]).eval()(input_ids=ids, attention_mask=mask).logits
    words = run.network.encoder.get_input_embeddings().weight
    assert torch.equal(run.network.word_head(ours[real], words), logits[real])
    if run.config.system == "colake":
        types = run.network.encoder.embeddings.token_type_embeddings.weight
        assert not torch.equal(types[0], types[1]), "the types were not trained, so nothing was shown of them"


def test_the_tokenizer_gives_the_ids_that_the_run_reads(exported):
    from transformers import AutoTokenizer

    run, tokenizer = load_run(exported[0]), AutoTokenizer.from_pretrained(exported[1])
    special = run.source.special
    for text in [*TEXTS, "", "not in the vocabulary"]:
        own = run.tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer(text)["input_ids"] == [special.bos, *own, special.eos]
    assert tokenizer.mask_token_id == special.mask and tokenizer.pad_token_id == special.pad
    assert tokenizer.cls_token_id == special.bos and tokenizer.unk_token_id == special.unk
    assert tokenizer.model_max_length == 128


def test_fill_mask_gives_the_words_of_predict(exported):
    from transformers import pipeline

    fill = pipeline("fill-mask", str(exported[1]), top_k=20)
    ours = [row for row in predict(exported[0], text=MASKED, top=200) if row["mask"] == 1]
    scores = {row["word"]: row["score"] for row in ours if row["score"]}
    found = [row for row in fill(MASKED)[0] if row["token_str"].strip() in scores]
    assert len(found) > 10
    ratios = [row["score"] / scores[row["token_str"].strip()] for row in found]
    # predict leaves out the special tokens, so its scores are all greater by the same factor.
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-4) and 0.5 < ratios[0] <= 1


def test_sentence_transformers_gives_the_vectors_of_texts_parquet(exported):
    from sentence_transformers import SentenceTransformer

    table = pq.read_table(exported[1] / "texts.parquet")
    assert table["line"].to_pylist() == list(range(1, 101)) and set(table["tokens_cut"].to_pylist()) == {0}
    ours = np.array(table["vector"].to_pylist())
    model = SentenceTransformer(str(exported[1]), device="cpu")
    assert model.max_seq_length == 128
    assert np.abs(model.encode(TEXTS) - ours).max() < 1e-5
    assert len(np.unique(ours.round(5), axis=0)) > 90


def test_entities_have_their_vectors_by_id(exported, tmp_path):
    run = load_run(exported[0])
    if run.config.system == "mlm-only":
        with pytest.raises(DataError, match="has no vectors of entities"):
            export(exported[0], tmp_path / "out", entities=True)
        return
    table = pq.read_table(exported[1] / "entities")
    rows = run.dataset.read("entities", columns=["entity", "label"])
    assert table.select(["entity", "label"]).equals(rows)
    ours = torch.tensor(table["vector"].to_pylist())
    if run.config.system == "colake":
        assert torch.equal(ours, run.network.memory.weight[: len(ours)])
    else:
        assert torch.allclose(ours, run.scorer().entities, atol=1e-5)
    assert table.schema.metadata[b"dataset_digest"].decode() == run.dataset.digest


def test_there_is_no_code_no_pickle_and_no_path_of_the_machine(exported, tmp_path):
    files = [path for path in exported[1].rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".md", ".parquet", ".safetensors"}
    assert not [
        path for path in files if b"/tmp" in path.read_bytes() or str(exported[0]).encode() in path.read_bytes()
    ]
    card = (exported[1] / "README.md").read_text()
    assert load_run(exported[0]).dataset.digest in card and "fill-mask" in card and "3 steps" in card
    assert not list(exported[1].parent.glob(".*"))


def test_a_longer_text_is_cut_as_the_model_reads_it_and_says_so(exported, tmp_path):
    (tmp_path / "texts.txt").write_text("a " * 200 + "\n\na\r\n" + "a " * 126)
    out = export(exported[0], tmp_path / "out", texts=tmp_path / "texts.txt")
    table = pq.read_table(out / "texts.parquet")
    assert table["line"].to_pylist() == [1, 2, 3, 4] and table["tokens_cut"].to_pylist() == [74, 0, 0, 0]
    vectors = np.array(table["vector"].to_pylist())
    assert np.allclose(vectors[0], vectors[3], atol=1e-6) and not np.allclose(vectors[1], vectors[2])
    assert not (out / "entities").exists()


@torch.no_grad()
def test_entities_in_texts_have_their_states_in_the_texts_graph(exported, tmp_path):
    run = load_run(exported[0])
    texts = ["its capital is city0 .", "nothing here", "city0 is city0 and country1 .", "a " * 130 + "city0"]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    table = pq.read_table(export(exported[0], tmp_path / "out", texts=tmp_path / "texts.txt") / "texts.parquet")
    if run.config.system != "colake":
        assert table.column_names == ["line", "vector", "tokens_cut"]
        return
    first, none, twice, late = table["entities"].to_pylist()
    assert [(one["entity"], texts[0][one["start"] : one["end"]]) for one in first] == [("Q7", "city0")]
    assert [(one["entity"], one["start"]) for one in twice] == [("Q7", 0), ("Q2", texts[2].index("country1"))]
    assert none == late == [], "what stands behind the part that is read has no state"
    piece = graph_piece(run, [Weaver.of(run.dataset, run.tokenizer).weave(texts[0], [Link(15, 20, 6)])])
    anchor = int(piece.inline[0]) - 1  # after all words
    assert piece.ids[0, anchor] == 6
    assert torch.allclose(torch.tensor(first[0]["vector"]), run.network.states(piece)[0, anchor], atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"good\n\xff\n", "texts.txt, line 2: not UTF-8"), (None, "texts.txt can't be read")],
)
def test_texts_that_cant_be_read_leave_no_folder(exported, tmp_path, content, message):
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        export(exported[0], tmp_path / "out", texts=tmp_path / "texts.txt")
    assert {path.name for path in tmp_path.iterdir()} <= {"texts.txt"}


def test_a_folder_that_holds_something_stays_as_it_is(exported, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        export(exported[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(exported, tmp_path):
    (tmp_path / "out").mkdir()
    assert (export(exported[0], tmp_path / "out") / "config.json").is_file()


def test_where_nothing_can_be_written_is_one_clear_line(exported, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/out can't be written"):
        export(exported[0], tmp_path / "file" / "out")


def test_an_mlm_only_run_knows_no_facts(exported):
    if load_run(exported[0]).config.system == "mlm-only":
        with pytest.raises(DataError, match="knows no facts"):
            predict(exported[0], head="city0", relation="P1")


def test_a_baseline_has_nothing_to_export(made_up, tmp_path):
    run_baseline("frequency", made_up, None, tmp_path / "run", {})
    with pytest.raises(DataError, match="no text encoder"):
        export(tmp_path / "run", tmp_path / "out")


SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("kind", "more", "eps", "message"),
    [
        ("Electra", {"embedding_size": 16}, 1e-12, "type electra has another head"),
        ("Bert", {"hidden_act": "gelu_new"}, 1e-12, "type bert has another head"),
        ("Roberta", {}, 0.5, "type roberta gives other word logits"),
        ("Splinter", {}, 1e-12, "no masked language model for an encoder of the type splinter"),
    ],
)
def test_an_encoder_that_cant_be_written_as_its_family_is_refused(kind, more, eps, message):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES, **more)
    encoder = getattr(transformers, f"{kind}Model")(config)
    encoder.pooler = None
    head = TiedHead(16, 40)
    head.norm.eps = eps
    with pytest.raises(DataError, match=message):
        plain_model(encoder, head)


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta", "Camembert", "Bert"])
def test_families_with_such_a_head_keep_their_logits_through_a_file(kind, tmp_path):
    import transformers

    torch.manual_seed(0)
    encoder = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**SIZES)).eval()
    encoder.pooler, head, ids = None, TiedHead(16, 40), torch.tensor([[0, 7, 8, 9, 2]])
    head.norm.eps = encoder.config.layer_norm_eps
    torch.nn.init.normal_(head.bias)
    plain_model(encoder, head).save_pretrained(tmp_path)
    with torch.no_grad():
        expected = head(encode_text(encoder, ids, ids >= 0)[0], encoder.get_input_embeddings().weight)
        found = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()(input_ids=ids).logits[0]
    assert torch.equal(found, expected)


def test_a_tokenizer_that_frames_no_text_is_made_to(made_up):
    from tokenizers import Tokenizer

    from schemas.dataset import Dataset
    from training.data.special import special_tokens

    document = json.loads((Dataset(made_up).tokens("tiny").folder / "tokenizer.json").read_text())
    tokenizer = Tokenizer.from_str(json.dumps({**document, "post_processor": None}))
    special = special_tokens(tokenizer)
    assert special.bos not in tokenizer.encode("a").ids
    frame(tokenizer, special)
    assert tokenizer.encode("a").ids == [special.bos, *tokenizer.encode("a", add_special_tokens=False).ids, special.eos]
