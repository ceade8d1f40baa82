"""Make pipelines/wikitext/languages.jsonl: `python scripts/make_languages.py MEDIAWIKI CONFIG`.

MEDIAWIKI is a checkout or a release of MediaWiki: link trails, namespace names, redirect words, scripts of each
language. CONFIG is a checkout of operations/mediawiki-config, the settings of Wikimedia's wikis: the wikis there are,
their own namespace names, the prefixes of their links. Both are read, not run; what is kept are facts.
"""

import argparse
import functools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from php import Value, find
from trails import to_class, to_points, to_regex

from pipelines.wikitext.languages import CANONICAL_NAMESPACES, PATH

_NUMBERS = "MEDIA SPECIAL MAIN TALK USER USER_TALK PROJECT PROJECT_TALK FILE FILE_TALK MEDIAWIKI MEDIAWIKI_TALK"
_NUMBERS += " TEMPLATE TEMPLATE_TALK HELP HELP_TALK CATEGORY CATEGORY_TALK"
CONSTANTS: dict[str, Value] = {f"NS_{name}": number for number, name in enumerate(_NUMBERS.split(), start=-2)}
PROJECT, PROJECT_TALK = 4, 5
_INTERWIKI = re.compile(r"^\t'(\w+):([^':]+)' => '[01] ", re.MULTILINE)


class MediaWiki:
    """What MediaWiki's own source says of a language; what it leaves open, the languages say that it falls back to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.version = find((root / "includes/Defines.php").read_text(), r"^define\( 'MW_VERSION', ", CONSTANTS)
        names = (root / "includes/languages/data/Names.php").read_text()
        self.languages = frozenset(find(names, r"const NAMES = ", CONSTANTS) or {})
        modules = [path.read_text() for path in root.glob("extensions*/Scribunto/Scribunto.namespaces.php")]
        self._modules = "".join(modules[:1])
        factory = (root / "includes/language/LanguageConverterFactory.php").read_text()
        self._converted = frozenset(re.findall(r"^\t\t'(\w+)' => \[$", factory, re.MULTILINE))
        codes = (root / "includes/language/LanguageCode.php").read_text()
        self._standard_codes = find(codes, r"NON_STANDARD_LANGUAGE_CODE_MAPPING = ", CONSTANTS) or {}
        files = (root / "languages/messages").glob("Messages*.php")
        self.codes = sorted(path.stem.removeprefix("Messages").lower().replace("_", "-") for path in files)

    @functools.cache  # noqa: B019  # one object lives for the whole run
    def own(self, code: str) -> dict[str, Value]:
        """The variables that matter of the language's own file."""
        path = self._root / f"languages/messages/Messages{code.capitalize().replace('-', '_')}.php"
        source = path.read_text() if path.exists() else ""
        names = CONSTANTS | {"$arabicCombiningDiacritics": find(source, r"^\$arabicCombiningDiacritics\s*=", {}) or ""}
        found = {
            name: find(source, rf"^\${name}\s*=", names)
            for name in ("fallback", "linkTrail", "namespaceNames", "namespaceAliases", "namespaceGenderAliases")
        }
        found["redirect"] = find(source, r"^\s*'redirect'\s*=>", names)
        found["prefixes"] = find(source, r"^\$linkPrefixExtension\s*=", names)
        found["prefixCharset"] = find(source, r"^\$linkPrefixCharset\s*=", names)
        return {name: value for name, value in found.items() if value is not None}

    def chain(self, code: str) -> list[str]:
        """The language and those it falls back to."""
        fallbacks = [name.strip() for name in str(self.own(code).get("fallback", "en")).split(",")]
        return list(dict.fromkeys([code, *filter(None, fallbacks), "en"]))

    def _all(self, code: str, name: str) -> Iterator[Value]:
        return (self.own(link)[name] for link in self.chain(code) if name in self.own(link))

    def trail(self, code: str) -> str:
        """Letters behind a link's brackets that join its text, as a regex."""
        return to_regex(str(next(self._all(code, "linkTrail"))))

    def prefix(self, code: str) -> str:
        """Letters before a link's brackets that join its text, as the inside of a regex class."""
        joins = next(self._all(code, "prefixes"), False)
        return to_class(to_points(str(next(self._all(code, "prefixCharset"))))) if joins else ""

    def redirect_words(self, code: str) -> list[str]:
        """What a redirect begins with, lower-cased."""
        words = [word for value in self._all(code, "redirect") for word in list(value.values())[1:]]
        return sorted({word.lower() for word in words})

    def namespaces(self, code: str) -> dict[str, int]:
        """Names and aliases of the namespaces; "$1" in one stands for the project's name."""
        aliases: dict[str, int] = {}
        for value in self._all(code, "namespaceAliases"):
            aliases = {name: number for name, number in value.items() if isinstance(number, int)} | aliases
        for number, forms in next(self._all(code, "namespaceGenderAliases"), {}).items():
            aliases.update(dict.fromkeys(forms.values(), number))
        names: dict[int, str] = {}
        for value in self._all(code, "namespaceNames"):
            names = {**value, **names}
        return {name: number for number, name in names.items() if name} | self._module_names(code) | aliases

    def _module_names(self, code: str) -> dict[str, int]:
        """Names of the namespace of Lua modules, which an extension in MediaWiki's releases adds."""
        names: dict[str, int] = {}
        for link in self.chain(code):
            names |= find(self._modules, rf"^\$namespaceAliases\['{link}'\] = ", CONSTANTS) or {}
            found = find(self._modules, rf"^\$namespaceNames\['{link}'\] = ", CONSTANTS) or {}
            names |= {name: number for number, name in found.items()}
        return names

    def has_dotted_i(self, code: str) -> bool:
        """Whether the capital of "i" has a dot, by the class of the language or of the nearest that has one."""
        for link in self.chain(code):
            path = self._root / f"includes/languages/Language{link.capitalize().replace('-', '_')}.php"
            if path.exists():
                return "function ucfirst" in path.read_text()
        return False

    def variants(self, code: str) -> dict[str, str]:
        """Names of the scripts and countries that its text is converted to -> their codes.

        First the one of a reader who chose none, then those that stand in for it.
        """
        path = self._root / f"includes/language/converters/{code.capitalize()}Converter.php"
        source = path.read_text() if code in self._converted else ""
        variants = list((find(source, r"getLanguageVariants\(\).*\s*return ", {}) or {}).values())
        fallbacks = (find(source, r"getVariantsFallbacks\(\).*\s*return ", {}) or {}).get(code, [])
        first = [fallbacks] if isinstance(fallbacks, str) else list(fallbacks.values()) if fallbacks else []
        codes = dict.fromkeys([*variants[:1], *first, *variants])
        standard = {name.lower(): variant for variant, name in self._standard_codes.items() if variant in codes}
        return dict(zip(codes, codes, strict=True)) | standard


class Wikis:
    """What the settings of Wikimedia's Wikipedias add; a wiki goes by the code in its address."""

    def __init__(self, root: Path) -> None:
        self.codes = (root / "langlist").read_text().split()
        settings = (root / "wmf-config/InitialiseSettings.php").read_text()
        self._languages = find(settings, r"^'wgLanguageCode' => ", {}) or {}
        self._local = find(settings, r"^'wgLocalInterwikis' => ", {}) or {}
        self._capitals = find(settings, r"^'wgCapitalLinks' => ", {}) or {}
        self._names = find((root / "wmf-config/core-Namespaces.php").read_text(), "^return ", CONSTANTS) or {}
        interwiki = (root / "wmf-config/interwiki.php").read_text()
        found = [match.groups() for match in _INTERWIKI.finditer(interwiki)]
        self._prefixes = [pair for pair in found if pair[0] not in ("__sites", "__list")]
        git = ["git", "-C", str(root), "log", "-1", "--format=%H"]
        self.commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()

    def language(self, code: str) -> str:
        """The language of the wiki's own pages and namespaces."""
        return str(self._languages.get(_database(code), code))

    def local_prefixes(self, code: str) -> list[str]:
        """Prefixes of links that lead to the wiki itself."""
        return [code, *self._local.get("+" + _database(code), {}).values()]

    def is_case_sensitive(self, code: str) -> bool:
        """Whether titles may begin with a small letter."""
        return not self._capitals.get(_database(code), True)

    def language_prefixes(self, known: frozenset[str]) -> list[str]:
        """Prefixes of links to the same page in another language, which are shown beside the page."""
        prefixes = {prefix for site, prefix in self._prefixes if site == "_wiki"}
        return sorted(prefixes & (known | {*self.codes}))

    def prefixes(self) -> list[str]:
        """Prefixes of all links to other wikis."""
        return sorted({prefix for _, prefix in self._prefixes})

    def namespaces(self, code: str, names: dict[str, int]) -> dict[str, int]:
        """`names`, with the project's name filled in, and the wiki's own names and aliases."""
        database = _database(code)
        project = self._names["wgMetaNamespace"].get(database, "Wikipedia")
        talk = self._names["wgMetaNamespaceTalk"].get(database)
        own = {project: PROJECT} | ({talk: PROJECT_TALK} if talk else {})
        for key in (database, "+" + database):
            extra = self._names["wgExtraNamespaces"].get(key, {})
            own |= {name: number for number, name in extra.items()}
            own |= self._names["wgNamespaceAliases"].get(key, {})
        own |= self._names["wgNamespaceAliases"]["+wikipedia"]
        return {name.replace("$1", project): number for name, number in names.items() if "{{" not in name} | own


def _database(code: str) -> str:
    return code.replace("-", "_") + "wiki"


def make_record(code: str, mediawiki: MediaWiki, wikis: Wikis) -> dict[str, object]:
    """The line of one wiki or language; what is as in a language unknown is left out."""
    language = wikis.language(code) if code in wikis.codes else code
    # A language without a wiki of its name may have one of another: nb has no.
    wiki = code if code in wikis.codes else next((name for name in wikis.codes if wikis.language(name) == code), code)
    variants = mediawiki.variants(language)
    names: dict[str, int] = {}
    for link in (language, *variants):
        names = mediawiki.namespaces(link) | names
    record: dict[str, object] = {
        "code": code,
        "trail": mediawiki.trail(language),
        "prefix": mediawiki.prefix(language),
        "redirect": [word for word in mediawiki.redirect_words(language) if word != "#redirect"],
        "namespaces": _local_names(wikis.namespaces(wiki, names)),
        "local": sorted({*wikis.local_prefixes(wiki)} - {code}),
        "case_sensitive": wikis.is_case_sensitive(wiki),
        "dotted_i": mediawiki.has_dotted_i(language),
        "variants": variants,
    }
    return {name: value for name, value in record.items() if value or name == "trail"}


def _local_names(names: dict[str, int]) -> dict[str, int]:
    """Lower-cased names by number, without those that every wiki knows."""
    spaced = {name.replace("_", " ").lower(): number for name, number in names.items()}
    kept = {name: number for name, number in spaced.items() if CANONICAL_NAMESPACES.get(name) != number}
    return dict(sorted(kept.items(), key=lambda pair: (pair[1], pair[0])))


def make(mediawiki: MediaWiki, wikis: Wikis) -> Iterator[dict[str, object]]:
    """The lines of the file: what holds for all, then one wiki or language each."""
    yield {
        "source": f"MediaWiki {mediawiki.version}; operations/mediawiki-config {wikis.commit}",
        "made_by": "scripts/make_languages.py",
        "languages": wikis.language_prefixes(mediawiki.languages),
        "interwiki": wikis.prefixes(),
    }
    for code in sorted({*mediawiki.codes, *wikis.codes}):
        yield make_record(code, mediawiki, wikis)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mediawiki", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, default=PATH)
    args = parser.parse_args()
    lines = make(MediaWiki(args.mediawiki), Wikis(args.config))
    args.out.write_text(
        "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
