"""The sections below the lead: sentences made from a thing's statements, seen from both of their ends."""

import dataclasses

from .facts import Thing, World, pick
from .prose import Prose, join, pronouns, sentence, words

SHORT = 60  # words up to which the paragraphs of a section run together
LIMIT = 7  # names in one sentence; a longer list is a stable choice

# Sentences by relation. {names} are the other ends, {is} is "is" or "are" with them; {he} is "it" for a thing.
OUT = {
    "P17": ["It belongs to {names}.", "On the map it is found in {names}."],
    "P19": ["{He} came from {names}.", "The years of childhood were spent in {names}."],
    "P20": ["The last years led {him} to {names}.", "{He} died in {names}, where a plaque recalls {him}."],
    "P26": ["{He} was married to {names}.", "{names} shared {his} life."],
    "P27": ["{names} counted {him} among {their} citizens.", "{He} held the citizenship of {names}."],
    "P30": ["It is a part of {names}.", "Maps show it in {names}."],
    "P37": ["Laws are printed in {names}.", "Schools teach in {names}."],
    "P38": ["Shops take {names}.", "Wages are paid in {names}."],
    "P47": ["Roads and railways lead to {names}.", "The neighbours on land are {names}."],
    "P69": ["{He} was a student at {names}.", "The years at {names} shaped {him}."],
    "P101": ["The work belongs to {names}.", "Most of what {he} left is of interest to {names}."],
    "P103": ["{names} was the language of {his} home.", "{He} grew up with {names}."],
    "P106": ["By profession {he} was {a_jobs}.", "People remember {him} as {a_jobs}."],
    "P131": ["It stands in {names}.", "Visitors find it in {names}."],
    "P135": ["Histories place {him} with {names}.", "{names} would look different without {him}."],
    "P138": ["The name honours {names}.", "It bears the name of {names}."],
    "P166": ["{He} was honoured with {names}.", "A high point was the day on which {he} received {names}."],
    "P205": ["Water from {names} ends in it.", "Its coasts belong to {names}."],
    "P206": ["The old quays on {names} are a place to walk.", "Bridges and harbours on {names} shaped the town."],
    "P276": ["Today it can be seen in {names}.", "It is kept in {names}."],
    "P361": ["It is part of {names}.", "It belongs to {names}."],
    "P397": ["It moves around {names}.", "Its path leads around {names}."],
    "P398": ["Around it moves the family of {names}.", "It holds {names} by its weight."],
    "P403": ["At its mouth it meets {names}.", "In the end its water reaches {names}."],
    "P407": ["It was written in {names}.", "Readers of {names} know it in the original."],
    "P425": ["The profession belongs to {names}.", "Its subject is {names}."],
    "P463": ["It is a member of {names}.", "It has a seat in {names}."],
    "P495": ["It was made in {names}.", "It counts among the treasures of {names}."],
    "P737": ["{He} learned much from {names}.", "The influence of {names} is easy to see."],
    "P800": ["Among the works, {names} {is} known best.", "{names} made {him} famous."],
    "P840": ["The scene is {names}.", "It takes place in {names}."],
    "P937": ["{He} worked in {names}.", "Much of the work was done in {names}."],
    "P1376": ["The government of {names} sits there.", "It is the seat of the government of {names}."],
    "P4552": ["It stands among the peaks of {names}.", "It is one of the summits of {names}."],
}

INTO = {
    "P17": ["On its land {is} {names}.", "A traveller there may visit {names}."],
    "P19": ["{names} {was} born there.", "It is the birthplace of {names}."],
    "P20": ["{names} died there.", "It is where {names} spent the last days of life."],
    "P27": ["Its citizens have included {names}.", "Among its best known citizens {is} {names}."],
    "P30": ["To it {belongs} {names}.", "Within it {lies} {names}."],
    "P31": ["Examples {is} {names}.", "Among those that have a page here {is} {names}."],
    "P36": ["It is the capital of {names}."],
    "P37": ["It is an official language of {names}.", "The laws of {names} are written in it."],
    "P38": ["It is the money of {names}.", "People pay with it in {names}."],
    "P61": ["{names} {was} discovered by {him}.", "We owe the discovery of {names} to {him}."],
    "P69": ["{names} studied there.", "Among its students {was} {names}."],
    "P101": ["{names} worked in this field.", "The field owes much to {names}."],
    "P103": ["It was the first language of {names}.", "{names} grew up with it."],
    "P106": ["Well known members of the profession {is} {names}.", "It was the profession of {names}."],
    "P131": ["In the town {stands} {names}.", "Among its institutions {is} {names}."],
    "P135": ["{names} {belongs} to it.", "Its masters include {names}."],
    "P138": ["The chemical element{s} {names} {is} named in honour of {him}.", "{He} gave {his} name to {names}."],
    "P166": ["It was given to {names}.", "{names} received it."],
    "P205": ["Its land drains into {names}.", "It has a coast on {names}."],
    "P206": ["On its banks or shores {lies} {names}.", "The towns by its water include {names}."],
    "P276": ["Visitors come to see {names}.", "{names} {is} kept there."],
    "P279": ["Kinds of it {is} {names}.", "It has branches such as {names}."],
    "P361": ["To it {belongs} {names}.", "Its parts include {names}."],
    "P403": ["Into it {flows} {names}.", "It takes in the water of {names}."],
    "P407": ["{names} {was} written in it.", "Its literature includes {names}."],
    "P425": ["Those who practise it include every {names}.", "It is the subject of every {names}."],
    "P463": ["Its members include {names}.", "{names} {is} among its members."],
    "P495": ["{names} {was} made there.", "The arts of the country gave the world {names}."],
    "P737": ["{names} learned from {him}.", "{He} had a strong influence on {names}."],
    "P840": ["It is the scene of {names}.", "{names} {is} set there."],
    "P937": ["{names} worked there.", "For some years it was home to {names}."],
    "P4552": ["Among its summits {is} {names}."],
}


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the statements that its paragraphs tell, in order: "P17" out of the thing, "<P17" into it."""

    titles: tuple[str, ...]
    paragraphs: tuple[str, ...]


PLAN = {
    "continents": [Section(("Countries and waters",), ("<P30", "<P361"))],
    "countries": [
        Section(("Geography", "Land and water"), ("<P17 P30 <P205", "P47")),
        Section(("State", "Government and money"), ("P36 P37 P38 P463",)),
        Section(("Culture", "People and arts"), ("<P27", "<P495 <P840")),
    ],
    "cities": [
        Section(("Setting", "Geography"), ("P17 P17>P36 P206 P1376 P17>P38 ~P17",)),
        Section(("People", "Residents"), ("<P19 <P937", "<P20")),
        Section(("Culture", "Sights"), ("<P131 <P276 <P840",)),
    ],
    "rivers": [Section(("Course", "From source to mouth"), ("P17 P403 P403>P361 ~P403", "<P206 <P403"))],
    "waters": [Section(("Coasts", "Shores"), ("P205 <P206", "<P403 P361 <P361"))],
    "mountains": [Section(("Position", "Surroundings"), ("P17 P4552 <P4552 P30 ~P30",))],
    "languages": [Section(("Speakers", "Use"), ("<P37 P279>P361", "<P103", "<P407 ~P279"))],
    "families": [Section(("Members", "Branches"), ("<P279 <P361 P361",))],
    "currencies": [Section(("Use", "Where it is used"), ("<P38",))],
    "universities": [Section(("History", "Students"), ("P131 P17 ~P131 P17>P37", "<P69 P17>P30"))],
    "museums": [Section(("Collection", "What to see"), ("<P276 P131 P17 ~P131 P17>P37",))],
    "people": [
        Section(("Life", "Biography"), ("P19 P19>P17 P69 P69>P131 P937", "P26 P20 P27 P103 P106")),
        Section(("Work", "Achievement"), ("P101 P800 P800>P407 <P61 P166 P135",)),
        Section(("Influence", "Place in history"), ("P737 <P737 <P138 ~P106",)),
    ],
    "works": [
        Section(("Background", "Origin"), ("P50 P86 P170 P50>P106 P50>P27 P86>P27 P170>P937 P407 P495 P840",)),
        Section(("Reception", "Place among other works"), ("P276 ~P50 ~P86 ~P170 ~P31",)),
    ],
    "solar": [Section(("Path", "Motion"), ("P397 P398 P361 ~P397",)), Section(("Name",), ("<P138",))],
    "elements": [Section(("Discovery", "Name and discovery"), ("P61 P138 ~P279",))],
    "classes": [Section(("Examples",), ("<P31",)), Section(("Kinds",), ("<P279",))],
    "concepts": [
        Section(("People", "Names"), ("<P106 <P101 <P135 <P166 <P463",)),
        Section(("Relations", "Neighbouring subjects"), ("P425 <P425 P361 <P361 <P279 ~P31",)),
    ],
}

MAKER = {
    "P50": ["{names} is the author.", "It was {names} who wrote it."],
    "P86": ["The music is by {names}.", "{names} wrote the music."],
    "P170": ["{names} is the painter.", "It was {names} who made it."],
    "P36": ["{names} is the seat of the government.", "The parliament meets in {names}."],
    "P61": ["{names} found it first.", "The discovery is the work of {names}."],
}

ALIKE = {
    "P17": ["In the same country {lies} {names}.", "In the same country one finds {names}."],
    "P30": ["On the same continent {is} {names}."],
    "P31": ["It may be compared with {names}.", "Of the same kind {is} {names}."],
    "P50": ["By the same author {is} {names}."],
    "P86": ["By the same composer {is} {names}."],
    "P170": ["By the same hand {is} {names}."],
    "P106": ["{He} lived in the same age as {names}.", "{names} lived at the same time and had a like profession."],
    "P131": ["Not far away {stands} {names}."],
    "P279": ["Relatives {is} {names}.", "It is close to {names}."],
    "P397": ["Around the same body {moves} {names}."],
    "P403": ["The same water receives {names}."],
}

VIA = {
    "P17>P36": ["The country is governed from {names}.", "The capital of the country is {names}."],
    "P17>P38": ["People pay with {names}.", "Prices are given in {names}."],
    "P17>P37": ["Visitors hear {names} in the streets.", "The talk in its halls is in {names}."],
    "P17>P30": ["The region is a part of {names}.", "It is visited from all over {names}."],
    "P19>P17": ["That town belongs to {names}.", "That is a place in {names}."],
    "P20>P17": ["The grave is in {names}.", "That town lies in {names}."],
    "P69>P131": ["The lectures were held in {names}.", "Student life took place in {names}."],
    "P800>P407": ["One can read the originals in {names}.", "They belong to what was written in {names}."],
    "P50>P106": ["Its author was {a_jobs}.", "It is the work of {a_jobs}."],
    "P50>P27": ["Its author was a citizen of {names}.", "{names} counted its author among {their} citizens."],
    "P86>P27": ["Its composer was a citizen of {names}.", "{names} counted its composer among {their} citizens."],
    "P170>P937": ["The painter worked in {names}.", "The years of the painter in {names} left their mark on it."],
    "P403>P361": ["That water is a part of {names}.", "Beyond it lies {names}."],
    "P279>P361": ["Together they belong to {names}.", "The wider kin is {names}."],
}

SINGULAR = {"is": "is", "was": "was", "s": "", "their": "its"}
PLURAL = {"is": "are", "was": "were", "s": "s", "their": "their"}
VERBS = ("belong", "lie", "stand", "flow", "move")


class Sections:
    """Writes the sections of a thing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.prose = Prose(world)

    def sections(self, thing: Thing) -> list[tuple[str, list[str]]]:
        """(heading, paragraphs) of every section that has something to tell."""
        written = []
        for section in PLAN.get(thing.kind, []):
            paragraphs = [self._paragraph(thing, spec) for spec in section.paragraphs]
            paragraphs = [p for p in paragraphs if p]
            if paragraphs and words(" ".join(paragraphs)) <= SHORT:
                paragraphs = [" ".join(paragraphs)]
            if paragraphs:
                written.append((pick(section.titles, thing.label, "title"), paragraphs))
        return written

    def _paragraph(self, thing: Thing, spec: str) -> str:
        return " ".join(s for s in (self._sentence(thing, item) for item in spec.split()) if s)

    def _sentence(self, thing: Thing, item: str) -> str:
        if item[0] == "<":
            relation, table = item[1:], INTO
            others = self.world.into[thing.label].get(relation, [])
            if thing.kind == "continents":  # its cities would crowd out its countries, rivers and mountains
                others = [x for x in others if self.world.things[x].kind != "cities"]
            others = [x for x in others if self.world.things[x].page] or others
        elif item[0] == "~":
            relation, table = item[1:], ALIKE
            others = self._alike(thing, relation)
        elif ">" in item:
            relation, table = item, VIA
            others = self._two_steps(thing, *item.split(">"))
        else:
            relation, table = item, MAKER if item in MAKER else OUT
            others = self.world.out[thing.label].get(relation, [])
        if not others:
            return ""
        template = pick(table[relation], thing.label, item)
        return sentence(template.format_map(self._words(thing, item, others)))

    def _two_steps(self, thing: Thing, first: str, second: str) -> list[str]:
        """The tails of the second relation of the first tail of the first: the currency of the city's country."""
        middle = self.world.out[thing.label].get(first, [])[:1]
        return [x for label in middle for x in self.world.out[label].get(second, []) if x != thing.label]

    def _alike(self, thing: Thing, relation: str) -> list[str]:
        """Up to three things with a page that share the tail of the relation, nearest in time where that is known."""
        tails = self.world.out[thing.label].get(relation, [])
        found = {h for tail in tails for h in self.world.into[tail].get(relation, [])} - {thing.label}
        kind = {"P17": ("cities",), "P131": ("universities", "museums")}.get(relation, (thing.kind,))
        near = [x for x in found if self.world.things[x].page and self.world.things[x].kind in kind]
        year = int(thing.cell("born") or 0)

        def rank(label: str) -> tuple[int, int, str]:
            born = int(self.world.things[label].cell("born") or 0)
            return (abs(born - year), pick(range(10**6), thing.label, relation, label), label)

        if relation == "P106":
            near = [x for x in near if abs(int(self.world.things[x].cell("born") or 9999) - year) <= 40]
        return sorted(near, key=rank)[:3]

    def _names(self, labels: list[str], key: str) -> str:
        if all("P425" in self.world.out[x] for x in labels) and "<P425" not in key:
            return join([self.prose.plural(x) for x in labels])
        return self.prose.names(labels, LIMIT, key)

    def _words(self, thing: Thing, item: str, others: list[str]) -> dict[str, str]:
        number = SINGULAR if len(others) == 1 else PLURAL
        he, his = pronouns(thing)
        person = thing.kind == "people"
        words = {
            "names": self._names(others, thing.label + item),
            "a_jobs": f"a {self.prose.names(others)}".replace("a [[astro", "an [[astro"),
            "he": he if person else "it",
            "He": (he if person else "it").title(),
            "him": {"he": "him", "she": "her"}[he] if person else "it",
            "his": his if person else "its",
        }
        verbs = {f"{verb}s": f"{verb}s" if number is SINGULAR else verb for verb in VERBS}
        return words | number | verbs
