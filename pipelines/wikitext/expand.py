"""First step: comments, extension tags and templates, resolved or dropped, as MediaWiki's preprocessor orders them.

What is dropped leaves a HOLE, so that the sentence around it can be mended. Every opener is looked at once: an
unclosed one costs itself, not the page, and never a second search.
"""

import re

from pipelines.wikitext.marks import BREAK, HOLE, shield
from pipelines.wikitext.templates import Templates, parse_arguments

_DROPPED = """
    ref references math chem ce gallery imagemap timeline score hiero graph mapframe maplink templatedata
    templatestyles syntaxhighlight source code pre includeonly inputbox categorytree indicator style script
    nowiki"""
_DROPPED_TAGS = _DROPPED.split()
_TOKEN = re.compile(
    r"\{\{([^{}<>]*+)\}\}(?!\})"  # 1: a template with no other and no tag inside
    r"|\{\{\{*+()"  # 2
    r"|\}\}\}*+()"  # 3
    rf"|<(?i:({'|'.join(_DROPPED_TAGS)}))(?=[\s/>])[^<>]*+>"  # 4: name
    r"|<!--"
)
_SAME_TAG = {name: re.compile(rf"<(?i:{name})(?=[\s/>])[^<>]*+>|<(/)(?i:{name})\s*+>") for name in _DROPPED_TAGS}
_HEADING = "\n=="
_MAX_RENDER_DEPTH = 20
"""A deeper template is dropped: each level copies what is inside it."""


def expand(text: str, templates: Templates) -> str:
    """`text` with templates rendered or dropped, comments and extension tags gone, nowiki shielded."""
    out: list[str] = []
    open_templates: list[int] = []  # where in `out` each began
    comments_end = True
    position = 0
    tokens = _TOKEN.finditer(text)
    while (token := next(tokens, None)) is not None:
        out.append(text[position : token.start()])
        position = token.end()
        kind = token.lastindex
        if kind == 1:
            out.append(_render(token[1], templates))
        elif kind == 2:
            for _ in range((position - token.start()) // 2):
                open_templates.append(len(out))
                out.append("")
        elif kind == 3:
            _close(out, open_templates, (position - token.start()) // 2, templates)
        else:
            if kind == 4:
                end, inserted = _skip_tag(text, token)
            else:
                end, inserted = (text.find("-->", position) + 3 if comments_end else 2), ""
                if end == 2:
                    comments_end, end = False, position
            out.append(inserted)
            if end != position:
                position = end
                tokens = _TOKEN.finditer(text, end)
    out.append(text[position:])
    _recover(out, open_templates)
    return "".join(out)


def _render(content: str, templates: Templates) -> str:
    renderer = templates.find(content.partition("|")[0])
    return HOLE if renderer is None else renderer(parse_arguments(content))


def _close(out: list[str], open_templates: list[int], count: int, templates: Templates) -> None:
    """Replace the `count` innermost open templates by what they render to; closers without one vanish."""
    for _ in range(min(count, len(open_templates))):
        depth, start = len(open_templates), open_templates.pop()
        name, bar, _ = out[start + 1].partition("|") if start + 1 < len(out) else ("", "", "")
        is_whole = bool(bar) or start + 2 >= len(out)
        rendered = depth <= _MAX_RENDER_DEPTH and is_whole and templates.find(name) is not None
        inserted = _render("".join(out[start + 1 :]), templates) if rendered else HOLE
        del out[start:]
        out.append(inserted)


def _skip_tag(text: str, opener: re.Match[str]) -> tuple[int, str]:
    """(end, replacement) of an extension tag: its whole element, or the tag alone where it is not closed."""
    name, start = opener[4].lower(), opener.end()
    if text[start - 2] == "/":
        return start, BREAK if name == "nowiki" else HOLE
    closer = next((tag for tag in _SAME_TAG[name].finditer(text, start) if text[tag.end() - 2] != "/"), None)
    # A second opener, or a heading before the closer: this one was never closed.
    if closer is None or not closer[1]:
        return start, ""
    content = text[start : closer.start()]
    if name == "nowiki":
        return closer.end(), shield(content) or BREAK
    if name == "ref" and _HEADING in content:
        return start, ""
    return closer.end(), HOLE


def _recover(out: list[str], open_templates: list[int]) -> None:
    """Take the name and parameters off the lines on which unclosed templates begin; the rest of the page stays."""
    for start in open_templates:
        if start + 1 < len(out):
            line, newline, rest = out[start + 1].partition("\n")
            # Behind the last "|" comes text, as in {{lang|de|Haus; without one the line is a template's name.
            _, bar, kept = line.rpartition("|")
            out[start + 1] = (kept if bar else "") + newline + rest
