"""The lead section of each kind of page: 20 to 60 words that name the facts of the thing."""

from collections.abc import Callable

from .facts import Thing, World, pick
from .prose import Prose, a, join, pronouns, sentence, words

LONGEST = 60  # words; what is not needed to tell the facts is left out beyond it


class Leads:
    """Writes the lead of a thing; `lead` picks the method by the thing's table."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.prose = Prose(world)

    def lead(self, thing: Thing) -> str:
        """The lead as wikitext, without infobox or references."""
        if thing.cell("lead"):
            return self.prose.live(thing.cell("lead"))
        write: Callable[[Thing], str] = getattr(self, f"_{thing.kind}")
        return " ".join(write(thing).split())

    def _out(self, thing: Thing, relation: str) -> list[str]:
        return self.world.out[thing.label].get(relation, [])

    def _into(self, thing: Thing, relation: str) -> list[str]:
        return self.world.into[thing.label].get(relation, [])

    def _bold(self, thing: Thing) -> str:
        name = f"'''{thing.label}'''"
        if thing.kind == "works":
            name = f"'''''{thing.label}'''''"
        return f"the {name}" if thing.article else name

    def _note(self, thing: Thing) -> str:
        return self.prose.live(thing.cell("note"))

    def _names(self, labels: list[str], limit: int = 0) -> str:
        return self.prose.names(labels, limit)

    def _continents(self, t: Thing) -> str:
        countries = [x for x in self._into(t, "P30") if self.world.things[x].kind == "countries"]
        return (
            f"'''{t.label}''' is one of the [[continent]]s of {self.prose.name('Earth')}. {self._note(t)} "
            f"Among its countries {'is' if len(countries) == 1 else 'are'} {self._names(countries, 6)}."
        )

    def _countries(self, t: Thing) -> str:
        n, continent = self._bold(t), self._names(self._out(t, "P30"))
        capital, money = self._names(self._out(t, "P36")), self._names(self._out(t, "P38"))
        languages = self._out(t, "P37")
        several = len(languages) > 1
        borders = self._out(t, "P47")
        neighbours = f"It has land borders with {self._names(borders)}." if borders else "It has no neighbour on land."
        tongue = f"official language{'s are' if several else ' is'} {self._names(languages)}"
        member = f"It is a member of {self._names(self._out(t, 'P463'))}."
        lead = pick(
            [
                f"{n} is a [[country]] in {continent}. Its [[capital city]] is {capital}, its {tongue}, and its "
                f"[[currency]] is {money}. {neighbours} {member}",
                f"{n} is a [[country]] of {continent}, governed from {capital}. {neighbours} Its {tongue}; people "
                f"pay with {money}. {member}",
                f"{n}, with {capital} as its [[capital city]], is a [[country]] in {continent}. {member} "
                f"Its {tongue}, and {money} is its money. {neighbours}",
            ],
            t.label,
            "lead",
        )
        whole = f"{lead} {self._note(t)}"
        return sentence(whole if words(whole) <= LONGEST else lead)

    def _cities(self, t: Thing) -> str:
        country = self._out(t, "P17")[0]
        c, continent = self.prose.name(country), self._names(self.world.out[country]["P30"][:1])
        sort = next((x for x in self._out(t, "P31") if x not in ("city", "capital city")), "city")
        what = "the [[capital city]]" if "capital city" in self._out(t, "P31") else a(self.prose.link(sort))
        also = f", and {a(self.prose.link(sort))}" if sort != "city" and what.startswith("the ") else ""
        water = self._names(self._out(t, "P206"))
        lies = f"It lies on {water}" if water else f"It lies in {continent}"
        note = self._note(t)
        tongue = self._names(self.world.out[country]["P37"])
        return pick(
            [
                f"'''{t.label}''' is {what} of {c}{also}. {lies}{f', in {continent}' if water else ''}, and is known "
                f"for {note}. The official language there is {tongue}.",
                f"'''{t.label}''' is {what} in {c}{also}. {lies}. Visitors remember {note}, and the {continent} of "
                f"its streets speaks {tongue}.",
                f"'''{t.label}''', {what} of {c}{also}, is a place in {continent} known for {note}. "
                f"{f'{lies}. ' if water else ''}Signs are written in {tongue}, as in the rest of the country.",
            ][:: (1 if water else 2)],
            t.label,
            "lead",
        )

    def _rivers(self, t: Thing) -> str:
        n, mouth, lands = self._bold(t), self._out(t, "P403")[0], self._names(self._out(t, "P17"))
        ends = self.prose.name(mouth)
        into = f"joins {ends}" if self.world.things[mouth].kind == "rivers" else f"flows into {ends}"
        continent = self._names(self._out(t, "P30"))
        note = self._note(t)
        long = "{{convert|" + t.cell("length") + "|km|mi}}"
        return sentence(
            pick(
                [
                    f"{n} is a [[river]] in {continent}. It runs for {long} through {lands} and {into}. {note}",
                    f"{n} is a [[river]] of {lands}, in {continent}, which {into} after {long}. {note}",
                ],
                t.label,
                "lead",
            )
        )

    def _waters(self, t: Thing) -> str:
        sort = self.prose.link(self._out(t, "P31")[0])
        shores, whole = self._names(self._out(t, "P205")), self._out(t, "P361")
        of = f" and a part of {self._names(whole)}" if whole else ""
        where = f" {'in' if 'lake' in sort else 'on the coast of'} {self._names(self._out(t, 'P30'))}"
        place = where if self._out(t, "P30") else " between the continents"
        return sentence(
            f"{self._bold(t)} is {a(sort)}{place}{of}. {sentence(shores)} lie on its shores. {self._note(t)}"
        )

    def _mountains(self, t: Thing) -> str:
        lands, continent = self._names(self._out(t, "P17")), self._names(self._out(t, "P30"))
        if t.cell("P31") == "mountain range":
            return sentence(
                f"{self._bold(t)} are a [[mountain range]] in {continent}. They rise in {lands}. {self._note(t)}"
            )
        group = self._out(t, "P4552")
        of = f" of {self._names(group)}" if group else ""
        high = "{{convert|" + t.cell("height") + "|m|ft}}"
        return sentence(
            f"{self._bold(t)} is a [[mountain]]{of} in {lands}, {high} high. It stands in {continent}. {self._note(t)}"
        )

    def _languages(self, t: Thing) -> str:
        family, lands = self._names(self._out(t, "P279")), self._into(t, "P37")
        kin = f" It is one of {family}, and" if family else " It"
        official = f"is official in {self._names(lands, 9)}" if lands else "is no longer the language of any country"
        return (
            f"'''{t.label}''' is a [[language]].{kin} {official}. It is written in the "
            f"{self._names(self._out(t, 'P282'))}. {self._note(t)}"
        )

    def _currencies(self, t: Thing) -> str:
        lands = self._into(t, "P38")
        return sentence(
            f"{self._bold(t)} (sign: {t.cell('symbol')}) is the [[currency]] of {self._names(lands, 12)}. "
            f"{self._note(t)} "
            f"Prices in {self.prose.name(self.world.out[lands[0]]['P36'][0])} are given in it."
        )

    def _universities(self, t: Thing) -> str:
        city, land = self._names(self._out(t, "P131")), self._names(self._out(t, "P17"))
        year = t.cell("founded")
        return sentence(
            pick(
                [
                    f"{self._bold(t)} is a [[university]] in {city}, {land}. It was founded in {year}. {self._note(t)}",
                    f"{self._bold(t)}, founded in {year}, is the [[university]] of {city} in {land}. {self._note(t)}",
                ],
                t.label,
                "lead",
            )
            + f" Its students come from all over {self._names(self.world.out[self._out(t, 'P17')[0]]['P30'][:1])}."
        )

    def _museums(self, t: Thing) -> str:
        city, land = self._names(self._out(t, "P131")), self._names(self._out(t, "P17"))
        return sentence(
            f"{self._bold(t)} is an [[art museum]] in {city}, {land}, opened in {t.cell('founded')}. {self._note(t)} "
            f"Among the [[painting]]s to be seen are works from all over [[Europe]]."
        )

    def _people(self, t: Thing) -> str:
        he, _ = pronouns(t)
        jobs = join([self.prose.link(x) for x in self._out(t, "P106")])
        dates = f" ({t.cell('born')}&ndash;{t.cell('died')})" if t.cell("born") else ""
        born = f" born in {self._names(self._out(t, 'P19'))}" if self._out(t, "P19") else ""
        lands = self._out(t, "P27")
        citizen = f" and a citizen of {self._names(lands)}" if lands else ""
        died = f"{he.title()} died in {self._names(self._out(t, 'P20'))}." if self._out(t, "P20") else ""
        openings = [f"'''{t.label}'''{dates} was {a(t.cell('adj'))} {jobs}{born}{citizen}."]
        if born:
            openings.append(f"'''{t.label}'''{dates},{born}, was {a(t.cell('adj'))} {jobs}{citizen}.")
        said = [pick(openings, t.label, "lead"), f"{he.title()} {join(self._deeds(t))}.", died]
        models, tongue = self._out(t, "P737"), self._out(t, "P103")
        more = [
            f"{he.title()} learned from {self._names(models)}." if models else "",
            f"{he.title()} spoke {self._names(tongue)} at home." if tongue else "",
            self._note(t),
        ]
        for text in more:
            if words(" ".join([*said, text])) <= LONGEST:
                said.insert(-1, text)
        return " ".join(said)

    def _deeds(self, t: Thing) -> list[str]:
        """What the person did, as parts of one sentence: field, movement, places, schools, works and prizes."""
        made = "made" if "painter" in self._out(t, "P106") else "wrote"
        verbs = {
            "P101": "worked in",
            "P135": "belongs to",
            "P937": "lived in",
            "P69": "studied at",
            "P800": made,
            "P166": "received",
        }
        return [
            f"{verb} {self._names(self._out(t, relation))}"
            for relation, verb in verbs.items()
            if self._out(t, relation)
        ]

    def _works(self, t: Thing) -> str:
        sort = self.prose.link((self._out(t, "P31") or ["work of art"])[0])
        maker = self._out(t, "P50") or self._out(t, "P86") or self._out(t, "P170")
        tongue, land = self._out(t, "P407"), self._out(t, "P495")
        year = f" in {t.cell('year')}" if t.cell("year") else ""
        speech = f" Its language is {self._names(tongue)}." if tongue else ""
        made = f" It comes from {self._names(land)}." if land else ""
        scene = f" Its scene is {self._names(self._out(t, 'P840'))}." if self._out(t, "P840") else ""
        hangs = f" Today it is kept in {self._names(self._out(t, 'P276'))}." if self._out(t, "P276") else ""
        verb = "finished" if t.cell("P170") else "first published" if t.cell("P50") else "first performed"
        return sentence(
            f"{self._bold(t)} is {a(sort)} by {self._names(maker)}{f', {verb}' if year else ''}{year}."
            f"{speech}{scene}{made}{hangs} {self._note(t)}"
        )

    def _solar(self, t: Thing) -> str:
        if t.label == "Solar System":
            planets = [
                x for x in self.world.into["Solar System"]["P361"] if "planet" in self.world.out[x].get("P31", [])
            ]
            return (
                f"The '''Solar System''' is {self.prose.name('Sun')} with all that moves around it. Its eight "
                f"[[planet]]s are {self._names(planets)}. Most of them have a [[natural satellite]] or several."
            )
        sort, parent = self.prose.link((self._out(t, "P31") or ["planet"])[0]), self._out(t, "P397")
        path = f" that moves around {self._names(parent)}" if parent else ""
        moons = self._out(t, "P398")
        with_moons = f" {'Its moons include' if len(moons) > 1 else 'Its moon is'} {self._names(moons, 4)}."
        bodies = with_moons if moons and t.label != "Sun" else ""
        found = f" {self._names(self._out(t, 'P61'))} discovered it in {t.cell('year')}." if self._out(t, "P61") else ""
        return sentence(
            f"{self._bold(t)} is {a(sort)} of {self.prose.name('Solar System')}{path}.{found}{bodies} {self._note(t)}"
        )

    def _elements(self, t: Thing) -> str:
        sorts = self._out(t, "P279")
        kind = f" and {a(self.prose.link(sorts[0]))}" if sorts else ""
        found = f" It was discovered by {self._names(self._out(t, 'P61'))}." if self._out(t, "P61") else ""
        name = t.label[0].upper() + t.label[1:]
        named = f" It is named after {self._names(self._out(t, 'P138'))}." if self._out(t, "P138") else ""
        return (
            f"'''{name}''' is a [[chemical element]]{kind}. Its symbol is {t.cell('symbol')} "
            f"and its atomic number {t.cell('number')}.{found}{named} {self._note(t)}"
        )
