"""Second step: links, tables, quotes, tags and magic words, in one pass with an explicit stack."""

import dataclasses
import functools
import re
from collections import Counter

from pipelines.wikitext.budget import require_shallow
from pipelines.wikitext.marks import END, HOLE, LINK
from pipelines.wikitext.site import CATEGORY, FILE, MAX_TITLE, Site

_PROTOCOL = (
    r"(?:(?:(?:https?|s?ftp|ftps|gopher|ircs?|ssh|svn|git|telnet|nntp|worldwind|mms|redis|ldap)?:)?//"
    r"|(?:mailto|news|urn|geo|tel|magnet|bitcoin|sips?|sms|xmpp):)"
)
_EXTERNAL = re.compile(rf"\s*(?:{_PROTOCOL})\S*\s*(.*)", re.DOTALL)
_BLOCK = "br p div center blockquote poem li ul ol dl dt dd hr h1 h2 h3 h4 h5 h6 tr td th caption"
_INLINE = """
    b i u s em strong small big sub sup span font tt kbd samp var cite dfn del ins strike abbr acronym q bdi bdo ruby rb
    rp rt rtc rbc tbody thead tfoot onlyinclude noinclude section mark time data wbr a img ref references nowiki math
    chem ce gallery imagemap timeline score hiero graph mapframe maplink templatedata templatestyles syntaxhighlight
    source code pre includeonly inputbox categorytree indicator style script col colgroup phonos langconvert translate
    tvar languages"""
_BLOCK_TAGS, _INLINE_TAGS = frozenset(_BLOCK.split()), frozenset(_INLINE.split())
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9,.'()!?-]*+(?: [A-Za-z0-9(][A-Za-z0-9,.'()!?-]*+)*+"
"""A target that needs no second look but for its first letter."""
_TARGET = r"[^\[\]|{}<>\n\x01-\x03]"
_QUOTES = re.compile("''+")
_PIPE_TRICK = re.compile(r"^:?(?:[^:|]{1,60}:)?(.*?)(?: ?\([^()]*\)|, .*)?$", re.DOTALL)
_INVISIBLE = ("category", "file", "language")
_IS_LINK, _IS_TABLE, _IS_EXTERNAL = 1, 2, 3


@dataclasses.dataclass(slots=True)
class _Open:
    """Something that began and has not ended."""

    kind: int
    at: int
    """Index in the output of the placeholder where it began."""
    targets: int
    """Links before it."""
    visible: int
    """Links with visible text before it."""
    depth: int = 0
    """Levels of what ended inside it."""


@functools.lru_cache(maxsize=32)
def _tokens(trail: str) -> re.Pattern[str]:
    # Every alternative begins with a literal outside of a group: only so can `re` skip to the next candidate.
    return re.compile(
        rf"\[\[(?:({_PLAIN})|({_TARGET}++))(?:\|({_TARGET}*+))?\]\]({trail})"  # 1-4: a link with no markup inside
        rf"|\]\]({trail})"  # 5
        r"|\[\[\[*+()"  # 6
        r"|''()'*+"  # 7
        r"|<(/?[A-Za-z][A-Za-z0-9]*+)(?=[\s/>])[^<>]*+>"  # 8: a tag's name
        rf"|\[(?:{_PROTOCOL})[^\s\[\]<>\"\x01\x02]*+[ \t]*+()"  # 9
        r"|\]()"  # 10
        r"|\{\|()"  # 11
        r"|\|\}()"  # 12
        r"|__[^\W\d_]++__()"  # 13
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
        text = "\n" + wikitext
        position: int | None = 0
        while position is not None:
            position = self._scan(text, position)
        self._recover()
        self.text = "".join(self._out)

    def _scan(self, text: str, position: int) -> int | None:
        """Read on from `position` to the end, or return where to look again."""
        out, targets = self._out, self.targets
        article_titles, has_capitals = self._site.article_titles, self._site.first_letter
        for token in _tokens(self._site.trail).finditer(text, position):
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
                if end - start == 4:
                    out.append("'")
            elif kind == 5 and self._close_external():
                # The first "]" was the external link's: look at the second again, it may begin "]]".
                return start + 1
            else:
                self._rare(token)
        out.append(text[position:])
        return None

    def _rare(self, token: re.Match[str]) -> None:
        """Tokens of which a page has few."""
        kind = token.lastindex
        if kind == 5:
            self._close_link(token[5])
        elif kind == 6:
            # Of an odd run the first bracket is text.
            length = token.end() - token.start()
            if length % 2:
                self._out.append("[")
            for _ in range(length // 2):
                self._push(_IS_LINK)
        elif kind == 8:
            self._tag(token[8], token[0])
        elif kind == 9:
            if self._open and self._open[-1].kind == _IS_EXTERNAL:
                self._open.pop()
            self._push(_IS_EXTERNAL)
        elif kind == 10:
            if not self._close_external():
                self._out.append("]")
        elif kind in (11, 12) and not _begins_line(token.string, token.start()):
            self._out.append(token[0])
        elif kind == 11:
            self._push(_IS_TABLE)
            self._tables += 1
        elif kind == 12:
            self._close_table()
        elif token[0].upper() != token[0]:
            self._out.append(token[0])  # __init__, not a magic word

    def _push(self, kind: int) -> None:
        self._open.append(_Open(kind, len(self._out), len(self.targets), self._visible()))
        self._out.append("")

    def _visible(self) -> int:
        """Links with visible text so far."""
        return len(self.targets) + self._shown

    def _end(self, opened: _Open, what: str) -> None:
        """Let the markup around count the levels inside it."""
        require_shallow(opened.depth + 1, what)
        if self._open:
            self._open[-1].depth = max(self._open[-1].depth, opened.depth + 1)

    def _tag(self, name: str, whole: str) -> None:
        bare = name.lstrip("/").lower()
        if bare == "table":
            if name[0] == "/":
                self._close_table()
            else:
                self._push(_IS_TABLE)
                self._tables += 1
                self._out[-1] = "\n"
        elif bare in _BLOCK_TAGS:
            self._out.append("\n")
        elif bare not in _INLINE_TAGS:
            self._out.append(whole)  # a < b and c > d

    def _close_external(self) -> bool:
        """End the external link that is open on this line, if one is."""
        if not self._open or self._open[-1].kind != _IS_EXTERNAL:
            return False
        at = self._open[-1].at
        pieces = self._out[at + 1 :]
        if any("\n" in piece for piece in pieces):
            self._open.pop()
            return False
        self._open.pop()
        if not any(piece.strip() for piece in pieces):
            self._out[at] = HOLE
        return True

    def _close_table(self) -> None:
        """Drop the innermost open table; links and brackets inside that were not closed go with it."""
        if not self._tables:
            self._out.append("\n")
            return
        depth = next(i for i in range(len(self._open) - 1, -1, -1) if self._open[i].kind == _IS_TABLE)
        self._tables -= 1
        table = self._open[depth]
        table.depth = max(opened.depth for opened in self._open[depth:])
        del self._open[depth:]
        self._end(table, "tables")
        self._drop(table, "table")
        self._out.append("\n")

    def _drop(self, opened: _Open, reason: str) -> None:
        del self._out[opened.at :]
        if len(self.targets) > opened.targets:
            self.drops[reason] += len(self.targets) - opened.targets
            del self.targets[opened.targets :]

    def _close_link(self, trail: str) -> None:
        while self._open and self._open[-1].kind == _IS_EXTERNAL:
            self._open.pop()
        if not self._open or self._open[-1].kind != _IS_LINK:
            self._out.append(trail)
            return
        opened = self._open.pop()
        self._end(opened, "links")
        first = self._out[opened.at + 1] if opened.at + 1 < len(self._out) else ""
        number = self._namespace(first)
        if number in (FILE, CATEGORY):
            self._drop(opened, "file" if number == FILE else "category")
            self.drops["file" if number == FILE else "category"] += 1
            self._out.append(trail)
        elif self._visible() != opened.visible:
            # Only the innermost brackets are a link; of the outer ones the label stays.
            if LINK not in first:
                self._out[opened.at + 1] = first.rpartition("|")[2]
            self.drops["nested"] += 1
            self._out.append(trail)
        else:
            content = "".join(self._out[opened.at + 1 :])
            del self._out[opened.at :]
            target, bar, label = content.partition("|")
            self._link(target, label if bar else None, trail)

    def _namespace(self, piece: str) -> int:
        prefix, colon, _ = piece[:80].partition(":")
        return self._site.namespaces.get(" ".join(prefix.replace("_", " ").split()).lower(), 0) if colon else 0

    def _link(self, target: str, label: str | None, trail: str) -> None:
        kind, title = self._resolve(target)
        if kind == "article":
            text = _visible_text(target, label)
        else:
            self.drops[kind] += 1
            if kind in _INVISIBLE and not target.lstrip().startswith(":"):
                self._out.append(trail)
                return
            text = _external_text(target, label) if kind == "external" else _visible_text(target, label)
        if "''" in text:
            text = _QUOTES.sub("", text)
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
        # The label's own outer spaces stand outside of the link.
        if len(core) != len(text):
            shown = (" " if text[0].isspace() else "") + shown + (" " if text[-1].isspace() else "")
        self._out.append(shown)

    def _resolve(self, target: str) -> tuple[str, str]:
        if "//" in target and _EXTERNAL.match(target):
            return "external", ""
        return self._site.resolve(target)

    def _recover(self) -> None:
        """What never ended costs its own line at most."""
        removed: list[tuple[int, int]] = []
        cleared = 0
        for opened in self._open:
            at = opened.at
            if opened.kind == _IS_TABLE:
                self.has_broken_table = True
                self._out[at] = self._out[at] or "\n|"  # a line that begins with "|" is dropped later
            elif opened.kind == _IS_LINK and cleared <= at < len(self._out) - 1:
                first = self._out[at + 1]
                if self._namespace(first) in (FILE, CATEGORY):
                    cleared, links = self._clear_line(at + 1)
                    removed.append((opened.targets, links))
                elif LINK not in first:
                    line, newline, rest = first.partition("\n")
                    self._out[at + 1] = line.rpartition("|")[2] + newline + rest
        for start, links in reversed(removed):
            del self.targets[start : start + links]

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


def _begins_line(text: str, position: int) -> bool:
    """Whether nothing but indentation stands before `position` on its line."""
    while text[position - 1] in " \t:":
        position -= 1
    return text[position - 1] == "\n"


def _visible_text(target: str, label: str | None) -> str:
    if label is None:
        return target.strip().removeprefix(":")
    if not label:
        match = _PIPE_TRICK.match(target.strip())
        return match[1] if match else target
    return label


def _external_text(target: str, label: str | None) -> str:
    """Of [[http://address label]], as MediaWiki reads it: an external link in brackets."""
    match = _EXTERNAL.match(target if label is None else f"{target}|{label}")
    return match[1] if match else ""
