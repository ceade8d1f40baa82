"""HTML as strings: what comes from data passes through `text` or `attributes`, so that none of it is markup."""

import base64
import dataclasses
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence

STYLE = """
:root { --paper: #fff; --ink: #1d2126; --quiet: #626a73; --line: #e2e5e9; --soft: #f5f6f8; --accent: #1f5fa8;
  --tint: #e4edf8; --warm: #b4541a; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --ink: #e3e6ea; --quiet: #98a1ab; --line: #30363d;
  --soft: #1d2126; --accent: #7db4f0; --tint: #20344d; --warm: #e39a68; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3.5rem 1.5rem 6rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; font-weight: 650; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; font-weight: 650; margin: 4rem 0 .5rem; }
h3 { font-size: 1rem; font-weight: 650; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0 1rem; max-width: 46rem; }
.quiet, figcaption, caption, .note { color: var(--quiet); }
.note { font-size: .875rem; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
nav { margin: 1.6rem 0 0; font-size: .9rem; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
code, pre { font: .85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--soft); border-radius: 6px; padding: .9rem 1.1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .6rem 0 1.2rem; }
.strip { display: flex; flex-wrap: wrap; gap: .4rem 2.6rem; margin: 1.8rem 0 0; padding: 1rem 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.strip div { min-width: 4rem; }
.strip dt { font-size: .8rem; color: var(--quiet); }
.strip dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
dl { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0 1.4rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .32rem 1.4rem .32rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 550; color: var(--quiet); border-bottom-color: var(--quiet); white-space: nowrap; }
td { overflow-wrap: break-word; min-width: 3rem; max-width: 22rem; }
th:last-child, td:last-child { padding-right: 0; } .name { white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.best { font-weight: 650; }
td svg { display: block; margin-top: .42rem; max-width: none; }
svg { max-width: 100%; height: auto; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  Arial, sans-serif; }
figure { margin: 1.4rem 0; } figure svg { width: 100%; }
.drawn-wide svg, .drawn-narrow svg { display: block; } .drawn-narrow { display: none; }
figcaption { font-size: .875rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1.8rem 2rem; }
.plots figure { margin: 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 0 3rem; }
.columns > div { min-width: 0; }
.graph { border: 1px solid var(--line); border-radius: 8px; padding: 1.2rem 1.4rem .4rem; margin-bottom: .5rem; }
.excerpt { border-inline-start: 3px solid var(--line); padding-block: .1rem; padding-inline: 1rem 0;
  margin: .8rem 0 1.4rem; white-space: pre-line; overflow-wrap: anywhere; max-width: 46rem; }
mark { background: var(--tint); color: var(--accent); border-radius: 3px; padding: 0 .12em; }
mark.unlinked { background: none; color: inherit; border-bottom: 1px dotted var(--quiet); border-radius: 0; }
details { margin: .2rem 0 1rem; font-size: .9rem; } .plots + details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--quiet); font-size: .875rem; }
.warning { border-left: 3px solid var(--warm); padding: .1rem 0 .1rem 1rem; }
.bar-track, .kept-quiet { fill: var(--line); } .bar, .kept { fill: var(--accent); }
.hatch-ground { fill: var(--soft); } .hatch-line { stroke: var(--warm); }
.wk-ink { fill: var(--ink); } .wk-quiet { fill: var(--quiet); } .wk-accent { fill: var(--accent); }
.wk-chip { fill: var(--tint); } .wk-tail { fill: var(--soft); stroke: var(--line); }
.wk-shared { fill: var(--tint); stroke: var(--accent); } .wk-edge { stroke: var(--accent); }
.plot { stroke-linejoin: round; }
.plot [fill="#1d2126"] { fill: var(--ink); } .plot [fill="#626a73"] { fill: var(--quiet); }
.plot [fill="#1f5fa8"] { fill: var(--accent); } .plot [fill="#b4541a"] { fill: var(--warm); }
.plot [stroke="#1f5fa8"] { stroke: var(--accent); } .plot [stroke="#b4541a"] { stroke: var(--warm); }
.plot [stroke="#626a73"] { stroke: var(--quiet); } .plot [stroke="#e2e5e9"] { stroke: var(--line); }
@media screen and (max-width: 40rem) { body { padding: 2rem 1rem 4rem; } h2 { margin-top: 3rem; }
  .drawn-wide { display: none; } .drawn-narrow { display: block; } .graph { padding: .8rem .6rem .2rem; }
  th, td { padding-right: .9rem; } }
@media print { @page { size: A4; margin: 16mm; } body { font-size: 11px; padding: 0; max-width: none; }
  h2 { margin-top: 2rem; } h2, h3 { break-after: avoid; } figure, tr, pre, .graph { break-inside: avoid; }
  nav { display: none; } .plots { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; }
  .columns { grid-template-columns: 1fr; } .wide { overflow: visible; } th, td { padding: .2rem .6rem .2rem 0;
  overflow-wrap: anywhere; min-width: 0; } th, th.n { white-space: normal; } }
"""

# What XML forbids, what a terminal obeys, and what reorders the text around it.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")


Number = int | float
CELL = 300
"""Code points of a table's cell that are shown, at most."""


def visible(value: object) -> str:
    """The value as text, control characters and bidirectional overrides replaced by U+FFFD."""
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(value))


def text(value: object) -> str:
    """The value, escaped for an element or a quoted attribute."""
    return html.escape(visible(value), quote=True)


def attributes(values: Mapping[str, object]) -> str:
    """' name="value"' for each; None is left out, a trailing underscore of a name as well (class_)."""
    return "".join(f' {name.rstrip("_")}="{text(value)}"' for name, value in values.items() if value is not None)


def element(tag: str, content: str, **values: object) -> str:
    """One element around `content`, which is markup already."""
    return f"<{tag}{attributes(values)}>{content}</{tag}>"


def number(value: Number) -> str:
    """A count with thousands marks; other numbers to four significant digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) >= 1_000:
        return f"{int(value):,}"
    digits = f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:#.4g}".rstrip(".")
    return "0" if value == 0 else digits


class Markup(str):
    """A string that is markup already."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number as it is to be shown; the best of its column may stand out."""

    shown: str
    best: bool = False


def cell(value: object) -> str:
    """A table cell: numbers aligned to the right, `Markup` as it stands, None empty."""
    if isinstance(value, Markup):
        return f"<td>{value}</td>"
    if isinstance(value, Figure):
        return f'<td class="n{" best" * value.best}">{text(value.shown)}</td>'
    if isinstance(value, (int, float)):
        return f'<td class="n">{number(value)}</td>'
    string = "" if value is None else str(value)
    return f"<td>{text(string if len(string) <= CELL else string[:CELL] + '…')}</td>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str | None = None) -> str:
    """A table; a column's head is set to the right where its first row holds a number."""
    body = [list(row) for row in rows]
    first = body[0] if body else [""] * len(head)
    heads = "".join(
        element("th", text(name), scope="col", class_="n" if isinstance(value, (int, float, Figure)) else None)
        for name, value in zip(head, first, strict=True)
    )
    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>\n" for row in body)
    title = element("caption", text(caption)) if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{heads}</tr></thead>\n<tbody>{lines}</tbody></table></div>\n'


def bar(value: Number, largest: Number, width: int = 100) -> Markup:
    """A bar for a table cell; the number stands beside it, so it is decoration to a screen reader."""
    length = width * value / largest if largest else 0.0
    return Markup(
        f'<svg width="{width}" height="10" viewBox="0 0 {width} 10" aria-hidden="true">'
        f'<rect class="bar-track" y="4.5" width="{width}" height="1"/>'
        f'<rect class="bar" width="{length:.1f}" height="10" rx="1"/></svg>'
    )


def bar_table(head: tuple[str, str], counts: Sequence[tuple[object, int]], caption: str | None = None) -> str:
    """(name, count) rows with a bar for each: a bar chart that is its own table."""
    largest = max((count for _, count in counts), default=0)
    rows = [(name, count, bar(count, largest)) for name, count in counts]
    return table([*head, ""], rows, caption)


def details(summary: str, content: str) -> str:
    """Content that opens on a click, without a script."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>\n"


def side_by_side(parts: Iterable[str]) -> str:
    """Parts in columns, as many as there is room for."""
    return f'<div class="columns">{"".join(element("div", part) for part in parts if part)}</div>\n'


def two_widths(wide: str, narrow: str) -> str:
    """Two drawings of the same, of which the screen shows the one that fits."""
    return f'<div class="drawn-wide">{wide}</div><div class="drawn-narrow">{narrow}</div>'


def page(title: str, body: str) -> str:
    """A whole document: one style element, allowed by its hash, and nothing else that loads or runs."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
