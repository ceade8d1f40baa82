"""Recipes and --set of training and of build, with anything in them."""

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.config import Parameters, parse_parameters
from schemas.errors import UsageError
from tests.end_to_end.reliability.mutations import draws, mutated, tolerant
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome
from training.config import Config
from training.config_file import RECIPES, load_config, recipe_names, to_toml

ABOUT = (
    "recipes with up to four changes of their TOML, and --set of real and wrong keys to values of any kind, for "
    "train and for build: a UsageError, or a config that its own TOML gives back; no other exception"
)
COUNT = 100_000

TOKENS = [
    *"[]{}=.,#\"'\n\t\\-+_:0 ", "[train]\n", "[optim]\n", "[[data]]\n", "[x]\n", "steps = 3\n", "lr = 1e999\n",
    "seed = -1\n", "nan", "inf", "-inf", "true", "1979-05-27T07:32:00Z", "07:32:00", '"""',
    "'''", "\\ud83d", "\\u0000", "\r",
    "\x7f", "\0", "[" * 2_000, "{a=" * 500, "9" * 5_000, "0x", "1_0", "é = 1\n", "a.b.c = 1\n",
    "[]", "{}", '["a", 1]', "\ufeff",
]  # fmt: skip
VALUES = [
    "", "0", "1", "-1", "2", "3.5", "1e3", "1e999", "-1e999", "nan", "inf", "true", "false", "True", "None", "null",
    "x", "tiny", "9" * 5_000, "9" * 400, str(2**63), "0x10", "1_000", " 7 ", "７", "٣",
    "1e-400", "a=b", "[1]", "{}", "\n", "\0", "\ud83d",
    "linear", "device", "pages", "rules", "spacy", "cogbk", "é" * 300,
]  # fmt: skip


def run(count: int, seed: int) -> Outcome:
    """Change and load `count` configs."""
    recipes = [(RECIPES / f"{name}.toml").read_text(encoding="utf-8") for name in recipe_names() if _is_file(name)]
    keys = _keys()
    failures: list[str] = []
    tried = valid = 0
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.toml")
        for number, words in draws(seed, "fuzz_config", count, 6):
            tried += 1
            text, settings = make_config(words, recipes, keys)
            fault = tolerant(_check, words[0] >> 3 & 3, text, settings, path)
            valid += fault == ""
            if fault:
                failures.append(f"seed {seed}, number {number}: {fault}: {settings!r:.300} in {text!r:.1000}")
                if len(failures) == MAX_FAILURES:
                    break
    rate = round(tried / max(time.process_time() - begun, 1e-9))
    return Outcome(tried, failures, {"configs a CPU second": rate, "of them valid": valid})


def make_config(words: Sequence[int], recipes: Sequence[str], keys: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(TOML of a recipe, --set): changes of the one, the other, or both."""
    first = words[0]
    text, other = recipes[(first >> 8) % len(recipes)], recipes[(first >> 16) % len(recipes)]
    for word in words[1 : 1 + (first & 3)]:
        text = mutated(text, word, TOKENS, other)
    settings = {}
    for word in words[4 : 4 + (first >> 5 & 3)]:
        key, value = keys[(word >> 8) % len(keys)], VALUES[(word >> 20) % len(VALUES)]
        settings[mutated(key, word >> 24, TOKENS, "") if word & 7 == 0 else key] = value
    return text, settings


def _check(way: int, text: str, settings: dict[str, str], path: Path) -> str | None:
    """None for a refusal, "" for a valid config, else what is wrong."""
    try:
        if way == 0:
            found: Any = parse_parameters(tuple(f"{key}={value}" for key, value in settings.items()))
            return "" if isinstance(found, Parameters) else f"{found!r}"
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        config = load_config(str(path), settings)
    except UsageError as error:
        return None if str(error) else "a refusal without a word"
    path.write_text(to_toml(config), encoding="utf-8", newline="")
    again = load_config(str(path))
    return "" if again == config else f"{config} becomes {again}"


def _keys() -> list[str]:
    """All keys of a run's config and of a build."""
    config = dataclasses.asdict(Config(recipe="", system="colake"))
    inner = [f"{name}.{key}" for name, value in config.items() if isinstance(value, dict) for key in value]
    return [*config, *inner, *(field.name for field in dataclasses.fields(Parameters))]


def _is_file(name: str) -> bool:
    return (RECIPES / f"{name}.toml").is_file()
