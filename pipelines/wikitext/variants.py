"""-{zh-hans:计算机; zh-hant:電腦}-: text that MediaWiki shows in the script, or the words, that its reader chose."""

import re
from collections.abc import Mapping

from pipelines.wikitext.marks import BREAK, HOLE

_MARK = re.compile(r"(-\{|\}-)")
_FLAGS = re.compile(r"([^\[\]|]{0,200})\|")
_ENTITY_END = re.compile(r"&[#a-zA-Z0-9]{1,32}$")
_MOST_LEVELS = 10
"""Markup deeper inside is text, as in MediaWiki."""


def part_closers(text: str, variants: Mapping[str, str]) -> str:
    """`text` in which a template's end and that of the -{...}- around it are told apart."""
    return text.replace("}}}-", f"}}}}{BREAK}}}-") if variants else text


def convert_variants(text: str, variants: Mapping[str, str]) -> str:
    """`text` with each -{...}- as a reader sees it who chose no variant; what shows nothing leaves a HOLE.

    `variants` are a language's, name -> code, the likeliest first; without any the text stays. What is not closed
    stays too.
    """
    if not variants or "-{" not in text:
        return text
    levels: list[list[str]] = [[]]
    for piece in _MARK.split(text):
        if piece == "-{" and len(levels) <= _MOST_LEVELS:
            levels.append([])
        elif piece == "}-" and len(levels) > 1:
            inner = "".join(levels.pop())
            levels[-1].append(_show(inner, variants) or HOLE)
        else:
            levels[-1].append(piece)
    return "-{".join("".join(level) for level in levels)


def _show(inner: str, variants: Mapping[str, str]) -> str:
    """What is seen of -{`inner`}-."""
    flags: set[str] = set()
    if found := _FLAGS.match(inner):
        inner = inner[found.end() :]
        flags = {flag.strip() for flag in found[1].split(";")}
    if flags & {"R", "N"}:
        return inner
    if flags & {"-", "H"} or ("T" in flags and "A" not in flags):
        return ""
    if "D" in flags or not flags.isdisjoint(variants):
        return inner
    shown = _choose(inner, variants)
    return inner if shown is None else shown


def _choose(rules: str, variants: Mapping[str, str]) -> str | None:
    """Text of the rule "code:text" or "word=>code:text" that holds; None where they are no rules but text."""
    texts: dict[str, str] = {}
    words: dict[str, str] = {}
    for head, text in _split(rules, variants):
        word, arrow, code = head.partition("=>")
        variant = variants.get((code if arrow else word).strip().lower())
        if variant is None:
            return None
        if arrow:
            words.setdefault(variant, text)
        elif text:
            texts[variant] = text
    likeliest = next((variant for variant in variants.values() if variant in texts), None)
    if likeliest is not None:
        return texts[likeliest]
    return words.get(next(iter(variants)), next(iter(words.values()), None))


def _split(rules: str, variants: Mapping[str, str]) -> list[tuple[str, str]]:
    """(what stands before the colon, text) of each rule; a ";" that no rule follows is text."""
    parts = rules.split(";")
    starts = [0]
    for index, part in enumerate(parts[1:], start=1):
        head, colon, _ = part.partition(":")
        is_rule = colon and head.rpartition("=>")[2].strip().lower() in variants
        if (is_rule or (index == len(parts) - 1 and not part.strip())) and not _ENTITY_END.search(
            parts[index - 1][-40:]
        ):
            starts.append(index)
    whole = [";".join(parts[start:end]) for start, end in zip(starts, [*starts[1:], len(parts)], strict=True)]
    return [(head.strip(), text.strip()) for head, colon, text in (rule.partition(":") for rule in whole) if colon]
