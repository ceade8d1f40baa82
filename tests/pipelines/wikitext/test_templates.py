"""Tables of templates: what each language renders, what a user may add, and that no table breaks the scanner."""

import pickle
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages
from pipelines.wikitext import Site, parse
from pipelines.wikitext.marks import HOLE
from pipelines.wikitext.template_tables import TABLES, merge_tables, parse_table, read_table
from pipelines.wikitext.templates import load_templates, parse_arguments
from schemas.errors import DataError

LANGUAGES = sorted(path.stem for path in TABLES.glob("*.toml") if path.stem != "base")

ENGLISH = [
    ("thousands", "{{convert|2500|acre}} at {{cvt|1200|m}}", "2,500 acres at 1,200 m"),
    ("powers of ten", "{{convert|4.5e6|km}} of {{convert|22|e6acre}}", "4.5×10^6 kilometres of 22 million acres"),
    ("one million is many", "{{convert|1|Moilbbl}} in {{convert|1|mi}}", "1 million barrels in 1 mile"),
    ("half is many", "{{convert|0.5|mi}}, {{convert|1.0|mi}}", "0.5 miles, 1.0 mile"),
    ("a unit per another", "{{convert|3|ft/s}} and {{convert|3|ft/s|abbr=on}}", "3 feet per second and 3 ft/s"),
    ("adjective with a word", "a {{convert|1000|ft|m|adj=mid|-wide}} lake", "a 1,000-foot-wide lake"),
    ("singular by its older name", "a {{convert|5|mi|km|sing=on}} road", "a 5-mile road"),
    ("an unknown unit stays", "{{convert|5|zorkmid}}", "5 zorkmid"),
    ("no value but a hole", "a {{convert|{{unknown}}|km}} b", "a b"),
    ("language in words", "{{zh|c=民航|p=mínháng|l=aviation}}", "民航, mínháng"),
    ("script and colour", "{{script|Copt|Ⲁ}} {{script/Arabic|ﷲ}} {{color|green|high}}", "Ⲁ ﷲ high"),
    ("label of a link to another wiki", "{{ill|A|de|B|lt=C}} {{ill|A|de|B}} {{ill|de|A|B}}", "C A A"),
    ("born elsewhere", "(née: {{née|Kasner}})", "(née: née Kasner)"),
    ("old style", "{{OldStyleDate|February 2|1905|January 20}}", "February 2 1905 (O.S. January 20)"),
    ("since", "{{as of|2010|since=y|lc=y}}; {{as of|2011|06|07}}; {{as of|2011|alt=In 2011}}",
     "since 2010; As of 7 June 2011; In 2011"),
    ("two years", "{{circa|1200|1250}}, {{fl.|900|920}}, {{reign|1|2}}", "c. 1200 – c. 1250, fl. 900–920, r. 1–2"),
    ("date without a leading zero", "{{birth date|1905|02|02}}, {{birth date|1905|02|02|df=y}}",
     "February 2, 1905, 2 February 1905"),
    ("df=no is no", "{{birth date|1905|2|3|df=no}}", "February 3, 1905"),
    ("verses", "{{bibleverse||Mark|3:25}}, {{bibleverse|1|Kings|2:3}}", "Mark 3:25, 1 Kings 2:3"),
    ("numbers of books", "{{ISBN|0-14-022697-4}}; {{OCLC|61774054}}", "ISBN 0-14-022697-4; OCLC 61774054"),
    ("a uncertain value", "{{val|5|0.3|u=kg}} {{val|6|e=24}}", "5 ± 0.3 kg 6×10^24"),
    ("equilibrium", "HA {{eqm}} {{chem|H|+}}", "HA ⇌ H+"),
    ("marked text stays", "{{citation needed span|It waits.|date=May 2010}}", "It waits."),
    ("columns keep their list", "Birds:\n{{columns-list|2|\n* heron\n* stork\n}}\nEnd", "Birds:\nheron\nstork\nEnd"),
    ("list in a line", "{{hlist|a|b}} {{unbulleted list|c|d}}", "a, b\nc\nd"),
    ("sound and its parentheses", "Wien ({{IPA-de|viːn}}, {{respell|VEEN}}) is", "Wien is"),
    ("note and its hole", "so it is{{efn|x}}, {{citation needed}} then", "so it is, then"),
    ("functions", "{{lc:ABC}} {{ucfirst:abc}} {{formatnum: 12345.5 }}", "abc Abc 12,345.5"),
    ("a function of a hole", "a {{formatnum:{{x}}}} b {{#if:x|y}} c {{PAGENAME}}", "a b c"),
    ("braces that would meet", "a {{chem|{|{}} b {{nowrap|{x} }}", "a b {x}"),
    ("the namespace may be named", "{{Template:Small|a}}", "a"),
    ("case and underscores", "{{Birth_date|1905|2|3}} {{SMALL|b}}", "February 3, 1905 b"),
]  # fmt: skip

OTHERS = [
    ("de", "{{lang|fr|Paris}}, {{enS|London}}, {{ruS|Москва|Moskwa}}", "Paris, London, Москва Moskwa"),
    ("de", "Er sagt {{\"|Warte.}}\n{{Zitat|Text=Wer wartet, siegt.|Autor=X}}", "Er sagt „Warte.“\nWer wartet, siegt."),
    ("de", "{{Höhe|2962|DE-NHN}}, {{formatnum:1234567.5}}, {{§|823|BGB|juris}}", "2962 m, 1.234.567,5, § 823 BGB"),
    ("de", "{{start date|1990|10|3}}", "3. Oktober 1990"),
    ("fr", "au {{s|XIX|e}} et {{s-|I}}, {{-s|III|e}}", "au XIXe siècle et Ier siècle, IIIe siècle av. J.-C."),
    ("fr", "{{s2|III|e|IX|e}}, {{XIXe siècle}}, le 1{{er}}", "IIIe et IXe siècles, XIXe siècle, le 1er"),
    ("fr", "{{date|14|juillet|1789}}, {{date|1|1|1900}}, {{date||mai|1968}}",
     "14 juillet 1789, 1er janvier 1900, mai 1968"),
    ("fr", "{{unité|1234567.5|km|2}} et {{nombre|12|habitants}}", "1 234 567,5 km2 et 12 habitants"),
    ("fr", "{{citation|Attends}} {{lang|en|texte=heron}} {{refnec|Il dort}}", "« Attends » heron Il dort"),
    ("fr", "{{lien|langue=en|trad=Heron|fr=Héron gris|texte=héron}}", "héron"),
    ("es", "{{fecha|2|5|1808}}, {{siglo|XX||s}}, {{siglo|II|a|s}}", "2 de mayo de 1808, siglo XX, siglo II a. C."),
    ("es", "5{{esd}}km, {{unidad|12345.5|km}}, {{unidad|1234|m}}", "5 km, 12 345,5 km, 1234 m"),
    ("it", "{{M|1500|ul=km}} {{citazione necessaria|Dorme.|maggio 2010}}", "1 500 km Dorme."),
    ("nl", "{{Citaat|tekst=Wacht.|aut=X}}{{birth date|1890|4|5}}", "Wacht.\n5 april 1890"),
    ("pl", "{{formatnum:1234}} {{formatnum:12345}} {{cytat|Czekaj.}}", "1234 12 345\nCzekaj."),
    ("pt", "{{dtlink|7|9|1822}}, {{séc|XIX}}, {{fmtn|12345|km}}", "7 de setembro de 1822, século XIX, 12 345 km"),
    ("ru", "{{lang-en|London}}, {{нп5|Клуб (Лондон)|Клуб|en|Club}}, {{не переведено|надо=Офуда|есть=:en:ofuda}}",
     "London, Клуб, Офуда"),
    ("ru", "{{OldStyleDate|15|октября|1814|3}}, {{num|1234567}} {{convert|5|km}}",
     "3 (15) октября 1814, 1 234 567 5 км"),
    ("ru", "{{birth date|1814|10}}", "октябрь 1814"),
    ("uk", "{{lang-la|Ardea}} {{не перекладено|Чапля||en|Heron}}", "Ardea Чапля"),
    ("bg", "{{lang|la|Ardea}} {{convert|12345|km2}}", "Ardea 12 345 км²"),
    ("sv", "{{citat|Vänta.}}{{källa behövs|Den sover.}}", "Vänta.\nDen sover."),
    ("cs", "{{Vjazyce2|en|London}} ({{vjazyce|de}} ''Wien'')", "London (Wien)"),
    ("ja", "{{読み仮名|鷺|さぎ}}は{{仮リンク|青鷺|en|Grey heron|label=鳥}}。{{start date|1990|10|3}}",
     "鷺（さぎ）は鳥。1990年10月3日"),
    ("zh", "（{{bd|1870年|4月22日|1924年|1月21日|catIdx=L}}）{{le|鹭|Heron}}{{tsl|en|Stork|鹳|白鹳}}",
     "（1870年4月22日－1924年1月21日）鹭白鹳"),
    ("zh", "（{{lang-ru|Ленин|p=x}}；{{bd|1870年|4月22日}}）{{link-en|鹭|Heron|鸟}}", "（Ленин；1870年4月22日）鸟"),
    ("ko", "({{llang|en|London}}) {{start date|1990|10|3}}", "(London) 1990년 10월 3일"),
    ("tr", "{{dil|en|London}} {{birth date|1923|10|29}}", "London 29 Ekim 1923"),
    ("vi", "{{start date|1945|9|2}}", "2 tháng 9 năm 1945"),
    ("he", "{{ציטוט|תוכן=חכה}}", "חכה"),
    ("ar", "{{إنج|London}} {{start date|1990|10|3}}", "London 3 أكتوبر 1990"),
    ("fa", "{{lang-en|London}} {{start date|1990|10|3}}", "London 3 اکتبر 1990"),
    ("simple", "{{start date|1990|10|3}} {{convert|2|mi}}", "October 3, 1990 2 miles"),
    ("et", "{{start date|1990|10|3}} {{convert|2|mi}}", "1990-10-03 2 mi"),
]  # fmt: skip


def read(language, wikitext, extra=""):
    return parse(wikitext, Site.from_siteinfo(None, language, extra)).text


@pytest.mark.parametrize(("wikitext", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ENGLISH])
def test_english_templates_read_as_on_the_wiki(wikitext, expected):
    assert read("en", wikitext) == expected


@pytest.mark.parametrize(("language", "wikitext", "expected"), OTHERS)
def test_each_language_has_its_own_templates_dates_and_numbers(language, wikitext, expected):
    assert read(language, wikitext) == expected


def test_every_language_with_a_table_has_a_case():
    assert {language for language, *_ in OTHERS} >= set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("name", ["base", *LANGUAGES])
def test_every_table_is_well_formed_and_names_no_template_twice(name):
    table = parse_table((TABLES / f"{name}.toml").read_text("utf-8"))
    names = [name for names in table["templates"] for name in names.split(", ")]
    assert len(names) == len(set(names)) > 0
    assert [name for name in names if name != " ".join(name.split()).lower()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_name_in_a_table_is_rendered_or_says_that_it_is_dropped(language):
    patterns, _ = merge_tables([read_table("base"), read_table(language)])
    templates = load_templates(language, "")
    for name, found in patterns.items():
        renderer = templates.find(name.replace("*", "en").replace(":", ":word"))
        assert (renderer is None) == (found is None)
        for pattern in found or ():
            # Every argument that the pattern names, and the values that its conditions ask for.
            names = re.findall(r"[\w]+", " ".join(re.findall(r"\{[^}]*\}", pattern)))
            arguments = dict.fromkeys([*names, *map(str, range(1, 6))], "7")
            arguments |= dict(re.findall(r"\{(\w+)=([^}]*)\}", pattern))
            text = renderer(arguments)
            assert text != HOLE
            assert not re.search(r"[{}]|\[(?!\[)", text.replace("[[", ""))


ARGUMENTS = st.text(st.sampled_from("aé鷺1290 .-+e|=[]{}<>'\n\x03&#;"), max_size=40)


NAMES = {code: sorted(merge_tables([read_table("base"), read_table(code)])[0]) for code in LANGUAGES}


@settings(deadline=None)  # the first use of a language loads its table
@given(st.sampled_from(LANGUAGES), st.data(), st.lists(ARGUMENTS, max_size=6))
def test_no_argument_makes_a_template_raise_or_show_braces(language, data, arguments):
    name = data.draw(st.sampled_from(NAMES[language]))
    content = "|".join(["name", *arguments]).replace("{{", "{").replace("}}", "}")
    renderer = load_templates(language, "").find(name.replace("*", "x"))
    text = renderer(parse_arguments(content)) if renderer else ""
    assert not re.search(r"\{\{|\}\}", text) or re.search(r"\{\{|\}\}", content)


MINE = """
[templates]
"species" = "{1}[ ({latin})]"
"see ship, see boat" = "[[{1}|{2|1}]]"
"rank" = ["{1=1}first", "{1=2}second", "{1}th"]
"all of" = "{*; }"
"mine-*" = "«{1}»"
"twice:" = "{upper 1}!"
"small" = false
"IPA" = "/{1}/"
[units]
zorkmid = ["zm", "zorkmid", "zorkmids"]
[dates]
date = "{day}-{month}-{year}"
"""


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("{{species|heron|latin=Ardea}}, {{Species|stork}}", "heron (Ardea), stork"),
        ("a {{species|latin=Ardea}} b", "a b"),
        ("{{rank|1}} {{rank|2}} {{rank|7}}", "first second 7th"),
        ("{{all of|a||c|x=d}}", "a; c"),
        ("{{mine-own|a}} {{twice:ab}}", "«a» AB!"),
        ("a {{small|b}} c {{IPA|d}}", "a c /d/"),
        ("{{convert|1200|zorkmid}}", "1,200 zorkmids"),
        ("{{start date|1990|10|3}}", "3-October-1990"),
    ],
)
def test_a_users_table_adds_replaces_and_drops(wikitext, expected):
    assert read("en", wikitext, MINE) == expected


def test_a_users_template_can_make_a_link():
    article = parse("{{See boat|Argo (ship)|Argo}}", Site.from_siteinfo(None, "en", MINE))
    assert (article.text, [tuple(link) for link in article.links]) == ("Argo", [(0, 4, "Argo (ship)")])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[templates]\n"a" = 3', "'a': expected a pattern such as \"{1}\", a list of patterns, or false, found 3"),
        ('[templates]\n"a" = []', "a list of patterns"),
        ('[templates]\n"a" = true', "found True"),
        ('[templates]\n"a" = "{1"', "a partner for each brace, found '{1'"),
        ('[templates]\n"a" = "[x{1}"', "a ] for each ["),
        ('[templates]\n"a" = "[x[y]]"', "a partner for each bracket"),
        ('[templates]\n"a" = "x]"', "a partner for each bracket"),
        ('[templates]\n"a" = "{}"', "an argument's number or name in {}"),
        ('[templates]\n"a" = "{date 1}"', "{date 1 2 3}"),
        ('[templates]\n"a" = "x\\u0001y"', "a pattern"),
        ('[template]\n"a" = "x"', "[template] is no section. Did you mean templates?"),
        ('templates = "x"', "[templates] is no section"),
        ("[numbers]\ndezimal = ','", "[numbers] dezimal: unknown. Did you mean decimal?"),
        ("[numbers]\ngroup_from = true", "a whole number from 1 to 40, found True"),
        ("[dates]\nmonths = ['May']", "a list of twelve names"),
        ("[units]\nkm = 'km'", '["symbol"]'),
        ("[ranges]\nto = 1", "a text, found 1"),
        ("heron", "not TOML"),
        ("a = " + "[" * 5_000, "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_users_table_is_one_clear_line(table, message):
    with pytest.raises(DataError) as error:
        parse_table(table)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_pattern_that_shows_an_argument_twice_does_not_grow_without_bound():
    doubling = '[templates]\n"x" = "{1}{1}"'
    assert read("en", "{{x|ab}}", doubling) == "abab"
    assert len(read("en", "{{x|" * 20 + "ab" + "}}" * 20, doubling)) <= 2_000


def test_a_site_takes_its_templates_to_another_process():
    site = Site.from_siteinfo(None, "en", MINE)
    copy = pickle.loads(pickle.dumps(site))
    assert copy == site
    assert parse("{{rank|2}}", copy).text == "second"


def test_real_quantities_have_known_units(real_data):
    _, words = merge_tables([read_table("base"), read_table("en")])
    unknown = set()
    for name in ("enwiki-sample", "enwiki-24", "enwiki-table-markup"):
        parts = plan_ranges(str(real_data / f"wikipedia/{name}.xml.bz2"))
        pages = [page for part in parts for page in read_pages(part) if isinstance(page, RawPage)]
        for quantity in re.findall(
            r"\{\{\s*(?:[Cc]onvert|[Cc]vt)\s*\|[^{}]*\}\}", "\n".join(p.text or "" for p in pages)
        ):
            arguments = parse_arguments(quantity[2:-2])
            position = 1
            while arguments.get(str(position + 1)) in words.ranges:
                position += 2
            code = re.sub("^e[0-9]", "", arguments.get(str(position + 1), "km"))
            unknown |= {part for part in code.split("/") if code not in words.units and part not in words.units}
    assert unknown == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        ("{{convert|1", "|x   |2         ", "}}"),
        ("{{convert|1", "|5   |ft        ", "}}"),
        ("{{nowrap|[[a", "|b", "}}"),
        ("{{nowrap|", "[[aaaaaaaaa|b", "}}"),
        ("{{hlist", "|aaaaaaa", "}}"),
        ("{{transl", "|       ", "}}"),
        ("{{nowrap|", " ", "é!=x}}"),
        ("{{formatnum:", "1", "}}"),
        ("", "{{lang|en|{{small|", "x"),
    ],
)
def test_time_is_linear_in_the_arguments(head, unit, tail):
    def seconds(size):
        page, best = head + unit * (size // len(unit)) + tail, float("inf")
        for _ in range(5):
            start = time.process_time()
            read("en", page)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(160_000) <= 6 * max(seconds(40_000), 0.001)
