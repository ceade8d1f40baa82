"""The languages and the site of a wiki in Wikidata, whose codes are not always those of the wiki's address."""

_LANGUAGES = {  # wikis whose address is not their language's code
    "als": "gsw",
    "bat-smg": "sgs",
    "be-x-old": "be-tarask",
    "fiu-vro": "vro",
    "no": "nb",
    "roa-rup": "rup",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
}
_SITES = {language: wiki for wiki, language in _LANGUAGES.items() if wiki != "simple"}
"""Wikis whose site keeps an old code where the address has the new one, too: nb.wikipedia.org is nowiki."""
_RELATED = {
    "crh": ("crh-latn", "crh-cyrl"),
    "gan": ("gan-hant", "gan-hans"),
    "iu": ("ike-cans", "ike-latn"),
    "kk": ("kk-cyrl", "kk-latn", "kk-arab"),
    "ku": ("ku-latn", "ku-arab"),
    "nb": ("no", "nn"),
    "pt": ("pt-br",),
    "shi": ("shi-latn", "shi-tfng"),
    "sr": ("sr-ec", "sr-el"),
    "tg": ("tg-cyrl", "tg-latn"),
    "tt": ("tt-cyrl", "tt-latn"),
    "ug": ("ug-arab", "ug-latn"),
    "uz": ("uz-latn", "uz-cyrl"),
    "zh": ("zh-hans", "zh-cn", "zh-hant", "zh-tw"),
}
"""Scripts and close variants, as MediaWiki falls back."""


def language_chain(language: str) -> tuple[str, ...]:
    """Languages in which labels are looked for, first to last: the wiki's own, close variants of it, its base
    language, Wikidata's "mul" (any language), English."""
    own = _LANGUAGES.get(language, language)
    base = own.partition("-")[0]
    return tuple(dict.fromkeys((own, *_RELATED.get(own, ()), base, "mul", "en")))


def site_name(language: str) -> str:
    """The wiki's key among sitelinks, like enwiki."""
    return _SITES.get(language, language).replace("-", "_") + "wiki"
