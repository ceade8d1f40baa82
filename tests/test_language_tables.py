"""scripts/make_languages.py: MediaWiki's PHP, which is read and never run, becomes the table of languages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
from php import find  # noqa: E402
from trails import to_regex  # noqa: E402

MEDIAWIKI = {
    "includes/Defines.php": "define( 'MW_VERSION', '9.9' );\n",
    "includes/languages/data/Names.php": "\tpublic const NAMES = [ 'aa' => 'A', 'bb' => 'B' ];\n",
    "includes/language/LanguageCode.php": "\tconst NON_STANDARD_LANGUAGE_CODE_MAPPING = [ 'bb-x' => 'bb-Latn' ];\n",
    "includes/language/LanguageConverterFactory.php": "\t\t'bb' => [\n\t\t\t'class' => BbConverter::class,\n\t\t],\n",
    "includes/language/converters/BbConverter.php": (
        "\tpublic function getLanguageVariants(): array {\n\t\treturn [ 'bb', 'bb-y', 'bb-x' ];\n\t}\n"
        "\tpublic function getVariantsFallbacks(): array {\n\t\treturn [ 'bb' => 'bb-x' ];\n\t}\n"
    ),
    "includes/languages/LanguageBb.php": "\tpublic function ucfirst( $str ) {\n",
    "languages/messages/MessagesEn.php": (
        "$linkTrail = '/^([a-z]+)(.*)$/sD';\n$linkPrefixExtension = false;\n"
        "$namespaceNames = [\n\tNS_FILE => 'File',\n\tNS_PROJECT_TALK => '$1_talk',\n];\n"
        "$magicWords = [\n\t'redirect' => [ 0, '#REDIRECT' ],\n];\n"
    ),
    "languages/messages/MessagesAa.php": (
        "$fallback = 'bb';\n$letters = 'x';\n$namespaceAliases = [ 'Old_File' => NS_FILE, ];\n"
        "/* $linkTrail = '/^([0-9]+)(.*)$/sDu'; */\n"
    ),
    "languages/messages/MessagesBb.php": (
        "$linkTrail = \"/^([a-z\\x{e9}]+)(.*)$/sDu\";\n$linkPrefixExtension = true;\n$linkPrefixCharset = 'a-c';\n"
        "$namespaceNames = [ NS_FILE => 'Fichero', # a comment\n\tNS_PROJECT_TALK => 'Sobre_$1', ];\n"
        "$namespaceGenderAliases = [ NS_USER => [ 'male' => 'Él', 'female' => 'Ella' ] ];\n"
        "$magicWords = [\n\t'redirect' => [ '0', '#Envía', '#REDIRECT' ],\n];\n"
    ),
    "extensions/Scribunto/Scribunto.namespaces.php": "$namespaceNames['bb'] = [\n\t828 => 'Módulo',\n];\n",
}
CONFIG = {
    "langlist": "aa\nold-bb\n",
    "wmf-config/InitialiseSettings.php": (
        "return [\n'wgCapitalLinks' => [\n\t'default' => true,\n\t'aawiki' => false,\n],\n"
        "'wgLanguageCode' => [\n\t'default' => '$lang',\n\t'old_bbwiki' => 'bb',\n],\n"
        "'wgLocalInterwikis' => [\n\t'+old_bbwiki' => [ 'bb' ],\n],\n];\n"
    ),
    "wmf-config/core-Namespaces.php": (
        "<?php\nreturn [\n'wgNamespaceAliases' => [ '+wikipedia' => [ 'WP' => NS_PROJECT ], "
        "'+aawiki' => [ 'VP' => NS_PROJECT ] ],\n'wgExtraNamespaces' => [ 'aawiki' => [ 100 => 'Portal_A' ] ],\n"
        "'wgMetaNamespace' => [ 'aawiki' => 'Vikipedia' ],\n'wgMetaNamespaceTalk' => [],\n];\n"
    ),
    "wmf-config/interwiki.php": (
        "\t'__global:c' => '1 https://commons.wikimedia.org/wiki/$1',\n\t'_wiki:aa' => '1 https://aa/$1',\n"
        "\t'_wiki:w' => '1 https://w/$1',\n\t'__sites:aawiki' => 'wiki',\n"
    ),
}


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The lines that the script makes of the two small checkouts above, the first one and the others by code."""
    root = tmp_path_factory.mktemp("checkouts")
    mediawiki, config = write_tree(root / "mediawiki", MEDIAWIKI), write_tree(root / "config", CONFIG)
    git = ["git", "-C", str(config), "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    out = root / "languages.jsonl"
    command = [sys.executable, SCRIPTS / "make_languages.py", mediawiki, config, "--out", out]
    subprocess.run(command, check=True, cwd=SCRIPTS.parent, env={"PYTHONPATH": str(SCRIPTS.parent)})
    first, *lines = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return first, {line["code"]: line for line in lines}


def test_the_first_line_names_the_sources_and_the_prefixes(table):
    first, lines = table
    assert re.fullmatch("MediaWiki 9.9; operations/mediawiki-config [0-9a-f]{40}", first["source"])
    assert first["languages"] == ["aa"] and first["interwiki"] == ["aa", "c", "w"]
    assert list(lines) == ["aa", "bb", "en", "old-bb"]


def test_what_a_language_leaves_open_comes_from_those_it_falls_back_to(table):
    line = table[1]["aa"]
    assert line["trail"] == "[a-zé]*+" and line["prefix"] == "a-c" and line["redirect"] == ["#envía"]
    assert line["namespaces"] == {
        "él": 2, "ella": 2, "vikipedia": 4, "vp": 4, "sobre vikipedia": 5, "fichero": 6, "old file": 6,
        "portal a": 100, "módulo": 828,
    }  # fmt: skip
    assert line["dotted_i"] is True and line["case_sensitive"] is True and "variants" not in line


def test_a_wiki_has_its_languages_words_and_its_own(table):
    line = table[1]["old-bb"]
    assert line["local"] == ["bb"] and line["namespaces"]["sobre wikipedia"] == 5
    assert line["variants"] == {"bb": "bb", "bb-x": "bb-x", "bb-y": "bb-y", "bb-latn": "bb-x"}
    assert table[1]["bb"]["local"] == ["old-bb"]
    assert table[1]["en"] == {"code": "en", "trail": "[a-z]*+"}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'it\\'s' . \"\\u{e9}\\n\" . 'a\\n'", "it'sé\na\\n"),
        ("[ 1, 2 => 'b', 'c', 'k' => [ -3, true ], ]", {0: 1, 2: "b", 3: "c", "k": {0: -3, 1: 1}}),
        ("array( NS_X => 'x' ) + [ 7 => 'y', 8 => 'z' ]", {7: "x", 8: "z"}),
        ("// no\n # no\n /* no */ 'yes'", "yes"),
    ],
)
def test_php_literals_are_read(source, value):
    assert find(f"$v = {source};", r"^\$v = ", {"NS_X": 7}) == value


@pytest.mark.parametrize("source", ["f( 1 )", "$unknown", "[ 1 2 ]", ""])
def test_other_php_is_an_error(source):
    with pytest.raises(ValueError, match="line 1: expected"):
        find(f"$v = {source};", r"^\$v = ", {})


@pytest.mark.parametrize(
    ("trail", "text", "taken"),
    [
        ("/^([a-z]+)(.*)$/sD", "ab-c", "ab"),
        ("/^()(.*)$/sD", "ab", ""),
        ("/^([áa-z-–]+)(.*)$/sDu", "á-–b.", "á-–b"),
        (r"/^([a-z\x{0900}-\x{0903}]+)(.*)$/sDu", "\u0901\u0904", "\u0901"),
        (r"/^(\p{L}+)(.*)$/sDu", "žЖ½", "žЖ"),
        ("/^((?:[a-z]|б|“)+)(.*)$/sDu", "aб“в", "aб“"),
        ("/^((?:[a-z]|'(?!'))+)(.*)$/sDu", "a'b''", "a'b"),
        ("/^(:?[a-z]+)(.*)$/sDu", ":ab:c", ":ab"),
        ("/^(:?[a-z]+)(.*)$/sDu", ":1", ""),
    ],
)
def test_trails_take_what_mediawikis_take(trail, text, taken):
    match = re.match(to_regex(trail), text)
    assert match is not None and match[0] == taken


def test_a_trail_of_another_form_is_an_error():
    with pytest.raises(ValueError, match="unknown link trail"):
        to_regex("/^[a-z]+/")
