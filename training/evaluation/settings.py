"""`--set key=value` for the evaluation tasks and the baselines: a frozen dataclass is the list of the keys."""

import dataclasses
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.errors import UsageError, nearest

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
