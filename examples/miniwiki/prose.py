"""Wikitext for names and lists of names: what every sentence of the wiki is put together from."""

import re

from .facts import Thing, World, pick

LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]]*))?\]\]")


class Prose:
    """Names of things as wikitext: linked where the thing has a page, plain where it has none."""

    def __init__(self, world: World) -> None:
        self.world = world

    def link(self, label: str, text: str = "") -> str:
        """A link to the thing, without "the"."""
        thing = self.world.things[label]
        shown = text or label
        if not thing.page:
            return shown
        if shown[:1].lower() + shown[1:] == thing.title[:1].lower() + thing.title[1:]:
            return f"[[{shown}]]"
        return f"[[{thing.title}|{shown}]]"

    def name(self, label: str) -> str:
        """The name as a sentence uses it: with "the" where that is the custom, works in italics."""
        thing = self.world.things[label]
        linked = self.link(label)
        if thing.kind == "works":
            linked = f"''{linked}''"
        return f"the {linked}" if thing.article else linked

    def names(self, labels: list[str], limit: int = 0, key: str = "") -> str:
        """ "A, B and C". With a limit, a stable choice of that many, things with pages first."""
        chosen = list(labels)
        if limit and len(chosen) > limit:
            ranked = sorted(chosen, key=lambda x: (not self.world.things[x].page, pick(range(10**6), key, x)))
            chosen = [label for label in chosen if label in ranked[:limit]]
        return join([self.name(label) for label in chosen])

    def plural(self, label: str) -> str:
        """The plural of a class or profession, with the ending as a link trail where it only adds letters."""
        thing = self.world.things[label]
        plural = thing.cell("plural") or f"{label}s"
        if not thing.page:
            return plural
        if plural.startswith(label) and thing.title.lower() == label:
            return f"[[{label}]]{plural[len(label) :]}"
        return f"[[{thing.title}|{plural}]]"

    def live(self, text: str, known: frozenset[str] | set[str] = frozenset()) -> str:
        """Hand-written wikitext with links to things that have no page turned into plain text.

        `known` holds the other titles that may be linked; a link to anything else is a slip, and an error.
        """

        def keep(match: re.Match[str]) -> str:
            title = match[1]
            if ":" in title or title.startswith("#"):
                return match[0]
            title = title.partition("#")[0].strip()
            found = {title[:1].upper() + title[1:]}
            if found & (self.world.by_title.keys() | known):
                return match[0]
            without_page = [t for t in self.world.things.values() if t.title in found]
            if not without_page:
                raise ValueError(f"[[{title}]] names nothing in the facts: {text[:80]}")
            return match[2] or title

        return LINK.sub(keep, text)


def join(parts: list[str]) -> str:
    """ "A", "A and B", "A, B and C"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """The text with its first letter in upper case, also behind quotes and an opening link."""
    at = re.match(r"['\[]*", text).end()
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


def a(noun: str) -> str:
    """ "a river", "an ocean"; looks through link brackets."""
    plain = noun.lstrip("[' ")
    vowel = plain[:1].lower() in "aeiou" and not plain.lower().startswith(("eu", "uni"))
    return f"{'an' if vowel else 'a'} {noun}"


def words(wikitext: str) -> int:
    """Number of words of simple wikitext (links and quotes only) as a reader sees it."""
    return len(LINK.sub(lambda m: m[2] if m[2] is not None else m[1], wikitext).replace("''", "").split())


def pronouns(thing: Thing) -> tuple[str, str]:
    """("she", "her") or ("he", "his")."""
    return ("she", "her") if thing.cell("sex") == "f" else ("he", "his")


def describe(world: World, thing: Thing) -> str:
    """A short description, as Wikidata has one: the class, with the country, continent or maker where there is one."""
    out = world.out[thing.label]
    if thing.kind == "people":
        dates = f" ({thing.cell('born')}–{thing.cell('died')})" if thing.cell("born") else ""
        return f"{thing.cell('adj')} {join(out['P106'])}{dates}"
    sort = (out.get("P31") or out.get("P279") or [""])[0]
    where = next((out[relation][0] for relation in ("P17", "P50", "P86", "P170", "P30") if relation in out), "")
    if not (sort and where):
        return sort
    return f"{sort} {'by' if thing.kind == 'works' else 'in'} {'the ' if world.things[where].article else ''}{where}"
