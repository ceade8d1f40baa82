"""Every wiki's language: link trails, namespaces, redirect words, prefixes, scripts."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.wikitext import Site, parse, redirect_target
from pipelines.wikitext.languages import PATH, read_language, read_prefixes
from pipelines.wikitext.variants import convert_variants, part_closers

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


def test_the_turkish_i_has_a_dot():
    assert Site.from_siteinfo(None, "tr").normalize_title("istanbul") == "İstanbul"
    assert Site.from_siteinfo(None, "en").normalize_title("istanbul") == "Istanbul"
    assert [link.target for link in parse("[[istanbul]]", Site.from_siteinfo(None, "tr")).links] == ["İstanbul"]


def test_letters_before_a_link_join_it_where_the_language_says_so():
    article = parse("ו[[אנפה]]ים", Site.from_siteinfo(None, "he"))
    shown = [article.text[link.start : link.end] for link in article.links]
    assert shown == (["ואנפהים"] if read_language("he").prefix else ["אנפהים"])
    assert parse("pre[[heron]]", Site.from_siteinfo(None, "en")).links[0].start == 3


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
    ],
)
def test_a_block_of_variants_shows_the_likeliest(wikitext, text):
    assert parse(wikitext, Site.from_siteinfo(None, "zh")).text == text
    assert parse("a -{b}- c", Site.from_siteinfo(None, "en")).text == "a -{b}- c"


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
