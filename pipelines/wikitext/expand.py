"""First step: comments, extension tags and templates, resolved or dropped, as MediaWiki's preprocessor orders them.

What is dropped leaves a HOLE, so that the sentence around it can be mended. Every opener is looked at once: an
unclosed one costs itself, not the page, and never a second search.
"""

import re

from pipelines.wikitext.budget import require_shallow
from pipelines.wikitext.entities import decode
from pipelines.wikitext.marks import BREAK, HOLE, shield
from pipelines.wikitext.tags import ATTRIBUTES
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
    rf"|<ref(?:\s{ATTRIBUTES})?(?:(?<=/)>|>[^<]*+</ref\s*+>)()"  # 4: a whole reference with no tag inside
    rf"|<(?ai:({'|'.join(_DROPPED_TAGS)}))(?=[\s/>]){ATTRIBUTES}>"  # 5: name
    r"|<!--"
)
_SAME_TAG = {name: re.compile(rf"<(?ai:{name})(?=[\s/>]){ATTRIBUTES}>|<(/)(?ai:{name})\s*+>") for name in _DROPPED_TAGS}
# <ref name="a>b" />: what is left of the tag behind the first ">".
_QUOTED_REST = re.compile(r'[^"<>\n]*+"(?:[^"<>\n/]++|/(?!>)|"[^"\n]*+")*/>')
_VERBATIM = frozenset(["nowiki", "pre", "source", "syntaxhighlight", "code", "includeonly", "templatedata"])
"""A line inside these may look like a heading. In any other element, or a template, it says that it never closed."""
_HEADING = "\n=="
_MAX_RENDER_DEPTH = 20
"""What has more levels inside is dropped: each level copies what is inside it."""


def expand(text: str, templates: Templates) -> str:
    """`text` with templates rendered or dropped, comments and extension tags gone, nowiki shielded.

    Raises OverBudget where templates are nested too deeply.
    """
    stack = _Stack(templates)
    position: int | None = 0
    while position is not None:
        position = _scan(text, position, stack)
    stack.recover()
    return "".join(stack.out)


def _scan(text: str, position: int, stack: "_Stack") -> int | None:
    """Read on from `position` to the end, or return where to go on."""
    out = stack.out
    for token in _TOKEN.finditer(text, position):
        start, end = token.span()
        out.append(text[position:start])
        position = end
        kind = token.lastindex
        if kind == 1:
            content = token[1]
            out.append(stack.render(content) if _HEADING not in content else _without_head(content))
        elif kind == 4:
            # A heading before the closer: this one was never closed.
            if text.find(_HEADING, start, end) >= 0:
                return text.index(">", start) + 1
            # Behind a word or a full stop, where most stand, nothing needs mending.
            before = text[start - 1 : start]
            if not (before.isalnum() or before == "."):
                out.append(HOLE)
        elif kind == 2:
            stack.open((end - start) // 2)
        elif kind == 3:
            stack.close((end - start) // 2)
        elif kind == 5:
            end, inserted = _skip_tag(text, token)
            out.append(inserted)
            if end != position:
                return end
        elif (closer := stack.find_comment_end(text, end)) >= 0:
            return closer
    out.append(text[position:])
    return None


class _Stack:
    """The output, and the templates in it that began and have not ended."""

    def __init__(self, templates: Templates) -> None:
        self.out: list[str] = []
        self._templates = templates
        self._starts: list[int] = []
        """Index in the output of the placeholder where each began."""
        self._depths: list[int] = []
        """Levels of templates that ended inside each."""
        self._comments_end = True

    def open(self, count: int) -> None:
        """Begin `count` templates, one inside the other."""
        for _ in range(count):
            self._starts.append(len(self.out))
            self._depths.append(0)
            self.out.append("")

    def close(self, count: int) -> None:
        """Replace the `count` innermost open templates by what they render to; closers without one vanish."""
        for _ in range(min(count, len(self._starts))):
            start, depth = self._starts.pop(), self._depths.pop() + 1
            require_shallow(depth, "templates")
            if self._depths:
                self._depths[-1] = max(self._depths[-1], depth)
            content = "".join(self.out[start + 1 :]) if depth <= _MAX_RENDER_DEPTH else ""
            if _HEADING in content:
                self._take_head_off(start)
                continue
            del self.out[start:]
            self.out.append(self.render(content))

    def find_comment_end(self, text: str, position: int) -> int:
        """Where the comment ends that began before `position`; -1 where it does not, nor will a later one."""
        found = text.find("-->", position) if self._comments_end else -1
        self._comments_end = found >= 0
        return found + 3 if found >= 0 else -1

    def render(self, content: str) -> str:
        """What {{content}} turns into."""
        renderer = self._templates.find(content.partition("|")[0])
        return HOLE if renderer is None else renderer(parse_arguments(content))

    def recover(self) -> None:
        """Take the heads off unclosed templates; the rest of the page stays."""
        for start in self._starts:
            self._take_head_off(start)

    def _take_head_off(self, start: int) -> None:
        if start + 1 < len(self.out):
            self.out[start + 1] = _without_head(self.out[start + 1])


def _without_head(content: str) -> str:
    """What stays of an unclosed template: all but name and parameters on the line where it began."""
    line, newline, rest = content.partition("\n")
    # Behind the last "|" comes text, as in {{lang|de|Haus; without one the line is a template's name.
    _, bar, kept = line.rpartition("|")
    return (kept if bar else "") + newline + rest


def _skip_tag(text: str, opener: re.Match[str]) -> tuple[int, str]:
    """(end, replacement) of an extension tag: its whole element, or the tag alone where it is not closed."""
    name, start = opener[5].lower(), opener.end()
    if text[start - 2] == "/":
        return start, BREAK if name == "nowiki" else HOLE
    if name == "ref" and opener[0].count('"') % 2 and (rest := _QUOTED_REST.match(text, start)):
        return rest.end(), HOLE
    closer = next((tag for tag in _SAME_TAG[name].finditer(text, start) if text[tag.end() - 2] != "/"), None)
    # A second opener, or a heading before the closer: this one was never closed.
    if closer is None or not closer[1]:
        return start, ""
    content = text[start : closer.start()]
    if name == "nowiki":
        return closer.end(), shield(decode(content)) or BREAK
    if name not in _VERBATIM and _HEADING in content:
        return start, ""
    return closer.end(), HOLE
