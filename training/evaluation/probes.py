"""What a model does with the context alone, and with the mentions alone (KEPLER, table 14; Peng et al., EMNLP 2020).

A row says by `masked` of a mention that its words are shown as one mask, without its entity; by `only_mentions`, that
nothing is shown but its mentions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from training.evaluation.entity_frequency import Frequencies, ends

Input = Literal["text", "masked-entity", "only-entity"]
Row = dict[str, Any]


def probe(rows: Sequence[Row], shown: Input) -> list[Row]:
    """The rows as they are shown. masked-entity: every mention is masked; only-entity: nothing but head and tail."""
    if shown == "masked-entity":
        return [{**row, "mentions": [{**mention, "masked": True} for mention in row["mentions"]]} for row in rows]
    if shown == "only-entity":
        return [{**row, "mentions": list(ends(row)), "only_mentions": True} for row in rows]
    return list(rows)


def one_fifth(rows: Sequence[Row], found: Frequencies, fifth_of: Mapping[str, int], fifth: int) -> list[Row]:
    """The rows with every mention masked but those of the entities of this fifth (KEPLER's analysis)."""

    def masked(row: Row, mention: Row) -> bool:
        return fifth_of.get(found.key(row, mention)) != fifth

    return [{**row, "mentions": [{**one, "masked": masked(row, one)} for one in row["mentions"]]} for row in rows]
