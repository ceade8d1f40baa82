"""The tasks that are learned from examples, on made-up files in the published layouts."""

import functools
import itertools
import json
import shutil

import pytest

from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported, write
from tests.training.test_export import SMALL
from training.baselines import run_baseline
from training.compare import compare
from training.evaluation.run import evaluate
from training.export import export
from training.train import train

FAST = {"seeds": "2", "epochs": "8", "lr": "2e-2", "batch_size": "8"}


@pytest.fixture(scope="module")
def run(made_up, tmp_path_factory):
    """A CoLAKE run, hardly trained."""
    folder = tmp_path_factory.mktemp("finetuned") / "run"
    train("colake-tiny", made_up, folder, resume=False, dry_run=False, settings=SMALL)
    return folder


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    """The same as a plain folder."""
    return export(run, tmp_path_factory.mktemp("plain") / "out")


def sentences(count, first=0):
    """City and country (Q7 to Q30 and Q1 to Q6 of the world), joined by the words of one of two relations."""
    rows = []
    for number in range(first, first + count):
        city, country, other = number % 24, number % 24 // 4, number % 2
        middle = "is a city . its capital is" if other else "is a city . its country of city is"
        text = f"city{city} {middle} country{country} ."
        head, tail = (0, len(f"city{city}")), (len(text) - 2 - len(f"country{country}"), len(text) - 2)
        rows.append((text, head, tail, f"Q{7 + city}", f"Q{1 + country}", other))
    return rows


def fewrel(rows):
    """In ERNIE's layout."""
    return json.dumps(
        [
            {"text": text, "ents": [[head, *h, 1.0], [tail, *t, 1.0]], "label": "P6" if other else "P1"}
            for text, h, t, head, tail, other in rows
        ]
    )


def tacred(rows):
    """As published; the sentences of the second kind state nothing."""
    examples = []
    for number, (text, _, _, _, _, other) in enumerate(rows):
        tokens = text.split()
        ends = {"subj_start": 0, "subj_end": 0, "obj_start": len(tokens) - 2, "obj_end": len(tokens) - 2}
        relation = "no_relation" if other else "loc:country"
        examples.append({"id": f"{rows[0][0]}{len(rows)}/{number}", "relation": relation, "token": tokens, **ends})
    return json.dumps(examples)


def open_entity(rows):
    """In ERNIE's layout: what the mention is, and whether it is a capital."""
    return json.dumps(
        [
            {"sent": text, "start": h[0], "end": h[1], "labels": ["place", *(["capital"] if other else [])]}
            | {"ents": [[head, *h, 0.9], ["Q999", *t, 0.9]]}
            for text, h, t, head, _, other in rows
        ]
    )


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Task -> a dataset of it."""
    folder = tmp_path_factory.mktemp("examples")
    parts = {"train": sentences(48), "dev": sentences(16, 3), "test": sentences(16, 7)}
    found = {}
    for name, make in (("fewrel", fewrel), ("tacred", tacred), ("open-entity", open_entity)):
        write(folder / name, {f"{part}.json": make(rows) for part, rows in parts.items()})
        found[name] = imported(name, folder / name, folder / f"{name}-data").folder
    write(folder / "train-only", {"train.json": fewrel(sentences(48)), "test.json": fewrel(sentences(8))})
    found["train-only"] = imported("fewrel", folder / "train-only", folder / "train-only-data").folder
    return found


def test_relation_classification_learns_beats_the_majority_and_says_how(run, examples):
    result = evaluate(run, "relation-classification", examples["fewrel"], settings=FAST)
    metrics, protocol = result["metrics"], result["protocol"]
    assert metrics["macro"]["f1"] > 0.9 > 0.4 > result["baselines"]["majority"]["macro"]["f1"]
    assert metrics["macro"].keys() == {f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_sd")}
    assert [seed["seed"] for seed in metrics["seeds"]] == [0, 1]
    assert all(
        len(seed["curve"]) == 8 and seed["curve"][seed["epoch"] - 1] == seed["select"] for seed in metrics["seeds"]
    )
    assert metrics["inputs"] == {"mentions_linked": 160, "texts_cut": 0}
    assert protocol["epoch_chosen_on"] == "valid" and protocol["epoch_chosen_by"] == "macro F1"
    assert protocol["examples"] == {"train": 48, "select": 16, "reported": 16} and protocol["labels"] == 2
    assert protocol["lr"] == 0.02 and protocol["entities"] is True
    (path,) = (run / "results").glob("relation-classification-test-*.json")
    assert json.loads(path.read_text()) == result


def test_a_plain_folder_is_asked_alike_and_reads_no_entities(plain, examples):
    result = evaluate(plain, "relation-classification", examples["fewrel"], settings=FAST)
    assert result["metrics"]["inputs"] == {"texts_cut": 0} and result["system"] == "out"
    assert result["metrics"]["macro"]["f1"] > 0.5 > result["baselines"]["majority"]["macro"]["f1"]


def test_each_system_is_learned_in_its_own_form_and_comparisons_need_one(run, plain, examples, tmp_path):
    few, data = {**FAST, "seeds": "1", "epochs": "1"}, examples["fewrel"]
    ask = functools.partial(evaluate, task="relation-classification", data=data)
    assert ask(run, settings=few)["protocol"]["form"] == "start"
    assert ask(plain, settings=few)["protocol"]["form"] == "markers"
    assert ask(plain, settings={**few, "form": "start"})["protocol"]["form"] == "start"
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "config.toml").write_text((run / "config.toml").read_text().replace("seed = 0", "seed = 1", 1))
    for path in (copy / "results").iterdir():
        path.unlink()
    ask(copy, settings={**few, "form": "markers"})
    with pytest.raises(DataError, match=r"form start.*form markers"):
        compare([run, copy])
    rule = run_baseline("majority", data, "relation-classification", tmp_path / "rule", few)
    for one, form in ((run, "start"), (copy, "markers")):
        tables, _ = compare([one, rule])
        (table,) = [table for table in tables if table.task == "relation-classification"]
        assert table.protocol["form"] == form and [len(row.runs) for row in table.rows] == [1, 1]


def test_tacred_counts_no_relation_in_no_f1(run, examples):
    result = evaluate(run, "relation-classification", examples["tacred"], settings={**FAST, "seeds": "1"})
    assert result["protocol"]["no_relation_excluded"] and result["protocol"]["epoch_chosen_by"] == "micro F1"
    assert "f1_sd" not in result["metrics"]["micro"], "one seed has no deviation"
    # The majority is one of two classes of 24 each: loc:country, for it comes first.
    assert result["baselines"]["majority"]["micro"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3})


def test_the_context_alone_tells_the_relation_and_the_mentions_alone_do_not(plain, examples):
    """The relation of these sentences is in their middle words."""
    ask = functools.partial(evaluate, plain, "relation-classification", examples["fewrel"])
    one = {**FAST, "seeds": "1"}
    masked, only = (ask(settings={**one, "input": name}) for name in ("masked-entity", "only-entity"))
    assert masked["metrics"]["all"]["accuracy"] > 0.9 > 0.8 > only["metrics"]["all"]["accuracy"]
    assert masked["protocol"]["input"] == "masked-entity"
    with pytest.raises(UsageError, match=r"input=only-entity hides mentions already.*only_fifth"):
        ask(settings={"input": "only-entity", "only_fifth": "1"})


def test_a_probe_hides_the_entities_of_what_it_masks_from_a_colake_run_too(run, examples):
    few = {**FAST, "seeds": "1", "epochs": "1"}
    ask = functools.partial(evaluate, run, "relation-classification", examples["fewrel"])
    assert ask(settings={**few, "input": "masked-entity"})["metrics"]["inputs"] == {"texts_cut": 0}
    fifth = ask(settings={**few, "only_fifth": "5"})
    assert 0 < fifth["metrics"]["inputs"]["mentions_linked"] < 160


def test_what_is_reported_is_scored_in_fifths_by_the_frequency_of_its_entities(run, made_up, examples):
    few = {**FAST, "seeds": "1", "epochs": "1"}
    ask = functools.partial(evaluate, run, "relation-classification", examples["fewrel"])
    by_surface, by_entity = ask(settings=few), ask(settings={**few, "frequencies": str(made_up)})
    assert by_surface["protocol"]["frequency"].startswith("heads and tails of train with the same surface")
    assert by_entity["protocol"]["frequency"].startswith("entities.frequency of dataset ")
    for result in (by_surface, by_entity):
        told, fifths = result["protocol"]["fifths"], result["metrics"]["fifths"]
        assert [one["examples"] for one in told] == [4, 3, 3, 3, 3] and list(fifths) == list("12345")
        assert all(a["from"] <= a["to"] <= b["from"] for a, b in itertools.pairwise(told))
        right = sum(
            one["examples"] * fifth["all"]["accuracy"] for one, fifth in zip(told, fifths.values(), strict=True)
        )
        assert right / 16 == pytest.approx(result["metrics"]["all"]["accuracy"])
        assert result["baselines"]["majority"].keys() == {"macro", "micro"}


def test_typing_says_any_number_of_types_and_counts_entities_that_the_run_lacks(run, examples):
    result = evaluate(run, "typing", examples["open-entity"], settings=FAST)
    assert result["metrics"]["micro"]["f1"] > 0.9 > result["baselines"]["majority"]["micro"]["f1"] > 0.7
    assert result["metrics"]["inputs"] == {"mentions_linked": 80, "mentions_unknown": 80, "texts_cut": 0}
    text_only = evaluate(
        run, "typing", examples["open-entity"], settings={**FAST, "entities": "false", "form": "markers", "seeds": "1"}
    )
    assert text_only["metrics"]["inputs"] == {"texts_cut": 0}
    assert text_only["metrics"]["micro"]["f1"] > text_only["baselines"]["majority"]["micro"]["f1"]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_epoch_is_never_chosen_on_what_is_reported(run, examples, split):
    data = examples["fewrel" if split == "valid" else "train-only"]
    result = evaluate(run, "relation-classification", data, split, {**FAST, "seeds": "1", "epochs": "1"})
    protocol = result["protocol"]
    assert protocol["epoch_chosen_on"] == "10% of train, held out by hash"
    assert protocol["examples"]["train"] + protocol["examples"]["select"] == 48 and protocol["examples"]["select"] > 0


GLUE = {
    "CoLA": [f"x\t{n % 2}\t\t{'is a city' if n % 2 else 'its capital is'} job{n % 8}\n" for n in range(60)],
    "STS-B": ["index\tsentence1\tsentence2\tscore\n", *(f"{n}\ta city\ta job{n % 6}\t{n % 6}.0\n" for n in range(60))],
    "MNLI": [
        "index\tsentence1\tsentence2\tgold_label\n",
        *(f"{n}\ta city\t{'is' if n % 2 else 'its'}\t{'neutral' if n % 2 else 'entailment'}\n" for n in range(60)),
    ],
}


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    for task, lines in GLUE.items():
        dev = ("dev_matched", "dev_mismatched") if task == "MNLI" else ("dev",)
        write(folder / task, {f"{name}.tsv": "".join(lines) for name in ("train", *dev)})
    write(folder / "CoLA", {"test.tsv": "index\tsentence\n0\ta city\n"})
    return imported("glue", folder, folder / "data").folder


@pytest.mark.slow
def test_glue_learns_each_task_on_its_own_by_its_own_metric(run, glue):
    metrics = evaluate(run, "glue", glue, "valid", FAST)["metrics"]
    assert metrics["CoLA"].keys() == {"score", "matthews", "score_sd", "matthews_sd"}
    assert metrics["STS-B"].keys() == {"score", "pearson", "spearman", "score_sd", "pearson_sd", "spearman_sd"}
    assert metrics["MNLI"] == metrics["MNLI-mm"], "the files are the same"
    assert metrics["CoLA"]["matthews"] > 0.5 and metrics["MNLI"]["accuracy"] > 0.6
    assert metrics["STS-B"]["score"] == pytest.approx((metrics["STS-B"]["pearson"] + metrics["STS-B"]["spearman"]) / 2)
    three = [metrics[name]["score"] for name in ("CoLA", "STS-B", "MNLI")]
    assert metrics["average"]["score"] == pytest.approx(sum(three) / 3)
    assert metrics["inputs"].keys() == metrics["seeds"].keys() == {"CoLA", "STS-B", "MNLI"}


def test_glue_takes_the_tasks_that_are_asked_for_and_its_test_has_no_labels(run, plain, glue):
    result = evaluate(plain, "glue", glue, "valid", {**FAST, "seeds": "1", "epochs": "1", "tasks": "MNLI"})
    assert result["metrics"].keys() == {"average", "MNLI", "MNLI-mm", "inputs", "seeds"}
    with pytest.raises(DataError, match=r"without a label \(1 of CoLA\)"):
        evaluate(run, "glue", glue, settings={**FAST, "tasks": "CoLA"})
    with pytest.raises(UsageError, match=r"no task 'CoLa'.*Did you mean CoLA"):
        evaluate(run, "glue", glue, "valid", {"tasks": "CoLa"})


def test_wrong_uses_are_one_clear_line(run, examples, made_up, tmp_path):
    with pytest.raises(UsageError, match=r"--set form=markers: Input should be 'start'"):
        evaluate(run, "glue", examples["fewrel"], settings={"form": "markers"})
    with pytest.raises(UsageError, match="typing needs --data DIR"):
        evaluate(run, "typing")
    with pytest.raises(DataError, match=r"no example of typing in split train \(train 0, valid 0, test 0\)"):
        evaluate(run, "typing", examples["fewrel"])
    with pytest.raises(UsageError, match="learns from train; report"):
        evaluate(run, "typing", examples["open-entity"], "train")
    with pytest.raises(UsageError, match=r"no split 'tset'.*Did you mean test"):
        evaluate(run, "typing", examples["open-entity"], "tset")
    with pytest.raises(UsageError, match=r"no setting 'epoch'.*Did you mean epochs"):
        evaluate(run, "typing", examples["open-entity"], settings={"epoch": "1"})
    with pytest.raises(DataError, match="is not a run"):
        evaluate(tmp_path, "typing", examples["open-entity"])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="can't be loaded"):
        evaluate(tmp_path, "typing", examples["open-entity"])


def test_the_majority_is_a_baseline_of_its_own_and_compares_with_the_runs(run, examples, tmp_path):
    for task, name in (("typing", "open-entity"), *[("relation-classification", n) for n in ("fewrel", "tacred")]):
        evaluate(run, task, examples[name], settings={"seeds": "1", "epochs": "1"})
    run_baseline("majority", examples["open-entity"], "typing", tmp_path / "rule", {"seeds": "1", "epochs": "1"})
    tables, _ = compare([run, tmp_path / "rule"])
    (typing,) = [table for table in tables if table.task == "typing" and table.protocol["entities"]]
    assert [table.task for table in tables].count("relation-classification") > 1, "a table for each dataset"
    assert all("f1" in row.metrics["micro"] for row in typing.rows) and len(typing.rows) == 2
