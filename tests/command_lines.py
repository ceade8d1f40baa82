"""Command lines in documents and in docker/, read by the parsers that read them when they are typed."""

import dataclasses
import re
import shlex

from pipelines import cli as pipelines_cli
from pipelines.config import Build
from pipelines.runner import _require_known
from training import cli as training_cli
from training.config_file import load_config
from wikiloom import parse

KINDS = {
    "train": training_cli.Train,
    "evaluate": training_cli.Evaluate,
    "build": Build,
    "train-tokenizer": pipelines_cli.TrainTokenizer,
    "tokenize": pipelines_cli.Tokenize,
    "validate": pipelines_cli.Validate,
    "describe": pipelines_cli.Describe,
}
BEAM = ("build", "tokenize")
"""Commands whose other options are Beam's."""


def commands(text):
    """The command lines of a text's blocks of code, each as words; a comment or an empty line is none."""
    for block in re.findall(r"```\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def require_parsed(words):
    """Read the words behind `wikiloom` as that command does; UsageError where it would not take them."""
    command, arguments = words[0], words[1:]
    if command not in BEAM:
        config = parse(KINDS[command], command, arguments)
        if command == "train":
            load_config(config.recipe, training_cli.settings(config.set))
        return
    config, others = parse(KINDS[command], command, arguments, passing_on=True)
    if command == "build":
        config.parameters  # noqa: B018  # reads --set
    ours = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(KINDS[command])]
    _require_known(others, ours, command)


def require_torchrun(words):
    """Read the words behind `torchrun`, and those of the command that it starts."""
    from torch.distributed.run import parse_args

    options = parse_args(words)
    assert (options.no_python, options.training_script) == (True, "wikiloom"), words
    require_parsed(options.training_script_args)
