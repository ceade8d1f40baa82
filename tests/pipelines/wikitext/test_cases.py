"""Each piece of markup becomes text and links; and headings become sections."""

import pytest

from pipelines.wikitext import Site, parse
from tests.pipelines.wikitext.cases import (
    DROPPED,
    EXTERNAL,
    FORMATTING,
    HOLES,
    LINKS,
    LISTS,
    MALFORMED,
    NOWIKI,
)

ENGLISH = Site.from_siteinfo(None, "en")

# fmt: off
TEMPLATES = [
    ("convert", "{{convert|230|acre}} of {{convert|1|mi|km}}", "230 acres of 1 mile"),
    ("convert symbols", "{{convert|5|km|abbr=on}} at {{convert|-3|C}}", "5 km at -3 °C"),
    ("convert adjective", "a {{convert|6|ft|adj=on}} bird", "a 6-foot bird"),
    ("convert range", "{{convert|5|to|7|km}} and {{convert|2|x|3|m}}", "5 to 7 kilometres and 2 × 3 metres"),
    ("convert two units", "{{convert|5|ft|6|in}}", "5 feet 6 inches"),
    ("convert american", "{{convert|2|m|sp=us}} {{cvt|3|furlong}}", "2 meters 3 furlong"),
    ("convert nothing", "a {{convert}} b", "a b"),
    ("lang", "{{lang|de|Reiher}} ({{lang-fr|[[héron]]}})", "Reiher (<Héron|héron>)"),
    ("nihongo", "{{nihongo|Heron|鷺|sagi}}", "Heron (鷺, sagi)"),
    ("abbr", "{{abbr|Dr|Doctor}} {{nowrap|5 m}} {{small|x}}", "Dr 5 m x"),
    ("fractions", "{{frac|1|2}} {{frac|3|1|4}} {{sfrac|5}}", "1/2 3 1/4 1/5"),
    ("date", "{{birth date|1809|2|12}}", "February 12, 1809"),
    ("day first", "{{death date and age|1865|4|15|1809|2|12|df=yes}}", "15 April 1865"),
    ("parts of dates", "{{start date|1990}} {{birth date|1990|5}}", "1990 May 1990"),
    ("circa", "{{circa|1200}} {{c.|900}}", "c. 1200 c. 900"),
    ("as of", "{{As of|2009}}, {{as of|2010|5|lc=y}}", "As of 2009, as of May 2010"),
    ("punctuation", "a{{ndash}}b{{snd}}c{{'}}s{{nbsp}}d", "a–b – c's d"),
    ("quotation", "He said:\n{{quote|Wait, [[heron]].|author=Me}}\nThen", "He said:\nWait, <Heron|heron>.\nThen"),
    ("a pipe inside a link does not part arguments", "{{nowrap|[[heron|grey bird]]}}", "<Heron|grey bird>"),
    ("rendered in rendered", "{{nowrap|{{lang|fr|''héron''}} x}}", "héron x"),
    ("dropped in rendered", "{{nowrap|a {{unknown}} b}}", "a b"),
    ("numbers", "{{formatnum:1234567}} {{val|5|u=kg}} {{lc:ABC}}", "1,234,567 5 kg abc"),
    ("chemistry and music", "{{chem|H|2|O}} B{{music|flat}}", "H2O B♭"),
    ("escaped pipe", "a {{!}} b", "a | b"),
    ("invisible anchor", "a {{anchor|x}}b", "a b"),
]

LANGUAGES = [
    ("german", "de", "Zwei [[Reiher]]n und [[Fuß|Fü]]ße.\n[[Datei:A.jpg|mini|ein [[Reiher]]]]\n[[Kategorie:Vögel]]",
     "Zwei <Reiher|Reihern> und <Fuß|Füße>."),
    ("french", "fr", "Des [[héron]]s, [[lac]] où. [[Fichier:A.jpg|vignette|x]] [[Catégorie:Oiseau]]",
     "Des <Héron|hérons>, <Lac|lac> où."),
    ("french trail has accents", "fr", "[[âge]]é", "<Âge|âgeé>"),
    ("bulgarian", "bg", "Две [[чапла|чапл]]и.\n[[Картинка:A.jpg|мини|x]][[Файл:B.jpg]][[Категория:Птици]]",
     "Две <Чапла|чапли>."),
    ("russian", "ru", "Две [[цапля|цапл]]и. [[Файл:A.jpg|мини|x]] [[К:Птицы]] [[Участник:X|он]]",
     "Две <Цапля|цапли>. он"),
    ("chinese has no trail", "zh", "[[蒼鷺]]abc（{{lang|en|heron}}）[[分类:鸟]] [[檔案:A.jpg|x]]",
     "<蒼鷺|蒼鷺>abc（heron）"),
    ("japanese", "ja", "[[アオサギ]]は[[鳥類|鳥]]。[[ファイル:A.jpg|右|x]][[カテゴリ:鳥]]",
     "<アオサギ|アオサギ>は<鳥類|鳥>。"),
    ("polish", "pl", "Dwie [[czapla|czapl]]ę. [[Plik:A.jpg]] [[Kategoria:Ptaki]]", "Dwie <Czapla|czaplę>."),
    ("english names work everywhere", "de", "a [[File:A.jpg|x]] [[Category:X]] [[Image:B.jpg]]", "a"),
    ("german magic words", "de", "__KEIN_INHALTSVERZEICHNIS__Ein Reiher__NICHT_INDEXIEREN__", "Ein Reiher"),
    ("german elision and quotes", "de", "„[[Reiher]]“ und ''Reiher'''s Nest", "„<Reiher|Reiher>“ und Reiher's Nest"),
    ("french magic words", "fr", "__SANSSDM__Un [[héron]]", "Un <Héron|héron>"),
    ("french apostrophes", "fr", "L'''Iliade'' d'[[Homère]]\nDans l'''[[Odyssée]]''",
     "L'Iliade d'<Homère|Homère>\nDans l'<Odyssée|Odyssée>"),
    ("french bold and an apostrophe", "fr", "'''L’Iliade''', ou l'''Iliade'', de l''''Antiquité'''",
     "L’Iliade, ou l'Iliade, de l'Antiquité"),
    ("bulgarian magic words", "bg", "__БЕЗСЪДЪРЖАНИЕ__Чапла", "Чапла"),
    ("russian table and file over lines", "ru", "а\n{|\n| [[б]]\n|}\n[[Файл:A.jpg|мини|в\n[[г]]]]\nд", "а\nд"),
    ("chinese full-width signs", "zh", "[[蒼鷺]]（{{lang|en|heron}}）是<ref>x</ref>[[鳥]]。",
     "<蒼鷺|蒼鷺>（heron）是<鳥|鳥>。"),
    ("hindi magic words", "hi", "__विषयसूचीहीन__[[बगुला]]", "<बगुला|बगुला>"),
    ("thai magic words", "th", "__ไม่มีสารบัญ__นกกระสา", "นกกระสา"),
    ("japanese magic words", "ja", "__目次非表示__[[アオサギ]]（{{unknown}}）は鳥。", "<アオサギ|アオサギ>は鳥。"),
    ("catalan trails", "ca", "[[ocell]]s, [[l·l]]à", "<Ocell|ocells>, <L·l|l·là>"),
    ("arabic", "ar", "[[طائر]]ات، [[ملف:A.jpg|تصغير|س]] [[تصنيف:طيور]]", "<طائر|طائرات>،"),
    ("hebrew", "he", "[[אנפה]]ות. [[קובץ:A.jpg|ממוזער|x]] [[קטגוריה:עופות]]", "<אנפה|אנפהות>."),
    ("korean", "ko", "[[왜가리]]는 [[새]]이다. [[파일:A.jpg|섬네일|x]] [[분류:새]]", "<왜가리|왜가리>는 <새|새>이다."),
    ("spanish", "es", "Dos [[garza]]s. [[Archivo:A.jpg|miniatura|x]] [[Categoría:Aves]]", "Dos <Garza|garzas>."),
    ("turkish", "tr", "İki [[balıkçıl]]lar. [[Dosya:A.jpg|x]] [[Kategori:Kuşlar]]", "İki <Balıkçıl|balıkçıllar>."),
    ("greek", "el", "Δύο [[ερωδιός|ερωδιοί]]. [[Αρχείο:A.jpg|x]] [[Κατηγορία:Πουλιά]]", "Δύο <Ερωδιός|ερωδιοί>."),
    ("vietnamese", "vi", "[[diệc]]. [[Tập tin:A.jpg|nhỏ|x]] [[Thể loại:Chim]]", "<Diệc|diệc>."),
    ("a language that is not known", "xx", "[[heron]]s [[File:A.jpg|x]] [[de:Reiher]] [[Datei:A]]",
     "<Heron|herons> <Datei:A|Datei:A>"),
]
"""Here with the language behind the name."""
# fmt: on

CASES = [
    (f"{group}: {name}", "en", wikitext, expected)
    for group, cases in {
        "formatting": FORMATTING,
        "lists": LISTS,
        "links": LINKS,
        "external": EXTERNAL,
        "dropped": DROPPED,
        "holes": HOLES,
        "templates": TEMPLATES,
        "nowiki": NOWIKI,
        "malformed": MALFORMED,
    }.items()
    for name, wikitext, expected in cases
] + LANGUAGES


def show(article):
    """The text with each link as <target|visible text>."""
    out, position = [], 0
    for start, end, target in article.links:
        out += [article.text[position:start], f"<{target}|{article.text[start:end]}>"]
        position = end
    return "".join(out) + article.text[position:]


@pytest.mark.parametrize(
    ("language", "wikitext", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_markup_becomes_text_and_links(language, wikitext, expected):
    assert show(parse(wikitext, Site.from_siteinfo(None, language))) == expected


HEADINGS = [
    ("levels", "a\n= B =\nc\n== D ==\ne\n====== F ======\ng", "a", [("B", 1, "c"), ("D", 2, "e"), ("F", 6, "g")]),
    ("more than six signs", "======= A =======\nb", "", [("= A =", 6, "b")]),
    ("unequal sides", "=== A ==\nb\n== C ===\nd\n==E=\nf", "", [("= A", 2, "b"), ("C =", 2, "d"), ("=E", 1, "f")]),
    ("signs inside", "== a=b ==\nc\n==D==E==\nf", "", [("a=b", 2, "c"), ("D==E", 2, "f")]),
    ("white space and comments around", "<!-- x -->== A == <!-- y -->\t\nb\n==C==<!-- z --> \nd", "",
     [("A", 2, "b"), ("C", 2, "d")]),
    ("references and templates around", "== A<ref>x</ref> {{anchor|y}}==\nb\n==C=={{z}}\nd", "",
     [("A", 2, "b"), ("C", 2, "d")]),
    ("markup inside", "== ''A'' [[b]]s <small>&amp;</small> <nowiki>==</nowiki> ==\nc", "", [("A bs & ==", 2, "c")]),
    ("a break inside", "== A<br />b ==\nc", "", [("A b", 2, "c")]),
    ("a file inside", "== [[File:A.jpg|20px]] B ==\nc", "", [("B", 2, "c")]),
    ("a template inside", "== {{lang|de|Reiher}} ==\na", "", [("Reiher", 2, "a")]),
    ("no title", "a\n== ==\nb\n==<!-- x -->==\nc", "a\nb\nc", []),
    ("words behind", "a\n== B == c\nd", "a\n== B == c\nd", []),
    ("not at the line's begin", "a == B ==\n: == C ==", "a == B ==\n== C ==", []),
    ("at the page's ends", "== A ==\nb\n== C ==", "", [("A", 2, "b"), ("C", 2, "")]),
    ("nothing between", "a\n== B ==\n=== C ===\nd\n== E ==\n\n", "a", [("B", 2, ""), ("C", 3, "d"), ("E", 2, "")]),
    ("sections of tables and files", "== A ==\n{|\n| b\n|}\n== C ==\n[[File:D.jpg|thumb|e]]", "",
     [("A", 2, ""), ("C", 2, "")]),
    ("several lines", "a\n\nb\n== C ==\n* d\n* e\n\nf", "a\nb", [("C", 2, "d\ne\nf")]),
]  # fmt: skip


@pytest.mark.parametrize(("wikitext", "lead", "sections"), [pytest.param(*case[1:], id=case[0]) for case in HEADINGS])
def test_headings_become_sections(wikitext, lead, sections):
    article = parse(wikitext, ENGLISH)
    assert article.text[: article.lead_end] == lead
    assert [(title, level, article.text[start:end]) for title, level, start, end in article.sections] == sections


def test_every_construct_has_its_cases():
    assert len(CASES) + len(HEADINGS) >= 200
    assert len({case[0] for case in CASES}) == len(CASES)
