"""What each stage of a build took in, gave out and dropped, from the manifest: as numbers and as a drawing."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from pipelines.report.drawing import ACCENT, BORDER, INK, QUIET, SOFT, WARM, WIDTH, label, shorten, text_width
from pipelines.report.markup import Number, text
from schemas.errors import DataError
from schemas.manifest import Manifest

BAR, ROW, SMALL = 16.0, 84.0, 12.5


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage: rows in = rows out of each kind + rows dropped for each reason."""

    name: str
    taken: int
    out: Mapping[str, int]
    drops: Mapping[str, int]
    cpu_seconds: Number | None
    peak_memory_mb: int | None

    @property
    def dropped(self) -> int:
        """Rows dropped, all reasons together."""
        return sum(self.drops.values())


def read_stages(manifest: Manifest) -> list[Stage]:
    """The stages that count rows, in the order they ran; none for a dataset without such counts.

    Raises DataError where the manifest's counts are of another form.
    """
    drops = read_drops(manifest)
    try:
        return [
            Stage(
                name,
                int(counts["in"]),
                {kind: int(n) for kind, n in counts["out"].items()},
                drops.get(name, {}),
                counts.get("cpu_seconds"),
                counts.get("peak_memory_mb"),
            )
            for name, counts in manifest.rest.get("stages", {}).items()
            if counts.get("in") is not None
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _wrong_form("stages", error) from error


def read_drops(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Dropped rows by stage or group and reason; DataError where they are of another form."""
    try:
        return {
            name: {reason: int(n) for reason, n in reasons.items()}
            for name, reasons in manifest.rest.get("drops", {}).items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise _wrong_form("drops", error) from error


def kept_line(stage: Stage) -> str:
    """What the stage gave out, in words."""
    return ", ".join(f"{n:,} {kind}" for kind, n in stage.out.items()) or "nothing"


def dropped_line(stage: Stage) -> str:
    """What the stage dropped, in words."""
    reasons = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in by_count(stage.drops))
    return f"{stage.dropped:,} dropped" + (f" ({reasons})" if reasons else "")


def share(part: int, whole: int) -> str:
    """A share in per cent; never 0 or 100 where it is not exactly that."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 or part == whole else "> 99.9 %"


def draw_funnel(stages: Sequence[Stage], width: int = WIDTH) -> str:
    """A bar per stage, each as long as what came in: what was kept in full colour, what was dropped hatched."""
    height = ROW * len(stages)
    words = " ".join(f"{s.name}: {s.taken:,} in, {kept_line(s)} out, {dropped_line(s)}." for s in stages)
    name = "funnel" + "-narrow" * (width < WIDTH)
    rows = "".join(_draw_stage(stage, ROW * i, width, f"{name}-hatch") for i, stage in enumerate(stages))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-text" '
        f'viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}" font-family="system-ui, sans-serif">'
        f'<title id="{name}-title">What each stage kept and dropped</title><desc id="{name}-text">{text(words)}</desc>'
        f'<defs><pattern id="{name}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6" fill="{SOFT}"/>'
        f'<path class="hatch-line" d="M1 0V6" stroke="{WARM}" stroke-width="1.6"/></pattern></defs>'
        f"{rows}</svg>"
    )


def _draw_stage(stage: Stage, top: float, width: int, hatch: str) -> str:
    """Above the bar the stage, what came in, and the share that was lost; beneath it what went out and why not all."""
    above, bar, below = top + 18, top + 26, top + 26 + BAR + 16
    lost = f"{stage.dropped:,} dropped ({share(stage.dropped, stage.taken)})" if stage.dropped else "nothing dropped"
    shown = shorten(stage.name, 15, width * 0.3)
    quiet = {"class_": "wk-quiet", "fill": QUIET}
    parts = [
        label(shown, 0, above, 15, class_="wk-ink", fill=INK),
        label(f"{stage.taken:,} in", text_width(shown, 15) + 12, above, SMALL, **quiet),
        label(lost, width - text_width(lost, SMALL), above, SMALL, **quiet),
        f'<rect class="kept-quiet" y="{bar:g}" width="{width}" height="{BAR:g}" fill="{BORDER}"/>',
        *_bars(stage, bar, width, hatch),
    ]
    reasons = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in by_count(stage.drops))
    for words, room, right in ((kept_line(stage), 0.42, False), (reasons, 0.54, True)):
        words = shorten(words, SMALL, width * room) if words else ""
        x = width - text_width(words, SMALL) if right else 0.0
        parts.append(label(words, x, below, SMALL, **quiet) if words else "")
    return "".join(parts)


def _bars(stage: Stage, top: float, width: int, hatch: str) -> Iterator[str]:
    scale, x = width / max(stage.taken, 1), 0.0
    for position, n in enumerate(stage.out.values()):
        # Kinds of rows that leave the same stage differ in depth, with a hair between them.
        depth = max(0.35, 1 - 0.3 * position)
        yield (
            f'<rect class="kept" x="{x:.1f}" y="{top:g}" width="{max(n * scale - 1, 0):.1f}" height="{BAR:g}" '
            f'fill="{ACCENT}" fill-opacity="{depth:g}"/>'
        )
        x += n * scale
    if stage.dropped:
        wide = max(stage.dropped * scale, 2.0)
        yield (
            f'<rect class="dropped" x="{width - wide:.1f}" y="{top:g}" width="{wide:.1f}" height="{BAR:g}" '
            f'fill="url(#{hatch})"/>'
        )


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest first, equals by name."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _wrong_form(key: str, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {error}"
    return DataError(f"manifest.json: {key} is not of the form that a build writes ({reason}). Build it again.")
