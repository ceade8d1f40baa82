"""Wikitext of every article: infobox, lead, sections, and the markup that real articles carry."""

import dataclasses
import re

from .facts import Thing, World, pick, read_table
from .leads import Leads
from .prose import LINK, Prose, describe
from .sections import Sections

RED_LINKS = ("Café talk", "Gravity", "Rhineland (region)", "São Paulo (city)", "Tale of the lighthouse")
"""Targets that no page, redirect or row of the redirects file has: what a wiki calls red links."""

CATEGORY = {
    "countries": "Countries of {P30}",
    "cities": "Cities of {P17}",
    "rivers": "Rivers of {P30}",
    "people": "{P106}s",
    "works": "{P31}s",
    "languages": "Languages",
    "elements": "Chemical elements",
    "solar": "Solar System",
    "universities": "Universities",
    "museums": "Art museums",
}

INFOBOX = {
    "countries": ("country", "P36 P37 P38 P463"),
    "cities": ("settlement", "P17 P206"),
    "rivers": ("river", "P17 P403"),
    "people": ("person", "P19 P20 P106"),
    "works": ("work", "P50 P86 P170 P407"),
    "elements": ("element", "P61 P138"),
    "universities": ("university", "P131 P17"),
    "solar": ("body", "P397 P61"),
}

FIELD = {
    "P36": "capital",
    "P37": "languages",
    "P38": "currency",
    "P463": "member_of",
    "P17": "country",
    "P206": "water",
    "P403": "mouth",
    "P19": "birth_place",
    "P20": "death_place",
    "P106": "occupation",
    "P50": "author",
    "P86": "composer",
    "P170": "artist",
    "P407": "language",
    "P61": "discoverer",
    "P138": "named_after",
    "P131": "city",
    "P397": "parent",
}

REFERENCES = (
    '<ref name="atlas">{{cite book |title=Small atlas of everything |year=1998 |page=12}}</ref>',
    "<ref>See the list in the entry on [[Europe]] of the same handbook.</ref>",
    "<ref>{{cite web |url=https://example.org/facts |title=Facts | access-date=2 May 2023}}</ref>",
    "<ref>''Letters'', vol.&nbsp;2, p.&nbsp;41&ndash;43.</ref>",
)


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of the dump; `state` says how its text element is written."""

    title: str
    text: str
    ns: int = 0
    redirect: str = ""
    state: str = "text"
    """text | empty | stub (text element without text) | deleted."""


class Articles:
    """Writes the article of every thing that has a page."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.prose = Prose(world)
        self.leads = Leads(world)
        self.parts = Sections(world)
        self.extras = {row["label"]: row["wikitext"].replace("\\n", "\n") for row in read_table("extras")}
        self.redirects: dict[str, list[str]] = {}
        for row in read_table("redirects"):
            self.redirects.setdefault(row["target"], []).append(row["title"])
        known = [row["title"] for row in read_table("redirects")] + list(RED_LINKS)
        self.known = {title[:1].upper() + title[1:] for title in known}

    def pages(self) -> list[Page]:
        """One page per thing with `page`, in the order of the tables."""
        return [Page(t.title, self.article(t)) for t in self.world.things.values() if t.page]

    def article(self, thing: Thing) -> str:
        """The whole wikitext of one article."""
        lead, note = self.leads.lead(thing), self.prose.live(thing.cell("note"))
        head = [self._hatnote(thing), self._infobox(thing), self._picture(thing) + self._with_reference(thing, lead)]
        body = []
        for number, (title, paragraphs) in enumerate(self.parts.sections(thing)):
            shown = [self._vary(thing, p) for p in paragraphs]
            if number == 0 and thing.kind in ("people", "countries") and note not in lead:
                shown[0] = f"{note} {shown[0]}"
            if number == 0 and thing.label in self.extras:
                shown.append(self._extra(thing))
            body.append(f"== {title} ==\n" + "\n\n".join(shown))
        if not body and thing.label in self.extras:
            body.append(f"== Remarks ==\n{self._extra(thing)}")
        tail = [self._table(thing), self._see_also(thing), self._foot(thing)]
        return "\n\n".join(part for part in ["\n".join(h for h in head if h), *body, *tail] if part)

    def _extra(self, thing: Thing) -> str:
        return self.prose.live(self.extras[thing.label], self.known)

    def _hatnote(self, thing: Thing) -> str:
        lines = []
        if pick([True, False], thing.label, "short"):
            lines.append("{{Short description|" + (describe(self.world, thing) or "none") + "}}")
        if "(" in thing.title:
            lines.append("{{Other uses|" + thing.label + " (disambiguation)}}")
        if pick([True, False, False, False], thing.label, "dmy"):
            lines.append("{{Use dmy dates|date=May 2023}}")
        return "\n".join(lines)

    def _infobox(self, thing: Thing) -> str:
        if thing.kind not in INFOBOX:
            return ""
        sort, relations = INFOBOX[thing.kind]
        rows = [f"| name = {thing.label}"]
        for relation in relations.split():
            labels = self.world.out[thing.label].get(relation, [])
            if len(labels) == 1:
                rows.append(f"| {FIELD[relation]} = {self.prose.link(labels[0])}")
            elif labels:
                items = "\n".join(f"* {self.prose.link(x)}" for x in labels)
                rows.append("| " + FIELD[relation] + " = {{plainlist|\n" + items + "\n}}")
        if thing.cell("lat"):
            rows.append(
                "| coordinates = {{coord|" + f"{thing.cell('lat')}|{thing.cell('lon')}" + "|display=inline,title}}"
            )
        if thing.cell("born"):
            rows.append("| born = {{birth year|" + thing.cell("born") + "}} <!-- year only -->")
        return "{{Infobox " + sort + "\n" + "\n".join(rows) + "\n}}"

    def _picture(self, thing: Thing) -> str:
        if thing.kind not in ("cities", "people", "museums", "mountains") or not pick([1, 0, 0], thing.label, "pic"):
            return ""
        others = [x for labels in self.world.out[thing.label].values() for x in labels if self.world.things[x].page]
        seen = self.prose.name(pick(others, thing.label, "caption"))
        place = pick(["thumb|right|220px", "thumb", "thumb|upright|alt=A picture"], thing.label, "place")
        return (
            f"[[File:{thing.label} {len(others)}.jpg|{place}|{self.prose.link(thing.label)}, with a note on {seen}]]\n"
        )

    def _with_reference(self, thing: Thing, lead: str) -> str:
        if not pick([1, 1, 0], thing.label, "ref"):
            return lead
        first, dot, rest = lead.partition(". ")
        return f"{first}.{pick(REFERENCES, thing.label, 'which')} {rest}" if dot else lead

    def _vary(self, thing: Thing, text: str) -> str:
        """Some links under a shorter name, through a redirect, or with a longer ending: what editors write."""

        def other(match: re.Match[str]) -> str:
            target = self.world.by_title.get(match[1][:1].upper() + match[1][1:])
            choice = pick(range(6), thing.label, match[0])
            if target is None or target.label == thing.label or choice > 2:
                return match[0]
            aliases = [x for x in target.cell("aliases").split("; ") if x]
            if aliases and choice < 2:
                return f"[[{target.title}|{aliases[0]}]]"
            through = [x for x in self.redirects.get(target.title, []) if x[0].isupper()]
            if through and choice == 2:
                return f"[[{through[0]}|{target.label}]]"
            return match[0]

        return LINK.sub(other, text)

    def _table(self, thing: Thing) -> str:
        if thing.kind != "countries":
            return ""
        cities = [x for x in self.world.into[thing.label].get("P17", []) if self.world.things[x].kind == "cities"]
        if not cities:
            return ""
        rows = "\n".join(
            f"|-\n| {self.prose.link(x)} || {{{{nts|{number}}}}}" for number, x in enumerate(cities, start=1)
        )
        return f'{{| class="wikitable"\n|+ Cities in this wiki\n! City !! Number\n{rows}\n|}}'

    def _see_also(self, thing: Thing) -> str:
        if not pick([1, 0], thing.label, "see"):
            return ""
        near = [x for labels in self.world.out[thing.label].values() for x in labels]
        near += [x for labels in self.world.into[thing.label].values() for x in labels]
        near = sorted(
            {x for x in near if self.world.things[x].page}, key=lambda x: (pick(range(10**6), thing.label, x), x)
        )
        return "== See also ==\n" + "\n".join(f"* {self.prose.link(x)}" for x in near[:3]) if near else ""

    def _foot(self, thing: Thing) -> str:
        lines = ["== References ==\n{{reflist}}\n"]
        if thing.kind in CATEGORY:
            names = {r: labels[0] for r, labels in self.world.out[thing.label].items()}
            name = CATEGORY[thing.kind].format_map(names)
            lines.append(f"[[Category:{name[:1].upper() + name[1:]}|{thing.label}]]")
        lines.append(f"[[Category:{'Things' if thing.kind != 'people' else 'People'}]]")
        if thing.cell("de"):
            lines.append(f"[[de:{thing.cell('de')}]]")
        return "\n".join(lines)
