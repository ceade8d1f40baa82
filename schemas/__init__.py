"""The tables of a Wikiloom dataset: what other projects read, and what both halves of this one agree on."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`from schemas import TABLES`, without pyarrow being imported before: --help must not wait for it."""
    if name in ("TABLES", "TOKEN_TABLES", "Table"):
        from schemas import tables

        return getattr(tables, name)
    raise AttributeError(f"module 'schemas' has no attribute {name!r}")
