"""How a language writes numbers, dates and quantities: the words behind the functions of a template's pattern."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"([+\-−]?)([0-9]{1,40})(?:\.([0-9]{1,40}))?(?:e([+\-−]?[0-9]{1,3}))?")
_MONTH = re.compile("0?([1-9]|1[0-2])")
_DAY = re.compile("[0-9]{1,2}")


@dataclasses.dataclass(frozen=True)
class Words:
    """The tables of one language."""

    decimal: str = "."
    group: str = ""
    """Between each three digits."""
    group_from: int = 4
    """Digits from which a number is grouped."""
    months: Sequence[str] = ()
    """January first, as they stand beside a day; none: dates are written 1809-02-12."""
    months_alone: Sequence[str] = ()
    """The same beside a year only; none: like `months`."""
    date: str = "{day} {month} {year}"
    month_year: str = "{month} {year}"
    units: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """Code -> symbol, and where the language spells units out, singular and plural; of "/" the word is "per"."""
    ranges: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Between two values of one {{convert}}: as typed -> as shown."""

    def format_number(self, text: str) -> str:
        """Digits grouped and the sign between whole and fraction, from 1234567.5 as templates are given it."""
        if len(text) < self.group_from and text.isdecimal():
            return text
        match = _NUMBER.fullmatch(text)
        if match is None:
            return text
        sign, whole, fraction, exponent = match.groups()
        if self.group and len(whole) >= self.group_from:
            start = len(whole) % 3
            parts = [whole[i : i + 3] for i in range(start, len(whole), 3)]
            whole = self.group.join([whole[:start], *parts] if start else parts)
        number = f"{sign}{whole}{self.decimal}{fraction}" if fraction else sign + whole
        return f"{number}×10^{exponent}" if exponent else number

    def format_month(self, text: str, *, alone: bool = False) -> str | None:
        """The name of a month that is given by number; other text as it is; None for a number that names none."""
        match = _MONTH.fullmatch(text)
        names = (self.months_alone if alone else ()) or self.months
        if match:
            return names[int(match[1]) - 1] if names else None
        return None if text.isdecimal() else text

    def format_date(self, year: str, month: str, day: str) -> str:
        """A date, or what is given of it."""
        if month and (name := self.format_month(month, alone=not day)) is not None:
            form = self.date if day else self.month_year
            day = day.lstrip("0") if _DAY.fullmatch(day) else day
            for key, value in (("{day}", day), ("{month}", name), ("{year}", year)):
                form = form.replace(key, value, 1)
            return form.strip(" ,")
        numbers = (part.zfill(2) for part in (year, month, day) if part.isdecimal())
        return "-".join(numbers) if month.isdecimal() else year
