"""Second step: links, tables, quotes, tags and magic words, in one pass with an explicit stack."""

import dataclasses
import functools
import re
from collections import Counter

from pipelines.wikitext.budget import require_shallow
from pipelines.wikitext.labels import external_text, visible_text
from pipelines.wikitext.marks import BREAK, END, HOLE, LINE_MARKUP, LINK
from pipelines.wikitext.quotes import find_apostrophes, is_behind_word, without_quotes
from pipelines.wikitext.site import CATEGORY, FILE, MAX_TITLE, PROTOCOL, Site, is_external
from pipelines.wikitext.tags import ATTRIBUTES, BLOCK, INLINE, TAGS, is_magic_word

_PLAIN = r"[A-Za-z0-9][A-Za-z0-9,.'()!?-]*+(?: [A-Za-z0-9(][A-Za-z0-9,.'()!?-]*+)*"
"""A target that needs no second look but for its first letter."""
_TARGET = r"[^\[\]|{}<>\n\x01-\x03]"
_LETTER = r"[^\x00-@\[-`{-\x7f\s\ufdd0-\ufdef]"
"""Of a magic word: a letter, or a vowel sign of Hindi or Thai, which Python's \\w lacks."""
_INVISIBLE = ("category", "file", "language")
_MAX_HEADING = 300
_MAX_LABEL = 1000
"""Characters of a label in which single brackets are matched."""
_IS_LINK, _IS_TABLE, _IS_EXTERNAL = 1, 2, 3


@dataclasses.dataclass(slots=True)
class _Open:
    """Something that began and has not ended."""

    kind: int
    start: int
    """Where it began in the page."""
    at: int
    """Index in the output of the placeholder where it began."""
    targets: int
    """Links before it."""
    visible: int
    """Links with visible text before it."""
    depth: int = 0
    """Levels of what ended inside it."""


@functools.lru_cache(maxsize=32)
def _tokens(trail: str, dotted_i: bool) -> re.Pattern[str]:
    # A target that begins with a Turkish "i" needs the second look.
    plain = _PLAIN.replace("a-z", "a-hj-z", 1) if dotted_i else _PLAIN
    # Every alternative begins with a literal outside of a group: only so can `re` skip to the next candidate.
    return re.compile(
        rf"\[\[(?:({plain})|({_TARGET}++))(?:\|({_TARGET}*+))?\]\]({trail})"  # 1-4: a link with no markup inside
        rf"|\]\]({trail})"  # 5
        r"|\[\[\[*+()"  # 6
        r"|''()'*+"  # 7: quotes
        rf"|<(/?[A-Za-z][A-Za-z0-9]*+)(?=[\s/>]){ATTRIBUTES}>"  # 8: a tag's name
        rf"|\[(?:{HOLE}|{PROTOCOL})[^\s\[\]<>\"\x01\x02]*+[ \t]*+()"  # 9
        r"|\]()"  # 10
        r"|\{\|()"  # 11
        r"|\|\}()"  # 12
        rf"|__(?=[^\W\d_]){_LETTER}++(?:_{_LETTER}++)*__()"  # 13
    )


class Inline:
    """One page's pass. Afterwards `text` holds plain text in which LINK ... END mark the links of `targets`."""

    def __init__(self, wikitext: str, site: Site) -> None:
        self.targets: list[str] = []
        self.drops: Counter[str] = Counter()
        self.has_broken_table = False
        self._site = site
        self._out: list[str] = []
        self._open: list[_Open] = []
        self._shown = 0
        """Links with visible text that are in no `targets`: they lead elsewhere."""
        self._tables = 0
        self._apostrophes: set[int] = set()
        self._line_end = -1
        """Of the line with quotes that was looked at last."""
        text = "\n" + wikitext
        position: int | None = 0
        while position is not None:
            position = self._scan(text, position)
        self._recover(self._open)
        self.text = "".join(self._out)

    def _scan(self, text: str, position: int) -> int | None:
        """Read on from `position` to the end, or return where to look again."""
        out, targets = self._out, self.targets
        article_titles, has_capitals = self._site.article_titles, self._site.first_letter
        for token in _tokens(self._site.trail, self._site.rules.dotted_i).finditer(text, position):
            start, end = token.span()
            if start > position:
                out.append(text[position:start])
            position = end
            kind = token.lastindex
            if kind == 4:
                plain, target, label, trail = token.group(1, 2, 3, 4)
                if plain is None:
                    title = article_titles[target]
                elif plain[0] < "a" or not has_capitals:
                    title = plain
                else:
                    title = plain[0].upper() + plain[1:]
                shown = (plain or target.strip()) if label is None else label
                if title and shown and "''" not in shown and len(title) <= MAX_TITLE:
                    targets.append(title)
                    out.append(f"{LINK}{shown}{trail}{END}")
                else:
                    self._link(plain or target, label, trail)
            elif kind == 7:
                # Four quotes are an apostrophe and bold; others are bold, italics or both.
                if end - start == 4 or (end - start == 3 and self._has_apostrophe(text, start)):
                    out.append("'")
            elif kind == 5 and (self._close_external(token) or self._close_bracket(token)):
                # The first "]" ended something else: look at the second again, it may begin "]]".
                return start + 1
            else:
                self._rare(token)
        out.append(text[position:])
        return None

    def _rare(self, token: re.Match[str]) -> None:
        """Tokens of which a page has few."""
        kind = token.lastindex
        if kind == 5:
            self._close_link(token)
        elif kind == 6:
            # Of an odd run the first bracket is text.
            start, end = token.span()
            if (end - start) % 2:
                self._out.append("[")
                start += 1
            for at in range(start, end, 2):
                self._push(_IS_LINK, at)
        elif kind == 8:
            self._tag(token[8], token)
        elif kind == 9:
            if self._open and self._open[-1].kind == _IS_EXTERNAL:
                self._pop()
            self._push(_IS_EXTERNAL, token.start())
            if token.string[token.end() : token.end() + 1] in LINE_MARKUP:
                self._out[-1] = BREAK
        elif kind == 10:
            if not self._close_external(token):
                self._out.append("]")
        elif kind in (11, 12) and not self._begins_line(token):
            self._out.append(token[0])
        elif kind == 11:
            self._push(_IS_TABLE, token.start())
            self._tables += 1
        elif kind == 12:
            self._close_table(token)
        elif not is_magic_word(token[0], self._site.language):
            self._out.append(token[0])

    def _has_apostrophe(self, text: str, start: int) -> bool:
        """Whether the first of three quotes is an apostrophe."""
        if not is_behind_word(text, start):
            return False
        if start >= self._line_end:
            self._apostrophes, self._line_end = find_apostrophes(text, start)
        return start in self._apostrophes

    def _begins_line(self, token: re.Match[str]) -> bool:
        """Whether nothing but indentation, or a table, stands before it on its line."""
        text, position = token.string, token.start()
        while text[position - 1] in " \t:":
            position -= 1
        return text[position - 1] == "\n" or text[position - 2 : position] == "|}"

    def _push(self, kind: int, start: int) -> None:
        self._open.append(_Open(kind, start, len(self._out), len(self.targets), self._visible()))
        self._out.append("")

    def _visible(self) -> int:
        """Links with visible text so far."""
        return len(self.targets) + self._shown

    def _pop(self) -> _Open:
        """Take the innermost off; the one around it counts its levels too."""
        opened = self._open.pop()
        if self._open:
            self._open[-1].depth = max(self._open[-1].depth, opened.depth)
        return opened

    def _end(self, opened: _Open, what: str) -> None:
        """Let the markup around count this level."""
        require_shallow(opened.depth + 1, what)
        if self._open:
            self._open[-1].depth = max(self._open[-1].depth, opened.depth + 1)

    def _tag(self, name: str, token: re.Match[str]) -> None:
        effect = TAGS.get(name) or TAGS.get(name.lower())
        if effect == INLINE:
            if token.string[token.end() : token.end() + 1] in LINE_MARKUP:
                self._out.append(BREAK)  # behind it no list begins, nor a heading or a table
        elif effect == BLOCK:
            self._out.append(_line_end(token))
        elif effect is None:
            self._out.append(token[0])  # a < b and c > d
        elif name[0] == "/":
            self._close_table(token)
        else:
            self._push(_IS_TABLE, token.start())
            self._tables += 1
            self._out[-1] = "\n"

    def _close_external(self, token: re.Match[str]) -> bool:
        """End the external link that is open on this line, if one is."""
        if not self._open or self._open[-1].kind != _IS_EXTERNAL:
            return False
        opened = self._pop()
        if token.string.find("\n", opened.start, token.start()) >= 0:
            return False
        self._end(opened, "external links")
        if not any(self._out[at].strip() for at in range(opened.at + 1, len(self._out))):
            self._out[opened.at] = HOLE
        return True

    def _close_bracket(self, token: re.Match[str]) -> bool:
        """Whether the first of three brackets ends one inside a link's label: [[a|b [c]]]."""
        text, start, end = token.string, token.start(), token.end()
        if text[end : end + 1] != "]" or text[end + 1 : end + 2] == "]":
            return False
        if not self._open or self._open[-1].kind != _IS_LINK:
            return False
        begin = self._open[-1].start + 2
        if start - begin > _MAX_LABEL or text.count("[", begin, start) <= text.count("]", begin, start):
            return False
        self._out.append("]")
        return True

    def _close_table(self, token: re.Match[str]) -> None:
        """Drop the innermost open table; links and brackets inside that were not closed go with it."""
        if not self._tables:
            self._out.append("\n")
            return
        depth = next(i for i in range(len(self._open) - 1, -1, -1) if self._open[i].kind == _IS_TABLE)
        self._tables -= 1
        inside = self._open[depth:]
        del self._open[depth:]
        table = inside[0]
        table.depth = max(opened.depth for opened in inside)
        self._end(table, "tables")
        if _has_heading(token.string, table.start, token.start()):
            self._recover(inside)
        else:
            self._drop(table, "table")
        self._out.append("\n")

    def _drop(self, opened: _Open, reason: str) -> None:
        del self._out[opened.at :]
        if len(self.targets) > opened.targets:
            self.drops[reason] += len(self.targets) - opened.targets
            del self.targets[opened.targets :]

    def _close_link(self, token: re.Match[str]) -> None:
        trail = token[5]
        while self._open and self._open[-1].kind == _IS_EXTERNAL:
            self._pop()
        if not self._open or self._open[-1].kind != _IS_LINK:
            self._out.append(trail)
            return
        opened = self._pop()
        self._end(opened, "links")
        first = self._out[opened.at + 1] if opened.at + 1 < len(self._out) else ""
        number = self._namespace(first)
        if _has_heading(token.string, opened.start, token.start()):
            self._recover([opened])
        elif number in (FILE, CATEGORY):
            self._drop(opened, "file" if number == FILE else "category")
            self.drops["file" if number == FILE else "category"] += 1
            self._leave_hole(trail)
        elif self._visible() != opened.visible:
            # Only the innermost brackets are a link; of the outer ones the label stays.
            if LINK not in first:
                self._out[opened.at + 1] = _without_target(first)
            self.drops["nested"] += 1
            self._out.append(trail)
        else:
            content = "".join(self._out[opened.at + 1 :])
            del self._out[opened.at :]
            target, bar, label = content.partition("|")
            self._link(target, label if bar else None, trail)

    def _leave_hole(self, trail: str) -> None:
        """Where something inline was; at the beginning of a line nothing needs mending."""
        self._out.append(trail if self._out[-1][-1:] == "\n" else HOLE + trail)

    def _namespace(self, piece: str) -> int:
        prefix, colon, _ = piece[:80].partition(":")
        return self._site.namespaces.get(" ".join(prefix.replace("_", " ").split()).lower(), 0) if colon else 0

    def _link(self, target: str, label: str | None, trail: str) -> None:
        kind, title = self._resolve(target)
        if kind == "article":
            text = visible_text(target, label)
        else:
            self.drops[kind] += 1
            if kind in _INVISIBLE and not target.lstrip().startswith(":"):
                self._leave_hole(trail)
                return
            text = external_text(target, label) if kind == "external" else visible_text(target, label)
        if "''" in text:
            text = without_quotes(text)
        text += trail
        core = text.strip()
        if not core.strip(HOLE):
            self.drops["empty"] += kind == "article"
            self._out.append(HOLE)
            return
        shown = core.replace("\n", " ") if "\n" in core else core
        if kind == "article":
            self.targets.append(title)
            shown = f"{LINK}{shown}{END}"
        else:
            self._shown += 1
            shown = BREAK + shown if shown[0] in LINE_MARKUP else shown
        # The label's own outer spaces stand outside of the link.
        if len(core) != len(text):
            shown = (" " if text[0].isspace() else "") + shown + (" " if text[-1].isspace() else "")
        self._out.append(shown)

    def _resolve(self, target: str) -> tuple[str, str]:
        if (":" in target or "//" in target) and is_external(target):
            return "external", ""
        return self._site.resolve(target)

    def _recover(self, unclosed: list[_Open]) -> None:
        """What never ended, or only behind a heading, costs its own line at most."""
        removed: list[tuple[int, int]] = []
        cleared = 0
        for opened in unclosed:
            at = opened.at
            if opened.kind == _IS_TABLE:
                self.has_broken_table = True
                self._out[at] = self._out[at] or "\n|"  # a line that begins with "|" is dropped later
            elif opened.kind == _IS_LINK and cleared <= at < len(self._out) - 1:
                end, links = self._give_up(opened)
                cleared = max(cleared, end)
                removed.append((opened.targets, links))
        for start, links in reversed(removed):
            del self.targets[start : start + links]

    def _give_up(self, opened: _Open) -> tuple[int, int]:
        """Take a link's target, or a file's whole line, off the output; (where that ends, links that were there)."""
        first = self._out[opened.at + 1]
        if self._namespace(first) in (FILE, CATEGORY):
            return self._clear_line(opened.at + 1)
        if LINK not in first:
            self._out[opened.at + 1] = _without_target(first)
        return 0, 0

    def _clear_line(self, index: int) -> tuple[int, int]:
        """Empty the output from `index` to the end of its line; (where that is, links that were on it)."""
        links = 0
        while index < len(self._out):
            line, newline, rest = self._out[index].partition("\n")
            links += line.count(LINK)
            self._out[index] = newline + rest
            if newline:
                break
            index += 1
        self.drops["file"] += links
        return index, links


def _line_end(tag: re.Match[str]) -> str:
    """What stands for a tag that ends a line."""
    text, end = tag.string, tag.end()
    # In a heading there is but one line.
    begin = text.rfind("\n", max(0, tag.start() - _MAX_HEADING), tag.start()) + 1
    if begin and text[begin] == "=":
        return " "
    # Only a line of the page can be a heading or a table's; this one is neither.
    if text[end : end + 1] in " =|!" and text[end : end + 2].lstrip()[:1] in "=|!":
        return "\n" + BREAK
    return "\n"


def _has_heading(text: str, start: int, end: int) -> bool:
    return text.find("\n", start, end) >= 0 and text.find("\n==", start, end) >= 0


def _without_target(piece: str) -> str:
    """What begins as a link does, without what stands before the label on its first line."""
    line, newline, rest = piece.partition("\n")
    return line.rpartition("|")[2] + newline + rest
