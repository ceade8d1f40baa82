"""Recipes: TOML into frozen dataclasses, unknown keys refused; config.toml of a run is the same form, whole."""

import contextlib
import dataclasses
import json
import re
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from schemas.errors import DataError, UsageError, nearest

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]

RECIPES = Path(__file__).parent / "recipes"
ALIASES = {"kepler-tiny": "kepler-wiki-tiny"}
"""Other names of recipes."""


FREE = (
    "about",
    "data.folder",
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and in what order."""

    folder: str = ""
    """The dataset; --data writes it here."""
    digest: str = ""
    """Its logical digest; a run refuses another."""
    tokens: str = "tiny"
    """The token ids to train on: the dataset's tokens/NAME."""
    vocab_size: Positive = 4_000
    """Words of the vocabulary, where train has to make tokens/NAME for the tiny encoder."""
    lanes: Positive = 64
    """The rows are cut into this many lanes, at most one a row group; a batch takes equally many rows of each."""
    window: Positive = 4_096
    """Rows of a lane that are shuffled together: lanes x window rows are held in memory, shared among the ranks."""
    threads: Positive = 1
    """Threads that decode."""
    ahead: Count = 4
    """Batches made before the loop asks for them, by a thread of their own; 0 for none."""
    workers: Count = 0
    """Processes that read in place of the threads."""
    on_corrupt: Literal["fail", "quarantine"] = "fail"
    """What a damaged row group does: end the run, or be left out (on all ranks, counted, and saved with the run)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The Transformer."""

    name: str = "tiny"
    """tiny (built from the sizes below), or a Hugging Face name or local folder (which brings its own sizes)."""
    hidden_size: Positive = 128
    layers: Positive = 2
    heads: Positive = 4
    intermediate_size: Positive = 512
    max_positions: Positive = 512
    dropout: Share = 0.1
    """Of states and attention, in every encoder; on a CPU, attention without it takes far less memory and time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule."""

    lr: AboveZero = 1e-4
    beta1: Share = 0.9
    beta2: Share = 0.98
    eps: AboveZero = 1e-6
    weight_decay: Weight = 0.01
    clip_norm: Weight = 1.0
    """Gradients are scaled to at most this norm; 0 for no clipping."""
    schedule: Literal["constant", "linear", "polynomial"] = "constant"
    warmup_steps: Count = 0
    power: AboveZero = 1.0
    """Of the polynomial schedule."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop. Budgets are steps, never time."""

    steps: Positive = 300
    batch_size: Positive = 32
    """Samples per optimiser step: graphs for CoLAKE, triples for KEPLER."""
    micro_batch: Count = 0
    """Samples per forward pass, gradients accumulated exactly; 0 for the whole batch at once."""
    log_every: Positive = 10
    valid_every: Positive = 100
    valid_batches: Positive = 8
    valid_rows: Positive = 32
    """A valid split with fewer rows gives way to a slice of train that is held out, and train says so."""
    save_every: Positive = 100
    keep: Positive = 2
    """Checkpoints kept."""
    flat_memory: bool = True
    """On a CPU: memory does not grow by fragments of the heap, at the price of some time (the less the larger the
    model)."""
    async_save: bool = True
    """Train on while a copy of the checkpoint is written; the copy takes 12 bytes of the host's memory a parameter."""
    threads: Count = 0
    """CPU threads; 0 for min(2, cores). A resumed run is bit-identical only at the same number."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one. By torchrun, each rank has a device of its own."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products in 16 bits (autocast); weights, moments, entity rows and losses stay in 32."""
    compile: bool = False
    """The encoder by torch.compile: needs a C++ compiler, and minutes at the start."""
    deterministic: bool = True
    """Operations that give the same bits each time, where there are such; slower on cuda."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """By torchrun. ddp: each rank has the whole model; fsdp: a share of weights, gradients and moments."""
    rank_timeout: Positive = 600
    """Seconds that a rank waits for another one that lives; one that is dead ends the run in half a minute."""
    peak_tflops: Weight = 0.0
    """What the device can compute, for the share of it (MFU) in the log; 0 for what is known of it by its name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """CoLAKE's entity table: where its rows live, and how those that a step used are updated.

    optim.weight_decay and optim.clip_norm are not for them: the rows are no parameters of the model.
    """

    backend: Literal["device", "host", "sharded"] = "device"
    """device: a copy beside the model of each rank; host: one in memory that the ranks of a host share; sharded: row i
    on rank i mod ranks."""
    optimizer: Literal["adam", "adagrad"] = "adam"
    """adam: sparse Adam, two moments for each number; adagrad: row-wise, one number for each row."""
    synchronous: bool = True
    """host: the ranks' gradients are averaged, with the same bits in every run; false: each rank updates at once,
    without locks, as the authors' store does. The other backends are always synchronous."""
    folder: str = ""
    """host: where the shared file is, which has no name while it is used; empty for /dev/shm. On a disk, a table may be
    larger than the memory."""
    lr_scale: AboveZero = 1.0
    """The rows' learning rate, as a multiple of the model's."""
    beta1: Share = 0.9
    beta2: Share = 0.999
    eps: AboveZero = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColakeConfig:
    """CoLAKE's objective; the defaults are the paper's."""

    max_nodes: Positive = 256
    """Nodes of a graph; facts that would exceed it are left out, and counted in the log."""
    drop_neighbours: Share = 0.5
    """Chance that an anchor loses all its facts, drawn anew each epoch."""
    mask_share: Share = 0.15
    mask_cap: Count = 15
    """At most so many masked nodes of each kind in a graph; 0 for no cap."""
    label_all_anchors: bool = True
    """Anchors outside the budget are predicted as well, 80 % unchanged, 10 % masked, 10 % random."""
    encode_graphs: Positive = 16
    """Graphs encoded at a time; those of like size go together."""
    negatives: Positive = 200
    """Drawn per distinct gold entity of a micro-batch, shared by all its predictions."""
    word_weight: Weight = 1.0
    entity_weight: Weight = 1.0
    relation_weight: Weight = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeplerConfig:
    """KEPLER's objective; the defaults are the paper's."""

    norm: Literal[1, 2] = 1
    """p of ||h + r - t||_p, in the loss and in the ranking."""
    gamma: AboveZero = 4.0
    """The margin."""
    negatives: Count = 1
    """Corrupted heads, and as many corrupted tails, per triple; 0 leaves it to in_batch."""
    in_batch: bool = False
    """All other entities of the micro-batch are negatives of every triple, the drawn ones of other triples too."""
    self_adversarial: Weight = 0.0
    """Temperature that weighs the nearer negatives more (Sun et al., ICLR 2019); 0 weighs all alike, as the paper."""
    halved: bool = False
    """Half the knowledge loss, as the authors' code has it."""
    max_length: Positive = 512
    """Tokens of a description, specials included."""
    block_length: Positive = 512
    """Tokens of a masked-language-model block, specials included."""
    blocks: Positive = 32
    """Blocks per step."""
    encode_tokens: Positive = 8_192
    """Padded tokens encoded at a time; descriptions of like length go together."""
    recompute: bool = False
    """Encode each such piece again for its gradient: up to a third more work, the memory of one alone."""
    mask_share: Share = 0.15
    ke_weight: Weight = 1.0
    mlm_weight: Weight = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run: recipe, --set and dataset together."""

    recipe: str
    system: Literal["colake", "kepler"]
    about: str = ""
    """One line for wikiloom recipes."""
    seed: Count = 0
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    colake: ColakeConfig = ColakeConfig()
    memory: MemoryConfig = MemoryConfig()
    kepler: KeplerConfig = KeplerConfig()


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {str(error).splitlines()[0]}") from error
    document.setdefault("recipe", path.stem)
    _refuse_unknown(document, Config, "", str(path))
    for key, value in (settings or {}).items():
        _put(document, key, value)
    return _check(document, str(path))


def with_data(config: Config, folder: Path, digest: str) -> Config:
    """The config of a run on this dataset."""
    data = dataclasses.replace(config.data, folder=str(folder), digest=digest)
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


def _toml_value(value: str | int | float | bool) -> str:
    # JSON's strings, integers, floats and booleans are TOML's as well, but for the DEL character.
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
    typed = _typed(kind, value)
    if typed is None:
        raise UsageError(f"--set {key}={value}: expected {_expected(kind)}")
    (document.setdefault(section, {}) if section else document)[name] = typed


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
    if not re.fullmatch(r"[\w.-]+", config.recipe):
        raise UsageError(f"recipe {config.recipe!r}: letters, digits, dots and hyphens only; it names folders.")
    if train.micro_batch and train.batch_size % train.micro_batch:
        raise UsageError(
            f"train.batch_size {train.batch_size} is no multiple of train.micro_batch {train.micro_batch}."
        )
    if encoder.name == "tiny" and encoder.hidden_size % encoder.heads:
        raise UsageError(f"encoder.hidden_size {encoder.hidden_size} is no multiple of encoder.heads {encoder.heads}.")
    if config.data.workers and config.data.on_corrupt == "quarantine":
        raise UsageError('data.on_corrupt = "quarantine" needs data.workers = 0: the ranks agree on what to leave out.')


def read_config(folder: Path) -> Config:
    """RUN/config.toml; DataError where there is none or where it is damaged."""
    path = folder / "config.toml"
    if not path.is_file():
        raise DataError(f"{folder} is not a run: it has no config.toml. Make one with wikiloom train.")
    try:
        return load_config(str(path))
    except UsageError as error:
        raise DataError(str(error)) from error
