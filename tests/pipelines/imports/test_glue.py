"""GLUE: files in the published layouts -> examples."""

import pytest

from pipelines.sources.glue import LAYOUTS
from pipelines.validate import validate
from schemas.errors import DataError
from tests.pipelines.imports.made import imported, lines, write
from tests.pipelines.imports.reading import Read

PARSES = "a b c d e f g"
PUBLISHED = {
    "CoLA": {
        "train.tsv": 'gj04\t1\t\tShe said "yes.\ngj04\t0\t*\tYes "she said.\n',
        "dev.tsv": "cj99\t1\t\tThe cat sat.\n",
        "test.tsv": "index\tsentence\n0\tThe dog sat.\n",
    },
    "SST-2": {
        "train.tsv": "sentence\tlabel\na fine film \t1\n",
        "dev.tsv": "sentence\tlabel\na dull film \t0\n",
        "test.tsv": "index\tsentence\n0\ta film \n",
    },
    "MRPC": {
        "train.tsv": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tIt rose.\tIt went up.\r\n",
        "test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tIt fell.\tIt rose.\n",
    },
    "QQP": {
        "train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWho?\tWhom?\t0\n4\t5\tbroken\n",
        "test.tsv": "id\tquestion1\tquestion2\n0\tHow?\tWhy?\n",
    },
    "STS-B": {
        "dev.tsv": lines("index genre filename year old_index source1 source2 sentence1 sentence2 score")
        + lines("0 news f 2012 1 none none one two 3.800", "1 news f 2012 1 none none one two 5.2"),
        "test.tsv": lines("index genre filename year old_index source1 source2 sentence1 sentence2")
        + lines("0 news f 2012 1 none none one two"),
    },
    "MNLI": {
        "train.tsv": lines(f"index promptID pairID {PARSES[:-10]} p1 p2 sentence1 sentence2 label1 gold_label")
        + lines("0 1 1n a b p1 p2 premise hypothesis neutral neutral"),
        "dev_matched.tsv": lines("index sentence1 sentence2 label1 label2 gold_label")
        + lines("0 premise other entailment neutral entailment", "1 premise other neutral neutral -"),
        "dev_mismatched.tsv": lines("index sentence1 sentence2 gold_label") + lines("0 far off contradiction"),
        "test_mismatched.tsv": lines("index sentence1 sentence2") + lines("0 far off"),
    },
    "QNLI": {"train.tsv": lines("index question sentence label") + lines("0 who? me not_entailment")},
    "RTE": {"dev.tsv": lines("index sentence1 sentence2 label") + lines("0 so such entailment")},
}


def published(folder, tasks=PUBLISHED):
    for task, files in tasks.items():
        write(folder / task, files)
    return folder


def said(rows, group, split):
    return [(r["text"], r["text_b"], r["label"]) for r in rows if (r["group"], r["split"]) == (group, split)]


def test_every_task_is_read_as_published(tmp_path):
    found = Read("glue", published(tmp_path))
    rows = found.rows
    assert set(PUBLISHED) == set(LAYOUTS)
    assert said(rows, "CoLA", "train") == [('She said "yes.', None, "1"), ('Yes "she said.', None, "0")]
    assert said(rows, "CoLA", "valid") == [("The cat sat.", None, "1")]
    assert said(rows, "CoLA", "test") == [("The dog sat.", None, None)]
    assert said(rows, "SST-2", "train") == [("a fine film ", None, "1")]
    assert said(rows, "MRPC", "train") == [("It rose.", "It went up.", "1")]
    assert said(rows, "QQP", "train") == [("Who?", "Whom?", "0")]
    assert said(rows, "QQP", "test") == [("How?", "Why?", None)]
    assert said(rows, "STS-B", "valid") == [("one", "two", "3.800")]
    assert said(rows, "MNLI", "train") == [("premise", "hypothesis", "neutral")]
    assert said(rows, "MNLI", "valid") == [("premise", "other", "entailment")]
    assert said(rows, "MNLI-mm", "valid") == [("far", "off", "contradiction")]
    assert said(rows, "MNLI-mm", "test") == [("far", "off", None)]
    assert said(rows, "QNLI", "train") == [("who?", "me", "not_entailment")]
    assert said(rows, "RTE", "valid") == [("so", "such", "entailment")]
    assert [(stage, reason) for stage, _, reason in found.rejects] == [
        ("QQP/train", "broken_line"),
        ("STS-B/valid", "unknown_label"),
        ("MNLI/valid", "unknown_label"),
    ]


def test_an_import_of_it_is_valid(tmp_path):
    dataset = imported("glue", published(tmp_path / "from"), tmp_path / "out")
    assert dataset.rows("examples") == 19 and dataset.rows("rejects") == 3
    assert list(validate(tmp_path / "out")) == []


def test_a_single_tasks_folder_is_enough(tmp_path):
    published(tmp_path, {"RTE": PUBLISHED["RTE"]})
    assert Read("glue", tmp_path / "RTE").rows == Read("glue", tmp_path).rows != []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"dev.tsv": "sentence1\tsentence2\nso\tsuch\n"},
            "RTE/dev.tsv: expected the columns sentence1, sentence2, label",
        ),
        ({"dev.tsv": ""}, "RTE/dev.tsv: expected a line of column names, found an empty file"),
        ({}, "no folder of GLUE's tasks in it"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        Read("glue", published(tmp_path, {"RTE": files}))
