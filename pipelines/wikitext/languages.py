"""What differs from language to language: link trails, namespace names, redirect words, disambiguation templates.

Used where a dump's siteinfo is missing or silent. Facts as MediaWiki and the wikis themselves have them.
"""

_CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_FRENCH = "àâçéèêîôûäëïöüùÇÉÂÊÎÔÛÄËÏÖÜÀÈÙ"
_SPANISH = "áéíóúñ"
_ITALIAN = "àéèíîìóòúù"
_GERMAN = "äöüß"
_PERSIAN = "ابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیآأئؤة\u200c"
_GREEK = "αβγδεζηθικλμνξοπρστυφχψωςΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩάέήίόύώϊϋΐΰΆΈΉΊΌΎΏΪΫ"

TRAILS = {
    **dict.fromkeys(("zh", "zh-yue", "zh-classical", "wuu", "gan"), ""),
    **dict.fromkeys(("de", "als", "bar", "dsb", "hsb", "lb", "nds", "pdc", "pfl", "stq"), "a-z" + _GERMAN),
    **dict.fromkeys(("es", "an", "ast", "ay", "eu", "ext", "gn", "lad", "nah", "qu"), "a-z" + _SPANISH),
    **dict.fromkeys(("fr", "bm", "ff", "ln", "mg", "nrm", "pcd", "sg", "ty", "vi", "wo"), "a-z" + _FRENCH),
    **dict.fromkeys(("it", "co", "eml", "fur", "lij", "lmo", "nap", "pms", "scn", "vec"), "a-z" + _ITALIAN),
    **dict.fromkeys(("ru", "ab", "av", "ce", "kv", "mhr", "myv", "sah", "tyv", "xal"), "a-z" + _CYRILLIC),
    **dict.fromkeys(("pt", "gl", "mwl"), "a-záâãàéêẽçíòóôõúüűũ"),
    **dict.fromkeys(("nl", "li", "nds-nl", "srn", "vls", "zea"), "a-zäöüïëéèà"),
    **dict.fromkeys(("no", "nb", "nn", "da", "kl"), "a-zæøå"),
    **dict.fromkeys(("et", "fiu-vro", "vep"), "a-zäöõšüž"),
    **dict.fromkeys(("lt", "bat-smg"), "a-ząčęėįšųūž"),
    **dict.fromkeys(("lv", "ltg"), "a-zA-ZĀāČčĒēĢģĪīĶķĻļŅņŠšŪūŽž"),
    **dict.fromkeys(("ro", "rmy", "roa-rup"), "a-zăâîşţșțĂÂÎŞŢȘȚ"),
    **dict.fromkeys(("hr", "sh", "sl", "bs"), "a-zčćđžš"),
    **dict.fromkeys(("fa", "azb", "glk", "lrc", "mzn"), _PERSIAN),
    **dict.fromkeys(("ar", "arz"), "a-zء-ي"),
    **dict.fromkeys(("he", "yi"), "a-zא-ת"),
    **dict.fromkeys(("bn", "bpy"), "ঀ-৿"),
    **dict.fromkeys(("hi", "mai", "sa"), "a-zऀ-ॣ०-ॿ꣠-ꣿ"),
    **dict.fromkeys(("pl", "csb", "szl"), "a-zęóąśłżźćńĘÓĄŚŁŻŹĆŃ"),
    **dict.fromkeys(("be", "be-tarask", "be-x-old"), "a-zабвгґдеёжзійклмнопрстуўфхцчшыьэюяćčłńśšŭźž"),
    "bg": "a-zабвгдежзийклмнопрстуфхцчшщъыьэюя",
    "ca": "a-zàèéíòóúç·ïü",
    "cs": "a-záčďéěíňóřšťúůýž",
    "cy": "a-zàáâèéêìíîïòóôûŵŷ",
    "el": "a-z" + _GREEK,
    "fi": "a-zäö",
    "fo": "a-záðíóúýæø",
    "fy": "a-zàáèéìíòóùúâêîôûäëïöü",
    "gu": "\u0a80-\u0aff",
    "hu": "a-záéíóúöüőűÁÉÍÓÚÖÜŐŰ",
    "hy": "a-zա-և",
    "is": "a-záðéíóúýþæö",
    "ka": "a-zა-ჰ",
    "kk": "a-zäçéğıïñöşüýа-яёәғіқңөұүһ",
    "ku": "a-zçêîşûẍḧÇÊÎŞÛẌḦ",
    "mk": "a-zабвгдѓежзѕијклљмнњопрстќуфхцчџш",
    "ml": "a-zം-ൿ",
    "mn": "a-z" + _CYRILLIC + "өү",
    "mr": "ऀ-ॣॱ-ॿ",
    "oc": "a-zàâçéèêîôû",
    "sk": "a-záäčďéíľĺňóôŕšťúýž",
    "sr": "a-zđćžšабвгдђежзијклљмнњопрстћуфхцчџш",
    "sv": "a-zåäöéÅÄÖÉ",
    "ta": "஀-௿",
    "te": "ఁ-౯",
    "tg": "a-z" + _CYRILLIC + "ғӣқўҳҷ",
    "tr": "a-zÇĞçğİıÖöŞşÜüÂâÎîÛû",
    "tt": "a-z" + _CYRILLIC + "ӘәӨөҮүҖҗҢңҺһ",
    "uk": "a-zабвгґдеєжзиіїйклмнопрстуфхцчшщьюяёъы",
    "uz": "a-zʻʼ",
    "wa": "a-zåâêîôûçéè",
}
"""Letters behind a link's brackets that belong to its text, as the inside of a regex class; a-z where not named."""

CANONICAL_NAMESPACES = {
    "media": -2,
    "special": -1,
    "talk": 1,
    "user": 2,
    "user talk": 3,
    "project": 4,
    "project talk": 5,
    "wikipedia": 4,
    "wikipedia talk": 5,
    "file": 6,
    "file talk": 7,
    "image": 6,
    "image talk": 7,
    "mediawiki": 8,
    "mediawiki talk": 9,
    "template": 10,
    "template talk": 11,
    "help": 12,
    "help talk": 13,
    "category": 14,
    "category talk": 15,
    "timedtext": 710,
    "timedtext talk": 711,
    "module": 828,
    "module talk": 829,
}
"""Names that MediaWiki knows on every wiki."""

_NUMBERS = {"media": -2, "special": -1, "user": 2, "project": 4, "file": 6, "template": 10, "help": 12, "category": 14}
_LOCAL = {
    "ar": "media:وسائط special:خاص user:مستخدم project:ويكيبيديا file:ملف file:صورة template:قالب help:مساعدة "
    "category:تصنيف portal:بوابة",
    "bg": "media:Медия special:Специални user:Потребител project:Уикипедия file:Файл file:Картинка template:Шаблон "
    "help:Помощ category:Категория portal:Портал",
    "ca": "special:Especial user:Usuari project:Viquipèdia file:Fitxer file:Imatge template:Plantilla help:Ajuda "
    "category:Categoria portal:Portal",
    "cs": "media:Média special:Speciální user:Wikipedista user:Wikipedistka project:Wikipedie file:Soubor "
    "template:Šablona help:Nápověda category:Kategorie portal:Portál",
    "da": "special:Speciel user:Bruger project:Wikipedia file:Fil file:Billede template:Skabelon help:Hjælp "
    "category:Kategori portal:Portal",
    "de": "media:Medium special:Spezial user:Benutzer user:Benutzerin project:WP file:Datei file:Bild template:Vorlage "
    "help:Hilfe category:Kategorie portal:Portal",
    "el": "special:Ειδικό user:Χρήστης project:Βικιπαίδεια file:Αρχείο file:Εικόνα template:Πρότυπο help:Βοήθεια "
    "category:Κατηγορία portal:Πύλη",
    "en": "project:WP portal:Portal book:Book draft:Draft",
    "es": "media:Medio special:Especial user:Usuario user:Usuaria file:Archivo file:Imagen template:Plantilla "
    "help:Ayuda category:Categoría portal:Portal",
    "fa": "media:مدیا special:ویژه user:کاربر project:ویکی‌پدیا file:پرونده file:تصویر template:الگو help:راهنما "
    "category:رده portal:درگاه",
    "fi": "special:Toiminnot user:Käyttäjä file:Tiedosto file:Kuva template:Malline help:Ohje category:Luokka "
    "portal:Teemasivu",
    "fr": "media:Média special:Spécial user:Utilisateur user:Utilisatrice project:Wikipédia file:Fichier "
    "template:Modèle help:Aide category:Catégorie portal:Portail",
    "he": "media:מדיה special:מיוחד user:משתמש project:ויקיפדיה file:קובץ file:תמונה template:תבנית help:עזרה "
    "category:קטגוריה portal:פורטל",
    "hr": "special:Posebno user:Suradnik file:Datoteka file:Slika template:Predložak help:Pomoć category:Kategorija "
    "portal:Portal",
    "hu": "media:Média special:Speciális user:Szerkesztő project:Wikipédia file:Fájl file:Kép template:Sablon "
    "help:Segítség category:Kategória portal:Portál",
    "id": "special:Istimewa user:Pengguna file:Berkas file:Gambar template:Templat help:Bantuan category:Kategori "
    "portal:Portal",
    "it": "special:Speciale user:Utente file:Immagine template:Template help:Aiuto category:Categoria portal:Portale",
    "ja": "media:メディア special:特別 user:利用者 file:ファイル file:画像 template:テンプレート help:ヘルプ "
    "category:カテゴリ portal:Portal portal:ポータル",
    "ko": "media:미디어 special:특수 user:사용자 project:위키백과 file:파일 file:그림 template:틀 help:도움말 "
    "category:분류 portal:들머리 portal:포털",
    "nl": "special:Speciaal user:Gebruiker file:Bestand file:Afbeelding template:Sjabloon category:Categorie "
    "portal:Portaal",
    "no": "special:Spesial user:Bruker file:Fil file:Bilde template:Mal help:Hjelp category:Kategori portal:Portal",
    "pl": "special:Specjalna user:Wikipedysta user:Wikipedystka file:Plik file:Grafika template:Szablon help:Pomoc "
    "category:Kategoria portal:Portal",
    "pt": "media:Multimédia special:Especial user:Usuário user:Utilizador project:Wikipédia file:Ficheiro "
    "file:Arquivo file:Imagem template:Predefinição help:Ajuda category:Categoria portal:Portal",
    "ro": "special:Special user:Utilizator file:Fișier file:Imagine template:Format help:Ajutor category:Categorie "
    "portal:Portal",
    "ru": "media:Медиа special:Служебная user:Участник user:Участница project:Википедия project:ВП file:Файл "
    "file:Изображение template:Шаблон help:Справка category:Категория category:К portal:Портал",
    "sk": "media:Médiá special:Špeciálne user:Redaktor project:Wikipédia file:Súbor file:Obrázok template:Šablóna "
    "help:Pomoc category:Kategória portal:Portál",
    "sl": "special:Posebno user:Uporabnik project:Wikipedija file:Slika template:Predloga help:Pomoč "
    "category:Kategorija portal:Portal",
    "sr": "special:Посебно user:Корисник project:Википедија file:Датотека file:Слика template:Шаблон help:Помоћ "
    "category:Категорија portal:Портал",
    "sv": "special:Special user:Användare file:Fil file:Bild template:Mall help:Hjälp category:Kategori portal:Portal",
    "tr": "special:Özel user:Kullanıcı project:Vikipedi file:Dosya file:Resim template:Şablon help:Yardım "
    "category:Kategori portal:Portal",
    "uk": "media:Медіа special:Спеціальна user:Користувач user:Користувачка project:Вікіпедія project:ВП file:Файл "
    "file:Зображення template:Шаблон help:Довідка category:Категорія portal:Портал",
    "vi": "special:Đặc_biệt user:Thành_viên file:Tập_tin file:Hình template:Bản_mẫu help:Trợ_giúp category:Thể_loại "
    "portal:Cổng_thông_tin",
    "zh": "media:媒体 media:媒體 special:特殊 user:用户 user:用戶 project:维基百科 project:維基百科 file:文件 "
    "file:檔案 file:图像 file:圖像 template:模板 help:帮助 help:幫助 category:分类 category:分類 portal:Portal "
    "portal:主题 portal:主題",
}


def _words(text: str) -> frozenset[str]:
    """The words of `text`; "_" in one is a space."""
    return frozenset(word.replace("_", " ") for word in text.split())


def local_namespaces(language: str) -> dict[str, int]:
    """Lower-cased names that a language's wiki has beside the canonical ones, as far as known here."""
    numbers = {**_NUMBERS, "portal": 100, "book": 108, "draft": 118}
    pairs = (entry.split(":", 1) for entry in _LOCAL.get(language, "").split())
    return {name.replace("_", " ").lower(): numbers[kind] for kind, name in pairs}


LANGUAGES = _words(
    """
    aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar bat-smg
    bbc bcl be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce ceb ch cho chr
    chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dty dv dz ee el eml en eo es et eu ext fa fat ff fi
    fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw he
    hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg
    kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe lez lfn lg li lij lld lmo ln lo lrc
    lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mo mos mr mrj ms mt mus mwl my myv mzn na nah
    nan nap nb nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nup nv ny oc olo om or os pa pag pam pap pcd pcm pdc
    pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup roa-tara rsk ru rue rup rw sa sah sat sc scn sco sd se
    sg sgs sh shi shn si simple sk skr sl sm smn sn so sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg
    th ti tig tk tl tly tn to tok tpi tr trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu
    xal xh xmf yi yo yue za zea zgh zh zh-classical zh-min-nan zh-yue zu
    """
)
"""Prefixes of language links."""

PROJECTS = _words(
    """
    wikt wiktionary b wikibooks n wikinews q wikiquote s wikisource v wikiversity voy wikivoyage species wikispecies
    commons c m meta metawiki metawikimedia metawikipedia mw mediawikiwiki d wikidata w incubator foundation
    foundationsite wmf wmfwiki wikimedia outreach strategy betawiki betawikiversity translatewiki phab phabricator
    bugzilla mediazilla gerrit svn rev mailarchive otrs ticket toollabs toolforge tools testwiki test2wiki testwikidata
    wikimania wikitech doi hdl rfc arxiv pmid oeis google imdbname imdbtitle memoryalpha wikia wikicities uncyclopedia
    wikilivres viaf worldcat
    """
)
"""Prefixes of other interwiki links."""

REDIRECT_WORDS = _words(
    """
    redirect redirecció redirection redirección rediriger rinvia redirecionamento weiterleitung doorverwijzing
    omdirigering omdirigering viderestilling ohjaus uudelleenohjaus patrz przekieruj tam přesměruj presmeruj átirányítás
    redirecționeaza alih yönlendirme yönlendi̇rme đổi birzuzendu vidu alidirekto suuna preusmeritev preusmjeri
    peradresavimas pāradresācija tilvísun перенаправление перенапр виж пренасочване преусмери преусмеравање
    перенаправлення айдау ανακατευθυνση ανακατεύθυνση تحويل تغییرمسیر تغییر_مسیر הפניה पुनर्प्रेषण অনুপ্রেরিত
    เปลี่ยนทาง 転送 リダイレクト 넘겨주기 重定向 重新導向 redirect_to
    """
)
"""Words behind "#" that make a page a redirect, lower-cased; "redirect" works everywhere."""

DISAMBIGUATION_TEMPLATES = _words(
    """
    disambiguation disambig disamb dab disam disambig-cleanup disambiguation_cleanup disambiguation-cleanup hndis
    hndis-cleanup human_name_disambiguation hospital_disambiguation geodis geo-dis place_name_disambiguation
    letter_disambiguation letter-number_combination_disambiguation letter-number_combination numberdis
    number_disambiguation schooldis school_disambiguation roaddis road_disambiguation mathdab
    mathematical_disambiguation mathematics_disambiguation mountain_index shipindex airport_disambiguation
    airport_disambig callsigndis call_sign_disambiguation caselaw_disambiguation chinese_title_disambiguation
    fish-dab genus_disambiguation species_latin_name_disambiguation species_latin_name_abbreviation_disambiguation
    latin_name_disambiguation molforms molecular_formula_index chemistry_disambiguation opus_disambiguation
    phonetics_disambiguation biology_disambiguation music_disambiguation music_genre_disambiguation
    music_disambiguation/cleanup songdis station_disambiguation stationdis station_dis synagogue_disambiguation
    taxonomic_authority_disambiguation taxonomy_disambiguation template_disambiguation temple_disambiguation
    tva_disambiguation wp_disambig wp_disambiguation ship_index surname_disambiguation given_name_disambiguation
    political_disambiguation portal_disambiguation begriffsklärung bkl homonymie homonymie_de_personnes
    patronyme_disambig toponymie_disambig disambigua disambiga desambiguación desambiguacion desambig desambiguação
    doorverwijspagina ujednoznacznienie disambigr неоднозначность многозначность однофамильцы пояснение
    пояснителна_страница багатозначність неоднозначності omonimia одноимённые förgrening namngrening flertydig peker
    pekerside täsmennyssivu täsmennys rozcestník rozcestník_-_příjmení rozlišovacia_stránka egyért
    egyértelműsítő_lap dezambiguizare anlam_ayrımı anlamayrımı αποσαφήνιση توضيح ابهام‌زدایی ابهامزدایی פירושונים
    aimai 曖昧さ回避 人名の曖昧さ回避 地名の曖昧さ回避 동음이의 동명이인 消歧义 消歧義 消歧義頁 消歧义页 định_hướng
    thể_loại_định_hướng disambigpage вишезначна_одредница razdvojba razločitev argipen apartigilo täpsustus
    nuorodinis nozīmju_atdalīšana
    """
)
"""Lower-cased names of the templates that mark a disambiguation page, of all languages: none is common elsewhere."""

LOCAL_DISAMBIGUATION_TEMPLATES = {
    "es": _words("des"),
    "nl": _words("dp"),
    "sv": _words("gren grensida"),
}
"""Such names that are too short to mean this in every language."""
