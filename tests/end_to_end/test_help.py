"""Help is instant, and says everything."""

import subprocess
import sys

import pytest

from tests.conftest import wikiloom
from wikiloom import COMMANDS

HEAVY = ("torch", "transformers", "apache_beam", "pykeen", "matplotlib", "sentencepiece", "tokenizers")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    script = (
        "import sys\nfrom wikiloom import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as exit_:\n    code = exit_.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), code)"
    )
    words = [word for word in (command, "--help") if word]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert "usage" in done.stdout


def test_every_command_is_in_the_help():
    assert all(f"  {command}" in wikiloom("--help").stdout for command in COMMANDS)
