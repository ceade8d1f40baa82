"""Small plots for a page: drawn by matplotlib, made into SVG without styles, scripts, dates or clashing ids.

A plot uses five colours, and the page's style sheet replaces them by its own, light or dark. Text stays text.
"""

import io
import math
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.report.markup import Number, visible

INK, QUIET, LINE, ACCENT, WARM = "#1d2126", "#626a73", "#e2e5e9", "#1f5fa8", "#b4541a"
SIZE = (3.3, 2.1)
"""Inches."""

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}href"

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 8,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.0,
    "text.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": False,
}


Histogram = list[tuple[int, int, int]]
"""(first value, last value, how many), both ends included."""


def histogram(values: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], bins: int = 24) -> Histogram:
    """Distinct values, ascending, and their counts in equal bins of whole numbers.

    What lies above the 99th percentile goes into the last bin, so that one giant does not flatten the rest.
    """
    if not len(values):
        return []
    low, high = int(values[0]), int(values[-1])
    top = int(values[np.searchsorted(np.cumsum(counts), 0.99 * counts.sum())])
    step = max(1, math.ceil((top - low + 1) / bins))
    edges = list(range(low, top + 1, step))
    sums = np.bincount(np.minimum((values - low) // step, len(edges) - 1), weights=counts, minlength=len(edges))
    ends = [edge + step - 1 for edge in edges[:-1]] + [max(high, edges[-1])]
    return [(start, end, int(n)) for start, end, n in zip(edges, ends, sums, strict=True)]


def draw_histogram(name: str, title: str, unit: str, bins: Histogram) -> str:
    """Bars of a histogram; `name` is unique in the page."""
    with _axes(name, title, _in_words(unit, bins)) as (axes, done):
        step = bins[0][1] - bins[0][0] + 1 if len(bins) > 1 else 1
        starts = [start for start, _, _ in bins]
        axes.bar(starts, [n for *_, n in bins], width=step * 0.9, align="edge", color=ACCENT)
        axes.set_xlabel(unit)
        _compact(axes)
    return done[0]


def draw_degrees(name: str, title: str, degrees: Mapping[str, Counter[int]]) -> str:
    """How many entities (y) have each degree (x), both axes logarithmic; degrees of 0 can't be on them."""
    about = "; ".join(f"{kind}: up to {max(counts, default=0):,} triples" for kind, counts in degrees.items())
    with _axes(name, title, f"Entities by degree. {about}.") as (axes, done):
        for (kind, counts), color, marker in zip(degrees.items(), (ACCENT, WARM), ("o", "x"), strict=False):
            points = _thinned(sorted((value, n) for value, n in counts.items() if value > 0))
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=color, markersize=2.6, label=kind, linestyle="none")
        _logarithmic(axes)
        axes.set_xlabel("triples of an entity")
        if axes.lines:
            axes.legend(fontsize=7, handletextpad=0.1)
    return done[0]


def draw_ranks(name: str, title: str, points: Sequence[tuple[int, int]]) -> str:
    """Frequency (y) by rank (x), both axes logarithmic."""
    shown = [(rank, n) for rank, n in points if n > 0]
    about = f"Frequency by rank, from {points[0][1]:,} down to {points[-1][1]:,}." if points else "No entity."
    with _axes(name, title, about) as (axes, done):
        if shown:
            axes.plot(*zip(*shown, strict=True), color=ACCENT, linewidth=1.4)
        _logarithmic(axes)
        axes.set_xlabel("rank of the entity")
    return done[0]


def draw_curves(name: str, title: str, curves: Mapping[str, Sequence[tuple[int, Number]]]) -> str:
    """(step, value) curves of one term: train as it was and smoothed, valid with a mark at each measurement."""
    with _axes(name, title, " and ".join(curves) + " by step") as (axes, done):
        for kind, points in curves.items():
            if kind == "valid":
                axes.plot(
                    *zip(*_thinned(points), strict=True), ".-", color=WARM, markersize=4, linewidth=1.2, label=kind
                )
                continue
            thin = _thinned(points)
            steps, values = zip(*thin, strict=True)
            axes.plot(steps, values, color=ACCENT, linewidth=0.7, alpha=0.35)
            axes.plot(steps, _smoothed(values), color=ACCENT, linewidth=1.2, label=kind)
        axes.set_xlabel("step")
        _compact(axes)
        if len(curves) > 1:
            axes.legend(fontsize=7)
    return done[0]


@contextmanager
def _axes(name: str, title: str, about: str) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on; the finished SVG is in the list afterwards."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    done: list[str] = []
    with rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        # A script that the bundled font lacks is the browser's business: text stays text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), done
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        done.append(_inline(buffer.getvalue(), name, title, about))


def _inline(svg: bytes, name: str, title: str, about: str) -> str:
    """The SVG as part of a page: attributes in place of styles, ids that begin with `name`, a title."""
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = {value.removeprefix("#") for node in root.iter() for key, value in node.items() if key == XLINK}
    for node in root.iter():
        _plain_attributes(node, name, used)
    root.attrib.pop("version", None)
    root.attrib.update({"class": "plot", "role": "img", "aria-labelledby": f"{name}-title {name}-text"})
    for position, (tag, content) in enumerate((("title", title), ("desc", about))):
        child = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{'text' if position else 'title'}"})
        child.text = visible(content)
        root.insert(position, child)
    for node in root.iter():
        node.tag = node.tag.removeprefix(f"{{{SVG}}}")
        node.text = node.text if node.text and node.text.strip() else None
        node.tail = None
    root.set("xmlns", SVG)
    return ET.tostring(root, encoding="unicode")


def _plain_attributes(node: ET.Element, name: str, used: set[str]) -> None:
    for declaration in node.attrib.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        if value and key.strip() not in ("font-family", "font"):
            node.set(key.strip(), value.strip())
    if XLINK in node.attrib:
        node.set("href", f"#{name}-{node.attrib.pop(XLINK).removeprefix('#')}")
    if "clip-path" in node.attrib:
        node.set("clip-path", node.attrib["clip-path"].replace("url(#", f"url(#{name}-"))
    own = node.attrib.pop("id", None)
    if own is not None and (own in used or node.tag == f"{{{SVG}}}clipPath"):
        node.set("id", f"{name}-{own}")
        # A marker takes its colours from its <use>: a page's style sheet does not reach into what that copies.
        node.attrib.pop("fill", None), node.attrib.pop("stroke", None)
    if "d" in node.attrib:
        node.set("d", " ".join(node.attrib["d"].split()))


def _compact(axes: Any) -> None:
    """Few ticks, as 12k rather than 12000."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _logarithmic(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: Number) -> str:
    """12000 -> 12k, 0.25 -> 0.25."""
    for limit, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{mark}"
    return f"{value:.3g}"


def _thinned(points: Sequence[tuple[Any, Any]], most: int = 250) -> Sequence[tuple[Any, Any]]:
    """At most about `most` of the points, the last among them."""
    stride = math.ceil(len(points) / most)
    return [*points[:-1:stride], points[-1]] if stride > 1 else points


def _smoothed(values: Sequence[Number], weight: float = 0.8) -> list[float]:
    """An exponential moving average, its start corrected."""
    smoothed, mean, norm = [], 0.0, 0.0
    for value in values:
        mean, norm = weight * mean + (1 - weight) * value, weight * norm + (1 - weight)
        smoothed.append(mean / norm)
    return smoothed


def _in_words(unit: str, bins: Histogram) -> str:
    """A histogram for those who can't see it."""
    if not bins:
        return f"No {unit}."
    start, end, most = max(bins, key=lambda part: part[2])
    span = f"{start:,}" if start == end else f"{start:,} to {end:,}"
    return (
        f"From {bins[0][0]:,} to {bins[-1][1]:,} {unit}; the tallest of {len(bins)} bars is {span}, with {most:,} rows."
    )


def identifier(name: str) -> str:
    """The name as part of an id: other characters than letters, digits and hyphens become their code."""
    return "".join(char if char.isascii() and (char.isalnum() or char == "-") else f"_{ord(char):x}" for char in name)
