"""The kinds of numbers and words that settings are."""

from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Chance = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pooling = Literal["cls", "mean"]
"""What of a text's states is its vector, by the names that sentence-transformers has for them: that of its first token,
or the mean over its tokens."""
