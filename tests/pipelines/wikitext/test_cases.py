"""What each piece of markup turns into: (language, wikitext, text with its links in <>)."""

import pytest

from pipelines.wikitext import Site, parse

SITES = {code: Site.from_siteinfo(None, code) for code in ("en", "de", "fr", "bg", "ru", "zh", "ca", "ja", "pl")}

FORMATTING = [
    ("plain text stays", "A heron waits.", "A heron waits."),
    ("bold and italics go", "'''A''' ''grey'' '''''heron''''' waits.", "A grey heron waits."),
    ("four quotes keep one", "'''l''''eau'''", "l'eau"),
    ("an apostrophe is no markup", "the heron's nest", "the heron's nest"),
    ("unbalanced quotes go", "'''A heron waits.", "A heron waits."),
    ("paragraphs", "One.\n\n\n\nTwo.\nThree.", "One.\nTwo.\nThree."),
    ("outer white space", "\n\n  One.  \n\n", "One."),
    ("double spaces", "One  two \t three.", "One two three."),
    ("entities", "salt &amp; pepper&nbsp;&ndash; &#233;t&#xE9; &lt;b&gt;", "salt & pepper – été <b>"),
    ("an entity's star begins no list", "&#42; star", "* star"),
    ("unknown entity", "R&notathing; &;", "R&notathing; &;"),
    ("rule", "Above\n----\nBelow", "Above\nBelow"),
    ("magic words", "__NOTOC__A__TOC__ heron", "A heron"),
    ("python's names are no magic words", "the __init__ method", "the __init__ method"),
    ("inline tags", "H<sub>2</sub>O is <small>wet</small> <span style='x'>now</span>", "H2O is wet now"),
    ("line breaks", "One<br>two<br />three", "One\ntwo\nthree"),
    ("a smaller sign is no tag", "if a <b and c> d or x < y", "if a d or x < y"),
    ("an unknown tag is text", "press <enter> now", "press <enter> now"),
    ("blockquote and poem", "Said:\n<blockquote>Wait.</blockquote>\n<poem>A\nbird</poem>", "Said:\nWait.\nA\nbird"),
    ("windows line ends", "One.\r\n\r\nTwo.", "One.\nTwo."),
]  # fmt: skip

LISTS = [
    ("bullets", "Birds:\n* heron\n** grey heron\n* stork", "Birds:\nheron\ngrey heron\nstork"),
    ("numbers", "# first\n# second\n#: more", "first\nsecond\nmore"),
    ("indents", ": said she\n:: said he", "said she\nsaid he"),
    ("definitions", "; heron : a bird\n; stork\n: another bird", "heron\na bird\nstork\nanother bird"),
    ("a colon inside a definition's link", "; [[Heron|grey : heron]] is", "<Heron|grey : heron> is"),
    ("an empty item", "*\n* heron\n*", "heron"),
    ("links in items", "* [[heron]]\n* [[stork]]s", "<Heron|heron>\n<Stork|storks>"),
    ("comment between items", "* a\n<!-- more? -->\n* b", "a\nb"),
]

LINKS = [
    ("plain", "A [[heron]] waits.", "A <Heron|heron> waits."),
    ("piped", "A [[grey heron|bird]] waits.", "A <Grey heron|bird> waits."),
    ("trail", "Two [[heron]]s wait.", "Two <Heron|herons> wait."),
    ("trail of a piped link", "Two [[heron|bird]]s wait.", "Two <Heron|birds> wait."),
    ("a trail ends at other letters", "[[heron]]é", "<Heron|heron>é"),
    ("underscores and spaces", "[[ grey__heron _|bird]]", "<Grey heron|bird>"),
    ("percent-encoding", "[[Caf%C3%A9|coffee]] [[100%|all]]", "<Café|coffee> <100%|all>"),
    ("broken percent-encoding", "[[A%FFb|x]]", "x"),
    ("entity in a target", "[[AT&amp;T|phones]] [[Ren&eacute;]]", "<AT&T|phones> <René|René>"),
    ("spaces around a title are not shown", "a [[ grey heron ]], b", "a <Grey heron|grey heron>, b"),
    ("fragment", "[[Heron#Diet|food]]", "<Heron|food>"),
    ("fragment of the page itself", "see [[#Diet|below]]", "see below"),
    ("colon in a title", "[[UTC-06:00|a zone]] [[Duck: Rabbit]]", "<UTC-06:00|a zone> <Duck: Rabbit|Duck: Rabbit>"),
    ("colon link to an article", "[[:heron]]", "<Heron|heron>"),
    ("pipe trick", "[[Mercury (planet)|]] [[Paris, Texas|]]", "<Mercury (planet)|Mercury> <Paris, Texas|Paris>"),
    ("spaces inside a label", "a[[heron| grey ]] b", "a <Heron|grey> b"),
    ("formatted label", "[[heron|'''grey''' ''bird'']]", "<Heron|grey bird>"),
    ("apostrophes in a label", "[[heron|heron's nest]]", "<Heron|heron's nest>"),
    ("tags in a label", "[[water|H<sub>2</sub>O]]", "<Water|H2O>"),
    ("brackets in a label", "[[heron|bird [grey]]]", "<Heron|bird [grey>]"),
    ("template in a label", "[[heron|{{lang|fr|héron}}]]", "<Heron|héron>"),
    ("dropped template in a label", "[[heron|{{unknown|x}}]] waits", "waits"),
    ("line break in a label", "[[heron|grey\nbird]]", "<Heron|grey bird>"),
    ("category", "A heron.\n[[Category:Birds]]\n[[category: Herons|key]]", "A heron."),
    ("named category", "in [[:Category:Birds|this category]]", "in this category"),
    ("other namespaces keep their words", "see [[Help:Links|the help]] and [[User:X]]", "see the help and User:X"),
    ("language links", "A heron.\n[[de:Reiher]]\n[[fr:Héron]]", "A heron."),
    ("named language link", "the [[:de:Reiher|German page]]", "the German page"),
    ("other projects", "the word [[wikt:heron|heron]]", "the word heron"),
    ("invalid titles", "a [[<b>|b]] and [[a{b|c]]", "a b and c"),
    ("nested links", "[[heron|a [[stork]] here]]", "a <Stork|stork> here"),
    ("link in italics", "''[[heron]]''s", "<Heron|heron>s"),
    ("adjacent links", "[[grey]][[heron]]", "<Grey|grey><Heron|heron>"),
    ("two pipes", "[[heron|a|b]]", "<Heron|a|b>"),
    ("a link to nothing", "a [[]] b [[|x]] c", "a b x c"),
    ("georgian has no capitals", "[[თბილისი]]", "<თბილისი|თბილისი>"),
]  # fmt: skip

EXTERNAL = [
    ("label", "see [http://example.org the site] now", "see the site now"),
    ("no label", "see [http://example.org] now", "see now"),
    ("protocol-relative and mail", "[//example.org a] [mailto:a@example.org b]", "a b"),
    ("link inside", "[http://example.org the [[heron]] page]", "the <Heron|heron> page"),
    ("bare address", "at http://example.org/a_b now", "at http://example.org/a_b now"),
    ("double brackets", "see [[http://example.org the site]] now", "see the site now"),
    ("brackets that are no link", "he said [sic] it", "he said [sic] it"),
]

DROPPED = [
    ("comment", "A <!-- grey --> heron", "A heron"),
    ("reference", "A heron<ref>Smith, ''Birds''</ref> waits.<ref name=x />", "A heron waits."),
    ("reference with a template", "A heron{{refn|x}}<ref>{{cite|title=[[a]]}}</ref>.", "A heron."),
    ("references list", "A heron.\n<references>\n<ref name=x>[[y]]</ref>\n</references>", "A heron."),
    ("math and code", "where <math>x_{i}</math> is <code>int</code> here", "where is here"),
    ("highlighted source", 'a\n<syntaxhighlight lang="c">x = {{y}};</syntaxhighlight>\nb', "a\nb"),
    ("gallery", "a\n<gallery>\nFile:A.jpg|[[heron]]\n</gallery>\nb", "a\nb"),
    ("table", "a\n{| class=x\n! h\n|-\n| [[heron]] || b\n|}\nb", "a\nb"),
    ("nested tables", "a\n{|\n| x\n{|\n| y\n|}\n| z\n|}\nb", "a\nb"),
    ("indented table", "a\n:{|\n| x\n|}\nb", "a\nb"),
    ("html table", "a<table><tr><td>[[x]]<table><tr><td>y</table></table>b", "a\nb"),
    ("table in a template", "a {{box|\n{|\n| x\n|}\n}} b", "a b"),
    ("file", "a [[File:H.jpg|thumb|200px|A heron]] b", "a b"),
    ("file with links", "[[Image:H.jpg|thumb|A [[heron|bird]] in [[Kent]]ish marsh]]A heron.", "A heron."),
    ("file in a file", "[[File:A.jpg|thumb|x [[File:B.jpg|20px]] y]]A", "A"),
    ("template", "{{Infobox bird\n| name = [[Heron]]\n| x = {{small|y}}\n}}\nA heron.", "A heron."),
    ("nested templates", "A {{a|{{b|{{c}}}}}} heron", "A heron"),
    ("template parameter", "A {{{1|grey}}} heron", "A heron"),
    ("style and script", "<templatestyles src='x'/>A <style>p {}</style>heron", "A heron"),
    ("include tags", "<noinclude>A</noinclude> heron<includeonly> [[x]]</includeonly>", "A heron"),
    ("table row left over", "a\n| x || y\nb", "a\nb"),
]

HOLES = [
    ("parentheses", "Kent ({{pron|x}}) is", "Kent is"),
    ("parentheses with separators", "Kent ({{pron|x}}; {{y}}, ) is", "Kent is"),
    ("first in parentheses", "Kent ({{pron|x}}; a county) is", "Kent (a county) is"),
    ("last in parentheses", "Kent (a county, {{pron|x}}) is", "Kent (a county) is"),
    ("middle of parentheses", "Kent (a, {{x}}, b) is", "Kent (a, b) is"),
    ("before a comma", "At {{coord|1|2}}, Kent has", "At, Kent has"),
    ("between commas", "Kent, {{x}}, is", "Kent, is"),
    ("before a full stop", "It is in Kent {{x}}.", "It is in Kent."),
    ("full-width parentheses", "東京（{{x}}）は", "東京は"),
    ("already empty", "Kent () is", "Kent is"),
    ("a function's parentheses", "call main() now", "call main() now"),
    ("several references", "Kent<ref>a</ref> <ref>b</ref>, is", "Kent, is"),
]

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
]  # fmt: skip

NOWIKI = [
    ("brackets", "<nowiki>[[heron]] {{x}} ''y'' <ref>z</ref></nowiki>", "[[heron]] {{x}} ''y'' <ref>z</ref>"),
    (
        "line start",
        "<nowiki>* not a list</nowiki>\n<nowiki>== no heading ==</nowiki>",
        "* not a list\n== no heading ==",
    ),
    ("empty", "rock '<nowiki/>'n' roll", "rock ''n' roll"),
    ("inside a template", "{{nowrap|<nowiki>}}</nowiki>}}", "}}"),
    ("markup around", "''<nowiki>[[</nowiki>''[[heron]]", "[[<Heron|heron>"),
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
]  # fmt: skip

ENGLISH = [
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
    }.items()
    for name, wikitext, expected in cases
]


def show(article):
    """The text with each link as <target|visible text>."""
    out, position = [], 0
    for start, end, target in article.links:
        out += [article.text[position:start], f"<{target}|{article.text[start:end]}>"]
        position = end
    return "".join(out) + article.text[position:]


@pytest.mark.parametrize(
    ("language", "wikitext", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in ENGLISH + LANGUAGES],
)
def test_markup_becomes_text_and_links(language, wikitext, expected):
    assert show(parse(wikitext, SITES[language])) == expected


def test_there_are_enough_cases():
    assert len(ENGLISH + LANGUAGES) >= 80
