"""What tasks and baselines are told: `--set key=value`, where a dataclass is the list of the keys, and the split."""

import dataclasses
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.errors import UsageError, nearest
from training.data.setting import SPLITS

T = TypeVar("T")


def read_settings(kind: type[T], given: dict[str, str], what: str) -> T:
    """The dataclass with the given values; UsageError for an unknown key or a value that does not fit its field.

    `what` begins the message, e.g. "baseline transe".
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in given:
        if key not in names:
            known = f"only {', '.join(names)}" if names else "it takes none"
            raise UsageError(f"{what} has no setting {key!r}, {known}.{nearest(key, names)}")
    try:
        return TypeAdapter(kind).validate_strings(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{what}: --set {first['loc'][0]}={first['input']}: {first['msg']}.") from None


def variant(settings: Any, *names: str) -> str:
    """What was told of these settings: what a result is told by beside its task and split, empty for the defaults."""
    told = ((field.name, getattr(settings, field.name), field.default) for field in dataclasses.fields(settings))
    return ",".join(f"{name}={value}" for name, value, usual in told if name in names and value != usual)


def require_split(task: str, split: str, *, learns: bool = False) -> None:
    """UsageError for a split that there is not, and for train where the task `learns` from it."""
    if split not in SPLITS:
        raise UsageError(f"{task} has no split {split!r}, only {', '.join(SPLITS)}.{nearest(split, list(SPLITS))}")
    if learns and split == "train":
        raise UsageError(f"{task} learns from train; report --split valid or test.")
