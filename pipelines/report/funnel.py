"""What each stage of a build took in, gave out and dropped, from the manifest: as numbers and as a drawing."""

import dataclasses
from collections.abc import Mapping, Sequence

from pipelines.report.drawing import ACCENT, BORDER, INK, QUIET, SOFT, WARM, WIDTH, label, shorten, text_width
from pipelines.report.markup import Number, text
from schemas.errors import DataError
from schemas.manifest import Manifest

LEFT, BAR, ROW = 150.0, 18.0, 58.0


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


def share(part: int, whole: int) -> str:
    """A share in per cent; never 0 or 100 where it is not exactly that."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 or part == whole else "> 99.9 %"


def draw_funnel(stages: Sequence[Stage]) -> str:
    """A bar per stage, each as long as what came in: what was kept in full colour, what was dropped hatched."""
    height = ROW * len(stages)
    words = " ".join(f"{s.name}: {s.taken:,} in, {kept_line(s)} out, {s.dropped:,} dropped." for s in stages)
    rows = "".join(_draw_stage(stage, ROW * i) for i, stage in enumerate(stages))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="funnel-title funnel-text" '
        f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" font-family="system-ui, sans-serif">'
        f'<title id="funnel-title">What each stage kept and dropped</title><desc id="funnel-text">{text(words)}</desc>'
        '<defs><pattern id="funnel-hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6" fill="{SOFT}"/>'
        f'<path class="hatch-line" d="M1 0V6" stroke="{WARM}" stroke-width="1.6"/></pattern></defs>{rows}</svg>'
    )


def _draw_stage(stage: Stage, top: float) -> str:
    width = WIDTH - LEFT
    scale = width / stage.taken if stage.taken else 0.0
    parts = [
        label(shorten(stage.name, 15, LEFT - 20), 0, top + 15, 15, class_="wk-ink", fill=INK),
        label(f"{stage.taken:,} in", 0, top + 34, 12.5, class_="wk-quiet", fill=QUIET),
        f'<rect class="kept-quiet" x="{LEFT}" y="{top:g}" width="{width}" height="{BAR:g}" fill="{BORDER}"/>'
        if not stage.taken
        else "",
    ]
    x = LEFT
    for position, n in enumerate(stage.out.values()):
        # Kinds of rows that leave the same stage differ in depth, with a hair between them.
        depth = max(0.35, 1 - 0.3 * position)
        parts.append(
            f'<rect class="kept" x="{x:.1f}" y="{top:g}" width="{max(n * scale - 1, 0):.1f}" height="{BAR:g}" '
            f'fill="{ACCENT}" fill-opacity="{depth:g}"/>'
        )
        x += n * scale
    if stage.dropped:
        wide = max(stage.dropped * scale, 2.0)
        parts.append(
            f'<rect class="dropped" x="{WIDTH - wide:.1f}" y="{top:g}" width="{wide:.1f}" height="{BAR:g}" '
            'fill="url(#funnel-hatch)"/>'
        )
    lost = f"{stage.dropped:,} dropped ({share(stage.dropped, stage.taken)})" if stage.dropped else "nothing dropped"
    parts.append(
        label(shorten(kept_line(stage), 12.5, width - 240), LEFT, top + 34, 12.5, class_="wk-quiet", fill=QUIET)
    )
    parts.append(label(lost, WIDTH - text_width(lost, 12.5), top + 34, 12.5, class_="wk-quiet", fill=QUIET))
    return "".join(parts)


def _wrong_form(key: str, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {error}"
    return DataError(f"manifest.json: {key} is not of the form that a build writes ({reason}). Build it again.")
