"""Recipes and config.toml: TOML into frozen dataclasses, unknown keys refused; a run's config.toml is whole."""

import contextlib
import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from schemas.errors import DataError, UsageError, first_line, nearest
from training.config import Config, KeplerConfig, LmkeConfig

RECIPES = Path(__file__).parent / "recipes"
ALIASES = {"kepler-tiny": "kepler-wiki-tiny"}
"""Other names of recipes."""


FREE = (
    "about",
    "data.folder",
    "data.more_folders",
    "data.threads",
    "data.ahead",
    "data.workers",
    "data.on_corrupt",
    "train.threads",
    "train.flat_memory",
    "train.async_save",
    "train.parallel",
    "train.rank_timeout",
    "train.peak_tflops",
    "memory.folder",
)
"""What a run may be resumed with another value of."""


def recipe_names() -> list[str]:
    """All recipes, aliases included."""
    return sorted([path.stem for path in RECIPES.glob("*.toml")] + list(ALIASES))


def load_config(recipe: str, settings: dict[str, str] | None = None) -> Config:
    """A recipe by name, or a TOML file by path, with `--set` on top.

    Raises UsageError for an unknown recipe, key or value.
    """
    path = Path(recipe) if recipe.endswith(".toml") else RECIPES / f"{ALIASES.get(recipe, recipe)}.toml"
    if not path.is_file():
        if recipe.endswith(".toml"):
            raise UsageError(
                f"{recipe}: there is no such file. Give a recipe's name (wikiloom recipes) or a TOML file."
            )
        raise UsageError(
            f"There is no recipe {recipe!r}.{nearest(recipe, recipe_names())} wikiloom recipes lists them all."
        )
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # its own errors, and those of numbers and nests without end
        raise UsageError(f"{path} is not TOML: {first_line(error)}") from error
    document.setdefault("recipe", path.stem)
    _refuse_unknown(document, Config, "", str(path))
    for key, value in (settings or {}).items():
        _put(document, key, value)
    return _check(document, str(path))


def with_data(config: Config, folder: Path, digest: str, more: Sequence[tuple[Path, str]] = ()) -> Config:
    """The config of a run on this dataset, and on these further ones."""
    folders, digests = tuple(str(path) for path, _ in more), tuple(own for _, own in more)
    data = dataclasses.replace(
        config.data, folder=str(folder), digest=digest, more_folders=folders, more_digests=digests
    )
    return dataclasses.replace(config, data=data)


def to_toml(config: Config) -> str:
    """The whole config as TOML; load_config reads it back."""
    plain, tables = [], []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            lines = [f"{inner.name} = {_toml_value(getattr(value, inner.name))}" for inner in dataclasses.fields(value)]
            tables.append("\n".join([f"[{field.name}]", *lines]))
        else:
            plain.append(f"{field.name} = {_toml_value(value)}")
    return "\n\n".join(["\n".join(plain), *tables]) + "\n"


def differences(ours: Config, theirs: Config) -> list[str]:
    """`key: theirs, now ours` for every value that differs, but for what changes no batch."""
    left, right = _flat(theirs), _flat(ours)
    return [
        f"{key} was {left[key]!r}, now {right[key]!r}" for key in left if left[key] != right[key] and key not in FREE
    ]


def _flat(config: Config) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in dataclasses.asdict(config).items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value})
    return flat


def _toml_value(value: str | int | float | bool | tuple[str, ...]) -> str:
    # JSON's strings, integers, floats, booleans and lists are TOML's as well, but for the DEL character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refuse_unknown(document: dict[str, Any], kind: type, prefix: str, source: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, value in document.items():
        if key not in fields:
            known = [prefix + name for name in fields]
            raise UsageError(f"{source}: unknown key {prefix + key!r}.{nearest(prefix + key, known)}")
        section = dataclasses.is_dataclass(fields[key].type)
        if section != isinstance(value, dict):
            raise UsageError(f"{source}: {prefix + key} should be {'a section' if section else 'a value'}.")
        if section:
            _refuse_unknown(value, typing.cast(type, fields[key].type), f"{prefix}{key}.", source)


def _put(document: dict[str, Any], key: str, value: str) -> None:
    """`--set key=value`: the key must exist; the value is typed by the field."""
    known = list(_flat(Config(recipe="", system="colake")))
    if key not in known:
        raise UsageError(f"--set {key}={value}: there is no key {key!r}.{nearest(key, known)}")
    section, _, name = key.rpartition(".")
    kind = _field_type(section, name)
    if not _is_text(value):
        raise UsageError(f"--set {key}={value!a}: expected text in UTF-8.")
    if typing.get_origin(kind) is tuple:
        raise UsageError(f"--set {key}={value}: give each dataset a --data DIR of its own instead.")
    typed = _typed(kind, value)
    if typed is None:
        raise UsageError(f"--set {key}={value}: expected {_expected(kind)}")
    (document.setdefault(section, {}) if section else document)[name] = typed


def _is_text(value: str) -> bool:
    """Whether it can be written: bytes of a command line that are no UTF-8 come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _field_type(section: str, name: str) -> Any:
    kind: Any = Config
    for part in [part for part in (section, name) if part]:
        kind = next(field.type for field in dataclasses.fields(kind) if field.name == part)
    return kind


def _typed(kind: Any, value: str) -> Any:
    """The value as the field's type; None where it is none."""
    if kind is str:
        return value
    for read in (
        lambda: TypeAdapter(kind).validate_strings(value),
        lambda: TypeAdapter(kind).validate_python(int(value)),
    ):
        # A Literal of integers does not read strings.
        with contextlib.suppress(ValidationError, ValueError):
            return read()
    return None


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    plain, *extras = typing.get_args(kind) or (kind,)
    names = {int: "a whole number", float: "a number", bool: "true or false"}
    bounds = [bound for extra in extras for bound in extra.metadata]
    signs = {"ge": "at least", "gt": "above", "lt": "below"}
    limits = [f"{sign} {getattr(b, name)}" for b in bounds for name, sign in signs.items() if hasattr(b, name)]
    return " ".join([names[plain], " and ".join(limits)]).strip()


def _check(document: dict[str, Any], source: str) -> Config:
    try:
        config = TypeAdapter(Config).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source}: {where} = {first['input']!r}: {first['msg']}") from None
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    """What one field alone can't tell."""
    train, encoder = config.train, config.encoder
    if not re.fullmatch(r"[\w.+-]+", config.recipe):
        raise UsageError(
            f"recipe {config.recipe!r}: letters, digits, dots, plus signs and hyphens only; it names folders."
        )
    if train.micro_batch and train.batch_size % train.micro_batch:
        raise UsageError(
            f"train.batch_size {train.batch_size} is no multiple of train.micro_batch {train.micro_batch}."
        )
    if encoder.name == "tiny" and encoder.hidden_size % encoder.heads:
        raise UsageError(f"encoder.hidden_size {encoder.hidden_size} is no multiple of encoder.heads {encoder.heads}.")
    if config.data.split == "inductive" and config.system == "colake":
        raise UsageError('data.split = "inductive" is for systems that read triples: colake reads graphs, not triples.')
    if config.system == "jaket":
        _check_jaket(config)
    if config.system == "kepler":
        _check_objective(config.kepler)
    if encoder.frozen:
        _check_learning(config)
    if config.data.workers and config.data.on_corrupt == "quarantine":
        raise UsageError('data.on_corrupt = "quarantine" needs data.workers = 0: the ranks agree on what to leave out.')
    _check_kepler(config.kepler, encoder.max_positions)
    _check_room(config)
    _check_idle(config)
    if config.system == "c-lmke":
        _check_matching(config.lmke, inductive=config.data.split == "inductive")


def _check_kepler(kepler: KeplerConfig, positions: int) -> None:
    longest = min(kepler.max_length, positions)
    if kepler.conditioned and kepler.relation_length + 2 > longest:
        raise UsageError(
            f"kepler.relation_length {kepler.relation_length} leaves nothing of the {longest} tokens of a text for the "
            "entity that is conditioned on the relation. Set it lower."
        )
    if not kepler.blocks and kepler.corpus == "descriptions":
        raise UsageError('kepler.corpus = "descriptions" needs kepler.blocks: with 0 no text is read.')


def _check_jaket(config: Config) -> None:
    jaket = config.jaket
    if not jaket.weights:
        raise UsageError("jaket: all four tasks have the weight 0, so that there is nothing to learn.")
    if not jaket.roots and (jaket.category_weight or jaket.relation_weight):
        raise UsageError("jaket.roots = 0 leaves nothing for jaket.category_weight and relation_weight: set them to 0.")
    if jaket.knowledge == "none" and jaket.relations != "none":
        raise UsageError('jaket.relations does nothing with jaket.knowledge = "none": leave it out.')
    if config.train.parallel == "fsdp":
        raise UsageError(
            'train.parallel = "fsdp": jaket encodes descriptions between steps, on whole weights. Take ddp.'
        )


def _check_room(config: Config) -> None:
    """A fact needs its specials and a token of each part."""
    least = {"lmke": 5, "c-lmke": 5, "lass": 5 + 2 * config.lass.separators}.get(config.system, 0)
    if config.encoder.max_positions < least:
        raise UsageError(
            f"encoder.max_positions {config.encoder.max_positions} has no room for a fact, which takes {least} tokens "
            f"in {config.system} even without its texts. Set it higher."
        )


def _check_idle(config: Config) -> None:
    """Settings that are told, but that nothing reads."""
    lmke, lass = config.lmke, config.lass
    of_matching = ("repeated_keys", "degrees", "matcher_hidden")
    of_loss = ("self_adversarial", "adversarial_temperature", "summed")
    of_links = ("variant", "keys", *of_matching, "initial_matcher", *of_loss, "key_length")
    unweighed = config.system == "c-lmke" and lmke.self_adversarial == "off"
    idle = [
        (config.system == "lmke", 'system = "lmke"', lmke, of_links),
        (config.system == "c-lmke", 'system = "c-lmke"', lmke, ("negatives",)),
        (config.system == "c-lmke" and lmke.variant == "masked", 'lmke.variant = "masked"', lmke, of_matching),
        (config.system == "c-lmke" and lmke.keys != "side", f'lmke.keys = "{lmke.keys}"', lmke, ("repeated_keys",)),
        (unweighed, 'lmke.self_adversarial = "off"', lmke, ("adversarial_temperature",)),
        (config.system == "lass" and lass.head == "cls", 'lass.head = "cls"', lass, ("scaled", "offset")),
    ]
    for holds, where, section, names in idle:
        told = next((n for n in names if holds and getattr(section, n) != getattr(type(section)(), n)), None)
        if told:
            key, value = f"{config.system.removeprefix('c-')}.{told}", _toml_value(getattr(section, told))
            raise UsageError(f"{key} = {value} does nothing with {where}: leave it out.")


def _check_matching(lmke: LmkeConfig, *, inductive: bool) -> None:
    if inductive and (lmke.keys == "all" or lmke.variant == "masked"):
        raise UsageError(
            'data.split = "inductive" asks about entities that training must not meet: lmke.keys = "all" and '
            'lmke.variant = "masked" train against all of them. Set lmke.keys = "batch".'
        )
    if lmke.initial_matcher == "product" and lmke.matcher_hidden == 1:
        raise UsageError('lmke.initial_matcher = "product" needs lmke.matcher_hidden of 2 or more.')


def _check_objective(kepler: KeplerConfig) -> None:
    if not (kepler.negatives or kepler.in_batch or kepler.self_negatives):
        raise UsageError("kepler.negatives = 0 leaves no negatives: set it, or kepler.in_batch = true.")
    if kepler.loss == "infonce" and kepler.self_adversarial:
        raise UsageError('kepler.self_adversarial weighs the negatives of kepler.loss = "margin": set it to 0.')
    if kepler.loss == "margin" and kepler.score == "cosine":
        raise UsageError('kepler.score = "cosine" has no distance for kepler.gamma: set kepler.loss = "infonce".')
    of_infonce = ("two_way", "learn_temperature", "additive_margin") if kepler.loss == "margin" else ("halved",)
    for name in of_infonce:
        if getattr(kepler, name):
            raise UsageError(f'kepler.{name} does nothing with kepler.loss = "{kepler.loss}": take the other loss.')


def _check_learning(config: Config) -> None:
    """Of a frozen encoder."""
    kepler = config.kepler
    learns = kepler.relations != "described" or kepler.blocks or kepler.learn_temperature
    if config.system == "kepler" and not learns:
        raise UsageError(
            'encoder.frozen leaves nothing to learn where kepler.relations = "described" and kepler.blocks = 0.'
        )
    if config.system == "lass" and config.lass.head == "mean":
        raise UsageError('encoder.frozen leaves nothing to learn where lass.head = "mean".')


def read_config(folder: Path) -> Config:
    """RUN/config.toml; DataError where there is none or where it is damaged."""
    path = folder / "config.toml"
    if not path.is_file():
        raise DataError(f"{folder} is not a run: it has no config.toml. Make one with wikiloom train.")
    try:
        return load_config(str(path))
    except UsageError as error:
        raise DataError(str(error)) from error
