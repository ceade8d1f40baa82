"""predict and evaluate on small trained runs: the rows, the names, and every way to ask wrongly."""

import json

import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from training.baselines import run_baseline
from training.evaluation.names import entity_names, plain
from training.evaluation.run import evaluate
from training.linking import Link
from training.models.colake import ColakePredictor
from training.predict import predict, render
from training.train import train

SMALL = {
    "train.steps": "2",
    "train.batch_size": "4",
    "train.valid_batches": "1",
    "optim.warmup_steps": "0",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.heads": "2",
}


@pytest.fixture(scope="module")
def runs(made_up, tmp_path_factory):
    """A run of each system, hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe, more in (("colake-tiny", {}), ("kepler-tiny", {"kepler.blocks": "4"})):
        train(recipe, made_up, folder / recipe, resume=False, dry_run=False, settings={**SMALL, **more})
    run_baseline("distmult", made_up, None, folder / "distmult", {"epochs": "1", "dim": "8"})
    run_baseline("frequency", made_up, None, folder / "frequency", {})
    return folder


@pytest.mark.parametrize("run", ["colake-tiny", "kepler-tiny", "distmult"])
@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ({"head": "city0", "relation": "P1"}, "entity"),
        ({"relation": "country of city", "tail": "Q1"}, "entity"),
        ({"head": "CITY0", "tail": "country0"}, "relation"),
        ({"head": "city0", "tail": "city0"}, "relation"),
    ],
)
def test_every_side_of_a_fact_can_be_asked(runs, run, question, kind):
    rows = predict(runs / run, **question, top=3)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert list(rows[0]) == ["rank", kind, "label", "score", "known"]
    assert rows == sorted(rows, key=lambda row: -row["score"])
    assert [json.loads(line) for line in render(rows, as_json=True).splitlines()] == rows


def test_known_is_the_split_that_states_the_fact(runs, made_up):
    rows = predict(runs / "kepler-tiny", head="city0", relation="P1", top=200)
    splits = {"train": 0, "valid": 0, "test": 0}
    for split in splits:
        for fact in Dataset(made_up).read("triples", split).to_pylist():
            if fact["head"] == "Q7" and fact["relation"] == "P1":
                assert [row["known"] for row in rows if row["entity"] == fact["tail"]] == [split]
                splits[split] += 1
    assert sum(splits.values()) == sum(row["known"] is not None for row in rows) == 1


def test_scores_are_those_of_the_ranking(runs):
    rows = predict(runs / "kepler-tiny", head="city0", relation="P1", top=500)
    from training.runs import load_run

    scores = load_run(runs / "kepler-tiny").scorer().tails(torch.tensor([6]), torch.tensor([0]))[0]
    assert [row["score"] for row in rows] == pytest.approx(sorted(scores.tolist(), reverse=True))
    relation = next(r for r in predict(runs / "kepler-tiny", head="city0", tail="country0") if r["relation"] == "P1")
    assert relation["score"] == pytest.approx(next(row["score"] for row in rows if row["entity"] == "Q1"), abs=1e-5)


def test_kepler_takes_texts_for_entities_outside_the_data(runs):
    assert len(predict(runs / "kepler-tiny", head_text="a city", relation="P1")) == 10
    assert len(predict(runs / "kepler-tiny", tail_text="a country", head="city0")) == 6
    assert predict(runs / "kepler-tiny", relation="P1", tail_text="a country")[0]["known"] is None


def test_a_text_may_be_longer_than_is_read_and_says_so(runs, capsys):
    said = predict(runs / "kepler-tiny", head_text="city0 is a city . " * 100, relation="P1", top=200)
    assert "note: --head-text has 500 tokens, of which the model reads the first 62" in capsys.readouterr().err
    read = ("city0 is a city . " * 100).split()[:62]
    assert said == predict(runs / "kepler-tiny", head_text=" ".join(read), relation="P1", top=200)
    assert "note" not in capsys.readouterr().err


def test_a_description_in_another_script_is_read_by_its_known_words(runs):
    known = predict(runs / "kepler-tiny", head_text="<unk> city", relation="P1", top=200)
    other = predict(runs / "kepler-tiny", head_text="Берлин city", relation="P1", top=200)
    assert len(other) == 110 and other != known, "what a description calls <unk> is a word like others"


@pytest.mark.parametrize("run", ["colake-tiny", "kepler-tiny"])
def test_words_come_for_each_mask(runs, run):
    rows = predict(runs / run, text="its <mask> is a <mask> .", top=2)
    assert [(row["mask"], row["rank"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert not {row["word"] for row in rows} & {"<mask>", "<s>", "</s>", "<pad>", "<unk>"}


def test_colake_shows_the_entities_of_a_text_and_reads_them_as_anchors(runs, made_up, monkeypatch):
    head = next(row for row in Dataset(made_up).read("entities").to_pylist() if row["out_degree"])
    seen = []
    fills = ColakePredictor.word_logits
    monkeypatch.setattr(ColakePredictor, "word_logits", lambda *given: (seen.extend(given[1]), fills(*given))[1])
    rows = predict(runs / "colake-tiny", text=f"job0 is the <mask> of {head['label']} .", top=1)
    job = next(row for row in Dataset(made_up).read("entities").to_pylist() if row["label"] == "job0")
    assert [(row["mention"], row["entity"], row["label"]) for row in rows[:2]] == [
        ("job0", job["entity"], "job0"),
        (head["label"], head["entity"], head["label"]),
    ]
    assert [list(row) for row in rows[2:]] == [["mask", "rank", "word", "score"]]
    assert [unit for unit in seen[0].units.tolist() if unit < 0] == [-1, -2]
    assert seen[0].anchors.tolist() == [job["entity_index"], head["entity_index"]]
    assert seen[0].triples[:, 0].tolist() == [1] * head["out_degree"]
    assert render(rows).count("score") == 2


def test_a_text_of_known_mentions_needs_no_mask_and_a_mask_is_no_mention(runs, monkeypatch):
    assert [row["entity"] for row in predict(runs / "colake-tiny", text="city0")] == ["Q7"]
    monkeypatch.setattr("training.linking.Linker.link", lambda linker, text: [Link(0, 5, 6), Link(7, 11, 0)])
    rows = predict(runs / "colake-tiny", text="city0 <mask>", top=1)
    assert [row.get("entity") for row in rows] == ["Q7", None]


@pytest.mark.parametrize(
    ("run", "question", "error", "message"),
    [
        ("kepler-tiny", {}, UsageError, "two of --head"),
        ("kepler-tiny", {"head": "city0"}, UsageError, "given: head"),
        ("kepler-tiny", {"head": "a", "relation": "b", "tail": "c"}, UsageError, "given: head, relation, tail"),
        ("kepler-tiny", {"head": "city0", "text": "<mask>"}, UsageError, "--text alone"),
        ("kepler-tiny", {"head": "city0", "head_text": "x", "relation": "P1"}, UsageError, "give one"),
        ("kepler-tiny", {"head_text": "", "relation": "P1"}, UsageError, "--head-text is empty"),
        ("kepler-tiny", {"tail_text": " \n\t", "relation": "P1"}, UsageError, "--tail-text is empty"),
        ("kepler-tiny", {"head_text": "Берлин", "relation": "P1"}, UsageError, "no word of the run's vocabulary"),
        ("kepler-tiny", {"head": "", "relation": "P1"}, UsageError, "''"),
        ("kepler-tiny", {"text": "no gap"}, UsageError, "has no <mask>:"),
        ("colake-tiny", {"text": "no gap"}, UsageError, "has no <mask>, and none of its words is a known mention"),
        ("kepler-tiny", {"head": "city00", "relation": "P1"}, UsageError, "Did you mean city0"),
        ("kepler-tiny", {"head": "city0", "relation": "citizen off"}, UsageError, "Did you mean citizen of"),
        ("kepler-tiny", {"head": "city0", "relation": "P1", "top": 0}, UsageError, "at least 1, not 0"),
        ("colake-tiny", {"head_text": "x", "relation": "P1"}, DataError, "use a KEPLER run"),
        ("distmult", {"head_text": "x", "relation": "P1"}, DataError, "use a KEPLER run"),
        ("distmult", {"text": "a <mask>"}, DataError, "knows no text"),
        ("frequency", {"head": "city0", "relation": "P1"}, DataError, "only evaluated"),
        ("nothing", {"head": "city0", "relation": "P1"}, DataError, "is not a run"),
    ],
)
def test_wrong_questions_are_one_line_that_helps(runs, run, question, error, message):
    with pytest.raises(error, match=message) as raised:
        predict(runs / run, **question)
    assert "\n" not in str(raised.value)


def test_the_system_decides_which_task_fits(runs):
    with pytest.raises(
        DataError, match=r"colake run, which has no answer for link-prediction. It takes masked or linking"
    ):
        evaluate(runs / "colake-tiny", "link-prediction")
    with pytest.raises(DataError, match=r"kepler run, which has no answer for masked. It takes link-prediction"):
        evaluate(runs / "kepler-tiny", "masked")
    with pytest.raises(UsageError, match="Did you mean masked"):
        evaluate(runs / "kepler-tiny", "maskd")


@pytest.mark.parametrize(
    ("run", "task", "part", "rules"),
    [
        ("kepler-tiny", "link-prediction", "both", {"frequency", "seen-pattern"}),
        ("colake-tiny", "masked", "entity", {"majority", "frequency", "cooccurrence"}),
    ],
)
def test_results_are_written_and_printed_beside_the_rules(runs, made_up, run, task, part, rules, capsys):
    result = evaluate(runs / run, task)
    digest = Dataset(made_up).digest
    path = runs / run / "results" / f"{task}-test-{digest[:8]}.json"
    assert json.loads(path.read_text(encoding="utf-8")) == result
    assert result.keys() >= {"task", "metrics", "protocol", "digest", "seconds"}
    assert result["digest"] == digest and result["baselines"].keys() == rules
    assert 0 < result["metrics"][part]["mrr"] <= 1
    printed = capsys.readouterr().out
    assert run.split("-")[0] in printed and all(rule in printed for rule in rules)
    assert path.name in printed


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    splits = {"train": [("john_a", "knows", "John_A"), ("Q1", "knows", "x\x1b[31my")], "valid": [], "test": []}
    return entity_names(write_kg(tmp_path_factory.mktemp("people"), splits))


def test_an_exact_id_comes_before_names(people):
    assert people.id(people.find("john_a")) == "john_a"
    assert people.id(people.find("q1")) == "Q1"
    assert people.id(people.find("the Q1")) == "Q1"


def test_a_name_of_several_lists_them(people):
    with pytest.raises(UsageError, match=r"names 2 .*john_a.*Give the id"):
        people.find("John A")


def test_nothing_a_terminal_would_act_on_is_printed(people):
    assert plain("a\x1b[31m\u202eb\nc") == "a [31m b c"
    with pytest.raises(UsageError) as raised:
        people.find("x [31mz\x07")
    assert str(raised.value).isprintable()
