"""Every wiki's language: link trails, namespaces, redirect words, prefixes, scripts."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.config import Build
from pipelines.inputs import plan_inputs
from pipelines.wikitext import Site, find_wikis, parse, redirect_target
from pipelines.wikitext.languages import PATH, read_language, read_prefixes
from pipelines.wikitext.variants import convert_variants, part_closers
from tests.pipelines.sources.inputs import page

CODES = [json.loads(line)["code"] for line in Path(PATH).read_text(encoding="utf-8").splitlines()[1:]]

# code, letters behind a link that join it, others that do not, category, file, another namespace, redirect word
LANGUAGES = [
    ("af", "s", "1", "Kategorie", "Lêer", "Gebruiker", "#AANSTUUR"),
    ("ar", "ة", "1", "تصنيف", "ملف", "مستخدم", "#تحويل"),
    ("bg", "ю", "1", "Категория", "Файл", "Потребител", "#пренасочване"),
    ("ca", "ç", "1", "Categoria", "Fitxer", "Usuari", "#REDIRECCIÓ"),
    ("cs", "ř", "1", "Kategorie", "Soubor", "Uživatel", "#PŘESMĚRUJ"),
    ("da", "å", "1", "Kategori", "Fil", "Bruger", "#REDIRECT"),
    ("de", "ß", "1", "Kategorie", "Datei", "Benutzer", "#WEITERLEITUNG"),
    ("el", "ώ", "1", "Κατηγορία", "Αρχείο", "Χρήστης", "#ΑΝΑΚΑΤΕΥΘΥΝΣΗ"),
    ("en", "s", "é", "Category", "File", "User", "#REDIRECT"),
    ("es", "ñ", "1", "Categoría", "Archivo", "Usuario", "#REDIRECCIÓN"),
    ("et", "õ", "1", "Kategooria", "Pilt", "Kasutaja", "#suuna"),
    ("eu", "s", "1", "Kategoria", "Fitxategi", "Lankide", "#BIRZUZENDU"),
    ("fa", "ی", "1", "رده", "پرونده", "کاربر", "#تغییرمسیر"),
    ("fi", "ä", "1", "Luokka", "Tiedosto", "Käyttäjä", "#OHJAUS"),
    ("fr", "é", "1", "Catégorie", "Fichier", "Utilisateur", "#REDIRECTION"),
    ("he", "ם", "1", "קטגוריה", "קובץ", "משתמש", "#הפניה"),
    ("hu", "ő", "1", "Kategória", "Fájl", "Szerkesztő", "#ÁTIRÁNYÍTÁS"),
    ("is", "þ", "1", "Flokkur", "Mynd", "Notandi", "#tilvísun"),
    ("it", "ò", "1", "Categoria", "File", "Utente", "#RINVIA"),
    ("ja", "s", "鳥", "カテゴリ", "ファイル", "利用者", "#転送"),
    ("ko", "s", "1", "분류", "파일", "사용자", "#넘겨주기"),
    ("nl", "ë", "1", "Categorie", "Bestand", "Gebruiker", "#DOORVERWIJZING"),
    ("pl", "ż", "1", "Kategoria", "Plik", "Wikipedysta", "#PATRZ"),
    ("pt", "ã", "1", "Categoria", "Ficheiro", "Usuário", "#REDIRECIONAMENTO"),
    ("ro", "ă", "1", "Categorie", "Fișier", "Utilizator", "#REDIRECTEAZA"),
    ("ru", "ё", "1", "Категория", "Файл", "Участник", "#перенаправление"),
    ("sv", "å", "1", "Kategori", "Fil", "Användare", "#OMDIRIGERING"),
    ("tr", "ğ", "1", "Kategori", "Dosya", "Kullanıcı", "#YÖNLENDİRME"),
    ("uk", "ї", "1", "Категорія", "Файл", "Користувач", "#ПЕРЕНАПРАВЛЕННЯ"),
    ("zh", "", "a", "分类", "文件", "用户", "#重定向"),
]


@pytest.mark.parametrize(
    ("code", "joins", "parts", "category", "file", "other", "redirect"),
    [pytest.param(*row, id=row[0]) for row in LANGUAGES],
)
def test_a_language_has_its_own_words(code, joins, parts, category, file, other, redirect):
    site = Site.from_siteinfo(None, code)
    assert re.fullmatch(site.trail, joins) and not re.fullmatch(site.trail, parts)
    kinds = [site.resolve(f"{name}:X")[0] for name in (category, file, other, category.lower())]
    assert kinds == ["category", "file", "other_namespace", "category"]
    assert redirect_target(f"{redirect} [[Heron]]", site) == redirect_target("#REDIRECT [[Heron]]", site) == "Heron"
    page = f"[[heron]]{joins} [[{file}:A.jpg|x [[stork]]]] [[{category}:Y]]"
    assert [link.target for link in parse(page, site).links] == ["Heron"]


@pytest.mark.parametrize("code", CODES)
def test_every_language_can_be_read(code):
    site = Site.from_siteinfo(None, code)
    article = parse("''[[heron]]s'' wait. [[Category:Birds]] [[File:A.jpg|x]]", site)
    assert [link.target for link in article.links] == [site.normalize_title("heron")]
    assert {14, 6, 10, 2} <= set(site.namespaces.values())
    assert redirect_target("#REDIRECT [[X]]", site) == "X"


def test_an_unknown_language_is_written_like_its_base_or_english():
    assert read_language("de-xx").trail == read_language("de").trail
    assert read_language("qqx").trail == "[a-z]*+"


def test_prefixes_of_languages_and_projects_are_known():
    languages, prefixes = read_prefixes()
    assert {"de", "zh-min-nan", "be-tarask", "simple"} <= languages <= prefixes
    assert {"wikt", "commons", "s", "d", "meta", "species"} <= prefixes - languages


def test_titles_begin_with_a_small_letter_where_the_wiki_says_so():
    assert Site.from_siteinfo(None, "jbo").normalize_title("cipni") == "cipni"
    assert Site.from_siteinfo(b"<siteinfo><case>first-letter</case></siteinfo>", "jbo").normalize_title("a") == "A"
    assert Site.from_siteinfo(b"<siteinfo><case>case-sensitive</case></siteinfo>", "en").normalize_title("a") == "a"


def test_the_turkish_i_has_a_dot():
    assert Site.from_siteinfo(None, "tr").normalize_title("istanbul") == "İstanbul"
    assert Site.from_siteinfo(None, "en").normalize_title("istanbul") == "Istanbul"
    assert [link.target for link in parse("[[istanbul]]", Site.from_siteinfo(None, "tr")).links] == ["İstanbul"]


@pytest.mark.parametrize(
    ("code", "wikitext", "shown"),
    [
        ("ar", "وال[[عربية]]ة", "والعربيةة"),
        ("uk", "«[[Київ]]»", "«Київ»"),
        ("uk", "а[[Київ]]", "Київ"),
        ("is", "(for-[[fugl]]ar)", "for-fuglar"),
        ("is", "for [[fugl]]ar", "fuglar"),
        ("cs", "před[[pták]]em", "ptákem"),
        ("ca", "[[ocell]]'n", "ocell'n"),
        ("ca", "''[[ocell]]''s", "ocell"),
        ("br", "[[labous]]c'hoù", "labousc'hoù"),
        ("br", "[[labous]]c'''x''", "labousc"),
        ("hr", "[[ptica]]Žє½", "pticaŽє"),
        ("hi", "[[पक्षी]]याँ", "पक्षीयाँ"),
        ("zh", "[[鸟]]类", "鸟"),
        ("zh-yue", "[[雀]]s", "雀s"),
    ],
)
def test_letters_around_a_link_join_it_where_the_language_says_so(code, wikitext, shown):
    article = parse(wikitext, Site.from_siteinfo(None, code))
    assert [article.text[link.start : link.end] for link in article.links] == [shown]


@pytest.mark.parametrize("code", ["ar", "hy", "is"])
def test_letters_before_links_join_them_wherever_links_stand(code):
    site = Site.from_siteinfo(None, code)
    article = parse("ab[[c]]d e[[f]] g\n* h[[File:x.jpg|i[[j]]]]k[[l|m]]\nn[[Category:o]] p[[:en:q]] r", site)
    assert article.text == "abcd ef g\nhkm\nn pen:q r"
    assert [article.text[link.start : link.end] for link in article.links] == ["abcd", "ef", "km"]


@pytest.mark.parametrize(
    ("code", "page", "target"),
    [
        ("hi", "#पुनर्प्रेषित [[पक्षी]]", "पक्षी"),
        ("bn", "#পুনর্নির্দেশ [[পাখি]]", "পাখি"),
        ("th", "#เปลี่ยนทาง [[นก]]", "นก"),
        ("ja", "＃転送 [[鳥]]", "鳥"),
        ("ka", "#გადამისამართება: [[ჩიტი]]", "ჩიტი"),
        ("tr", "#yönlendirme[[kuş]]", "Kuş"),
        ("be-tarask", "#перанакіраваньне [[Птушка]]", "Птушка"),
        ("als", "#WEITERLEITUNG [[Vogel]]", "Vogel"),
        ("en", "#WEITERLEITUNG [[Vogel]]", None),
        ("de", "# WEITERLEITUNG [[Vogel]]", None),
        ("de", "#WEITERLEITUNGEN [[Vogel]]", None),
    ],
)
def test_a_redirect_begins_with_a_word_of_its_language(code, page, target):
    assert redirect_target(page, Site.from_siteinfo(None, code)) == target


@pytest.mark.parametrize(
    ("code", "target", "kind", "title"),
    [
        ("en", "en:heron", "article", "Heron"),
        ("en", "w:heron#Diet", "article", "Heron"),
        ("en", "w:en: heron", "article", "Heron"),
        ("en", "w:de:Reiher", "interwiki", "de:Reiher"),
        ("en", "en:Category:Herons", "other_namespace", "Category:Herons"),
        ("en", "wikt:fr:héron", "interwiki", "wikt:fr:héron"),
        ("en", "w::heron", "invalid_title", ""),
        ("en", "w:..", "invalid_title", ""),
        ("de", "w:de:Reiher", "interwiki", "w:de:Reiher"),
        ("de", "w:Reiher", "interwiki", "w:Reiher"),
        ("de", "de:Reiher", "article", "Reiher"),
        ("no", "nb:hegre", "article", "Hegre"),
        ("da", "dk:hejre", "article", "Hejre"),
        ("zh", "zh-tw:鷺", "article", "鷺"),
        ("zh", "ZH-CLASSICAL:鷺", "language", "ZH-CLASSICAL:鷺"),
        ("simple", "en:Heron", "language", "en:Heron"),
        ("be-x-old", "be:Чапля", "language", "be:Чапля"),
    ],
)
def test_a_prefix_may_name_the_wiki_itself(code, target, kind, title):
    assert Site.from_siteinfo(None, code).resolve(target) == (kind, title)


SITEINFO = """<siteinfo><dbname>{database}</dbname><base>https://{host}/wiki/X</base><namespaces>
<namespace key="6" case="first-letter">Datei</namespace><namespace key="14" case="first-letter">Kategorie</namespace>
<namespace key="100" case="first-letter">Thema</namespace></namespaces></siteinfo>"""


def test_a_language_knows_more_names_than_siteinfo_and_only_of_namespaces_that_the_wiki_has():
    site = Site.from_siteinfo(SITEINFO.format(database="dewiki", host="de.wikipedia.org").encode(), "de")
    names = ["Bild:X", "Image:X", "Benutzerin:X", "WP:X", "Thema:X", "Portal:X", "Modul:X", "Module:X"]
    kinds = [site.resolve(name)[0] for name in names]
    assert kinds == ["file", "file", *["other_namespace"] * 4, "article", "article"]
    assert Site.from_siteinfo(None, "de").resolve("Modul:X")[0] == "other_namespace"


@pytest.mark.parametrize(
    ("database", "host", "codes"),
    [
        ("dewiki", "de.wikipedia.org", {"de"}),
        ("be_x_oldwiki", "be-tarask.wikipedia.org", {"be-x-old", "be-tarask"}),
        ("zh_min_nanwiktionary", "zh-min-nan.wiktionary.org", {"zh-min-nan"}),
        ("simplewiki", "simple.wikipedia.org", {"simple"}),
        ("commonswiki", "commons.wikimedia.org", set()),
        ("wikidb", "localhost", set()),
    ],
)
def test_siteinfo_says_which_wiki_it_is_from(database, host, codes):
    assert find_wikis(SITEINFO.format(database=database, host=host).encode()) == codes
    assert find_wikis(b"") == set()


@pytest.mark.parametrize(("language", "warned"), [("de", False), ("en", True)])
def test_a_dump_of_another_language_is_warned_of(tmp_path, capsys, language, warned):
    siteinfo = SITEINFO.format(database="dewiki", host="de.wikipedia.org")
    path = tmp_path / "dump.xml"
    path.write_text(f"<mediawiki>{siteinfo}{page(1)}</mediawiki>")
    plan_inputs(Build(wikipedia=(path,), out=tmp_path / "out", language=language))
    expected = (
        f"warning: {path} is a dump of the wiki de, read as en: links, labels and sitelinks will be wrong. "
        "Give --language de.\n"
    )
    assert capsys.readouterr().err == (expected if warned else "")


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("-{zh-hans:计算机;zh-hant:電腦}-是", "计算机是"),
        ("-{zh-hant:電腦;zh-hans:计算机}-", "计算机"),
        ("-{zh-cn:计算机;zh-tw:電腦}-", "计算机"),
        ("-{電腦}-", "電腦"),
        ("-{R|電腦}-", "電腦"),
        ("-{H|zh-hans:甲;zh-hant:乙}-丙", "丙"),
        ("-{A|zh-hans:甲;zh-hant:乙}-丙", "甲丙"),
        ("-{T|zh-hans:甲;zh-hant:乙}-丙", "丙"),
        ("[[-{zh-hans:甲;zh-hant:乙}-]]", "甲"),
        ("-{未", "-{未"),
        ("a-{{nowrap|b}}-c", "a-b-c"),
        ("-{zh-hans:{{lang|en|heron}};zh-hant:{{lang|en|stork}}}-鸟", "heron鸟"),
        ("[[a|-{zh-cn:甲; zh-tw:乙;}-]]丙", "甲丙"),
        ("-{[[a|甲]]}-", "甲"),
        ("-{zh-hans:[[a|甲]];zh-hant:[[b|乙]]}-", "甲"),
        ("-{zh:甲}-、-{ZH-TW:乙}-、-{zh-Hant-HK:丙}-", "甲、乙、丙"),
        ("-{zh-hans;zh-hant|甲}-、-{zh-tw|乙}-", "甲、乙"),
        ("-{zh-hans:a;b&nbsp;c;zh-hant:d}-", "a;b c"),
        ("-{zh-hans: ;zh-hant:乙}-", "乙"),
        ("-{甲=>zh-cn:乙}-、-{A|丙}-、-{D|丁}-", "乙、丙、丁"),
        ("-{zh-hans:-{R|甲}-x;zh-hant:-{乙}-}-", "甲x"),
        ("-{http://a.b 甲}-", "http://a.b 甲"),
        ("-{甲:乙}-}-丙", "甲:乙}-丙"),
        ("甲（-{H|zh-cn:a;zh-tw:b}-）乙", "甲乙"),
        ("-{H|zh-cn:a\n;zh-tw:b}-\n甲\n\n-{T|x}-\n乙", "甲\n乙"),
        ("<nowiki>-{甲}-</nowiki><!-- -{ -->-{乙}-", "-{甲}-乙"),
    ],
)
def test_a_block_of_variants_shows_the_likeliest(wikitext, text):
    assert parse(wikitext, Site.from_siteinfo(None, "zh")).text == text
    assert parse("a -{b}- c", Site.from_siteinfo(None, "en")).text == "a -{b}- c"


@pytest.mark.parametrize(
    ("code", "wikitext", "text"),
    [
        ("sr", "-{sr-ec:чапља; sr-el:čaplja}-", "чапља"),
        ("sr", "-{sr-Latn:čaplja;sr-Cyrl:чапља}-", "чапља"),
        ("sr", "-{sr-el:čaplja}- -{heron}-", "čaplja heron"),
        ("sh", "-{sh-cyrl:чапља;sh-latn:čaplja}-", "čaplja"),
        ("kk", "-{kk-cyrl:құтан;kk-latn:qutan}-", "құтан"),
        ("uz", "-{uz-cyrl:қарқара;uz-latn:qarqara}-", "qarqara"),
        ("zh-yue", "-{zh-hans:鹭}-", "-{zh-hans:鹭}-"),
    ],
)
def test_each_language_has_its_own_variants(code, wikitext, text):
    assert parse(wikitext, Site.from_siteinfo(None, code)).text == text


VARIANTS = read_language("zh").variants
MARKUP = ["-{", "}-", "zh-hans:", "zh-hant:", ";", "|", "H", "R", "A", "=>", "鳥", "a", "&amp;", "{{", "}}", "\n"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(MARKUP), max_size=40).map("".join)))
@example("-{-{-{" * 20)
def test_any_text_of_variants_is_converted(text):
    shown = convert_variants(part_closers(text, VARIANTS), VARIANTS)
    assert isinstance(shown, str)
    assert convert_variants(text, {}) == text
    if "-{" not in text:
        assert convert_variants(text, VARIANTS) == text


def test_text_without_a_block_is_not_touched_by_another_language():
    assert convert_variants("一-{zh-hans:甲}-二", read_language("sr").variants) == "一zh-hans:甲二"
    assert part_closers("{{a}}}-", {}) == "{{a}}}-"


HOSTILE = ["-{", "}-", "-{|", "-{;", "-{a", "-{zh:a;", ";zh:", "&a;", "-{H|}-", "a=>zh:b;", ";", "-{-{}-", "a-{}-", "|"]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_variants_take_linear_time(unit):
    assert_linear(lambda size: convert_variants("-{" + unit * size + "}-", VARIANTS))


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "ab[[c]]d", "—", "a ", "[[a]]"])
@pytest.mark.parametrize("code", ["ar", "hy"])
def test_letters_before_links_take_linear_time(code, unit):
    site = Site.from_siteinfo(None, code)
    assert_linear(lambda size: parse(unit * size, site))


def assert_linear(work):
    """Four times as much takes at most six times as long, the best of five."""

    def seconds(size):
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            work(size)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(80_000) <= 6 * max(seconds(20_000), 0.001)
