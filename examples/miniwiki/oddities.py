"""Pages that a reader of dumps has to survive: redirects, disambiguations, other namespaces, broken and empty ones."""

from .facts import read_table
from .pages import Page

BROKEN = """{{Infobox draft
| name = Unfinished draft
| note = this template is never closed
'''Unfinished draft''' is a text that an editor left in the middle of the work on [[Germany]] and [[Austria]].

It names [[Vienna]] and [[Berlin|the other capital, and this link is never closed. The next line is whole again.

The [[Danube]] flows through [[Vienna]].<ref>A note without an end, about [[Budapest]].

== Table ==
{| class="wikitable"
! A table !! without an end
|-
| [[Prague]] || [[Warsaw]]

== After the table ==
The [[Vltava]] flows through [[Prague]], ''and these quotes stay open.
'''So do these, next to [[Kraków]].

<!-- a comment without an end about [[Poland]]
"""

ODD_LINKS = """'''Odd links''' is a page of this wiki on which every link is written in an unusual way,
so that a reader of wikitext can be tried on it.
It names [[rome]] and [[ Paris ]], [[new_York_City]] and [[Washington, D.C.|]].

The first letter does not matter: [[vienna]] and [[Vienna]] are one page. Underscores are spaces: [[Rio_de_Janeiro]].
A fragment is cut off: [[Paris#Culture|culture in Paris]], and so is an empty text: [[Rhine|]].
Entities count as letters: [[Z&uuml;rich]], [[S&atilde;o Paulo &amp; Rio]], [[Caf&eacute; talk]].
A link to oneself: [[Odd links]].
A colon makes a link visible: [[:Category:Rivers of Europe]], [[:File:Glass door.jpg|the picture]],
[[:fr:Vienne (Autriche)]].
Quotes may stand inside: [[War and Peace|''War'' and ''Peace'']], or outside: '''[[Faust (Goethe)|Faust]]'''.
A trail may follow: [[planet]]s, [[physicist|physicist]]s, [[Greek language|Greek]]-speaking, [[Germany|German]]ic,
[[sea]]&ndash;[[lake]].
Brackets may nest: [[Berlin|the [big] city]], and stand alone: [1], [[]], [[|]], ]] and [[.
A link to [[Gravity]] or to the [[Tale of the lighthouse]] leads nowhere; one to [[Tweedledum]] goes round in a circle.

{{Navbox
| title = Odd links
| list1 = [[Mars]] • [[Venus]]
}}
[[Category:Tests|{{PAGENAME}}]]
[[fr:Liens]]
"""

OTHER_NAMESPACES = (
    Page("Talk:Paris", "== Bridges ==\nHow many are there over the [[Seine]]? ~~~~", ns=1),
    Page("Talk:Albert Einstein", "{{Talk header}}\nThe hair deserves a section of its own.", ns=1),
    Page("User:Example", "I like [[river]]s.", ns=2),
    Page("Wikipedia:About", "This wiki is an example, made by a script.", ns=4),
    Page("File:Glass door.jpg", "== Summary ==\nThe door of the [[Louvre]].\n[[Category:Pictures]]", ns=6),
    Page("MediaWiki:Sidebar", "* navigation\n** mainpage|mainpage-description", ns=8),
    Page(
        "Template:Infobox country",
        "<includeonly>{| class=infobox\n| {{{name}}}\n|}</includeonly><noinclude>A box.</noinclude>",
        ns=10,
    ),
    Page("Template:Disambig", "#REDIRECT [[Template:Disambiguation]]", ns=10, redirect="Template:Disambiguation"),
    Page("Template:Disambiguation", "This page lists several meanings.[[Category:Disambiguation pages]]", ns=10),
    Page("Help:Links", "Type <nowiki>[[Paris]]</nowiki>.", ns=12),
    Page("Category:Rivers of Europe", "Streams such as the [[Rhine]].\n[[Category:Rivers]]", ns=14),
    Page("Portal:Music", "{{Box|[[Opera]]}}", ns=100),
    Page("Module:Convert", "return { km = 0.621371 }", ns=828),
)

EMPTY = (
    Page("Blank sheet", "", state="empty"),
    Page("Lost revision", "", state="stub"),
    Page("Withdrawn page", "", state="deleted"),
)


def redirects() -> list[Page]:
    """The redirect pages of the dump, written in the ways that editors write them."""
    forms = ("#REDIRECT [[{}]]", "#redirect [[{}]]\n\n{{{{R from alternative name}}}}", "#Redirect: [[{}]]")
    rows = [row for row in read_table("redirects") if row["where"] == "dump"]
    return [
        Page(row["title"], forms[number % 3].format(row["target"]), redirect=row["target"])
        for number, row in enumerate(rows)
    ]


def redirects_beside_the_dump() -> list[tuple[str, str]]:
    """(title, target) of the redirects that only the TSV file has."""
    return [(row["title"], row["target"]) for row in read_table("redirects") if row["where"] == "file"]


def disambiguations() -> list[Page]:
    """Pages that list the meanings of one name."""
    pages = []
    for row in read_table("disambiguations"):
        items = "\n".join(f"* {line}" for line in row["lines"].split("; "))
        pages.append(Page(row["title"], f"'''{row['title']}''' may refer to:\n{items}\n\n{row['template']}"))
    return pages


def odd_pages() -> list[Page]:
    """Everything here but the articles, redirects and disambiguations first."""
    articles = [Page("Unfinished draft", BROKEN), Page("Odd links", ODD_LINKS)]
    return [*redirects(), *disambiguations(), *articles, *OTHER_NAMESPACES, *EMPTY]
