"""The commands: help is light, wrong uses end in one line."""

import errno
import subprocess
import sys

import pytest

from schemas.errors import DataError, UsageError
from tests.conftest import ROOT
from training.cli import COMMANDS, run, settings


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("train", ["colake-tinny", "--data", "x"], "Did you mean colake-tiny"),
        ("train", ["colake-tiny", "--dat", "x"], "--data"),
        ("train", [], "recipe"),
        ("train", ["colake-tiny"], "needs --data DIR"),
        ("train", ["colake-tiny", "--data", "x", "--set", "optim.lr"], "expected KEY=VALUE"),
        ("train", ["colake-tiny", "--data", "x", "--set", "optim.rl=1"], "Did you mean optim.lr"),
        ("recipes", ["kepler-tinny"], "Did you mean kepler-tiny"),
        ("baseline", [], "--list"),
        ("evaluate", ["runs/x"], "--task"),
        ("predict", ["runs/x", "--top", "many"], "--top"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error_of_one_line(command, words, says):
    with pytest.raises(UsageError) as error:
        run(command, words)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "r/metrics.jsonl"),
            "r/metrics.jsonl: No space left on device.",
        ),
        (OSError(errno.EIO, "Input/output error"), "a file: Input/output error."),
        (OSError("x is no model of the hub"), "x is no model of the hub."),
    ],
    ids=["named", "of-an-open-file", "of-a-library"],
)
def test_a_disk_that_fails_is_told_of_in_one_line(error, says, monkeypatch):
    def failing(arguments):
        raise error

    monkeypatch.setitem(COMMANDS, "train", failing)
    with pytest.raises(DataError) as told:
        run("train", [])
    assert str(told.value) == f"wikiloom train: {says}"


def test_set_may_be_repeated_and_keeps_equals_signs():
    assert settings(["a=1", "b=c=d", "a=2"]) == {"a": "2", "b": "c=d"}


def test_recipes_lists_all_and_prints_one(capsys):
    assert run("recipes", []) == 0
    assert "kepler-tiny" in capsys.readouterr().out
    assert run("recipes", ["kepler-tiny"]) == 0
    assert "self_adversarial = " in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\nfrom training.cli import run\n"
        f"try: run({command!r}, ['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'pydantic', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"wikiloom {command}" in done.stdout
