"""Both HTML pages in a headless Chromium with the network off: consoles, requests, boxes that overflow, screenshots.

    python -m benchmarks.ui [PAGE.html ...] [--demo DIR] [--chromium PATH] [--out DIR]

The pages are describe's of the demo's dataset and the demo's report, in the folder of a finished `wikiloom demo` (made
first if it is not there). Each is opened light and dark, on a telephone, a tablet and a wide screen, and as for print,
with everything unfolded. Screenshots are of these pages only; pages that are named are checked. Writes
results/ui/ui.json and exits 1 where something is wrong, or where there is no Chromium (Debian: apt-get install
chromium). The extra `bench` brings Playwright, which drives it.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.timing import RESULTS

ROOT = Path(__file__).parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS, HEIGHT = (390, 834, 1440), 900
PAPER = 673
"""Pixels of A4's width within the margins."""
SHOTS = (
    ("describe", "describe-wide-light", 1440, "light", None),
    ("describe", "describe-telephone-dark", 390, "dark", None),
    ("describe", "describe-distributions-dark", 1440, "dark", "Distributions"),
    ("report", "report-results-light", 1440, "light", "Results"),
    ("report", "report-runs-telephone-light", 390, "light", "Runs"),
)
"""(page, name, width, colour scheme, the heading that it begins with)."""

OVERFLOWING = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  const name = (node, why) => found.push(
    `${node.tagName.toLowerCase()} ${JSON.stringify(node.textContent.trim().slice(0, 40))}: ${why}`);
  const scrolls = node => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(node).overflowX);
  for (const node of document.body.querySelectorAll('*')) {
    const box = node.getBoundingClientRect(), drawing = node.closest('svg');
    if (!box.width || !box.height) continue;
    if (drawing) {
      const own = drawing.getBoundingClientRect();
      if (node.tagName === 'text' && (box.left < own.left - 1 || box.right > own.right + 1 || box.top < own.top - 1
          || box.bottom > own.bottom + 1)) name(node, 'text outside its drawing');
      continue;
    }
    let inside = false;
    for (let outer = node.parentElement; outer; outer = outer.parentElement) inside ||= scrolls(outer);
    if (!inside && (box.left < -1 || box.right > wide + 1)) name(node, `${box.left} to ${box.right} of ${wide}`);
    if (node.clientWidth && !scrolls(node) && node.scrollWidth > node.clientWidth + 1)
      name(node, `${node.scrollWidth} wide in a box of ${node.clientWidth}`);
  }
  return found;
}"""


def check(browser: Browser, path: Path, width: int, scheme: str, media: str = "screen") -> dict[str, Any]:
    """What is wrong with a page at a width: console messages, requests beyond the page itself, what overflows."""
    said, asked, address = [], [], path.resolve().as_uri()
    with browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, offline=True) as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url) if request.url != address else None)
        page.goto(address)
        page.emulate_media(media=media, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        problems = {"console": said, "requests": asked, "overflowing": page.evaluate(OVERFLOWING)}
        scripts = page.evaluate("document.scripts.length")
    if scripts:
        problems["scripts"] = [f"{scripts} script elements"]
    return {name: found for name, found in problems.items() if found}


def check_all(browser: Browser, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(setting, problems) of every width and scheme, and of print."""
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            yield f"{width} px, {scheme}", check(browser, path, width, scheme)
    yield "print", check(browser, path, PAPER, "light", "print")


def take(browser: Browser, path: Path, out: Path, width: int, scheme: str, heading: str | None) -> None:
    """A screenshot of one screen and a half, from the top or from a heading."""
    with browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, offline=True) as context:
        page: Page = context.new_page()
        page.goto(path.resolve().as_uri())
        top = page.get_by_role("heading", name=heading, exact=True).bounding_box()["y"] - 24 if heading else 0
        page.screenshot(path=out, full_page=True, clip={"x": 0, "y": top, "width": width, "height": 1.5 * HEIGHT})


def demo_pages(demo: Path) -> dict[str, Path]:
    """Describe's page of the demo's dataset, and its report; the demo runs first where it is not there."""
    report, page = demo / "report.html", demo / "describe.html"
    if not report.is_file():
        run("demo", "--out", str(demo))
    run("describe", str(demo / "dataset"), "--html", str(page))
    return {"describe": page, "report": report}


def run(*words: str) -> None:
    """A command of the console script."""
    subprocess.run([sys.executable, "-m", "wikiloom", *words], check=True, cwd=ROOT)


def find_chromium(named: str | None) -> str | None:
    """The program that is named, else one that is on the path."""
    found = (shutil.which(name) for name in ([named] if named else NAMES))
    return next((path for path in found if path), None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="*")
    parser.add_argument("--demo", type=Path, default=ROOT / "demo")
    parser.add_argument("--chromium")
    parser.add_argument("--out", type=Path, default=RESULTS / "ui")
    options = parser.parse_args(arguments)
    program = find_chromium(options.chromium)
    if program is None:
        where = options.chromium or "one of " + ", ".join(NAMES)
        print(f"error: no Chromium ({where}) is on the path. Install one; no page was checked.", file=sys.stderr)
        return 1
    pages = {path.name: path for path in options.pages} or demo_pages(options.demo.absolute())
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as whom containers run; the pages are the project's own.
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        document: dict[str, Any] = {"chromium": browser.version, "pages": {}}
        for name, path in pages.items():
            problems = dict(check_all(browser, path))
            document["pages"][name] = {"bytes": path.stat().st_size, "problems": problems}
            wrong = {setting: found for setting, found in problems.items() if found}
            print(f"{name}: {path.stat().st_size:,} bytes, {len(problems)} settings, {len(wrong)} with problems")
            for setting, found in wrong.items():
                print(f"  {setting}: {json.dumps(found, ensure_ascii=False)[:500]}")
        for name, shot, width, scheme, heading in () if options.pages else SHOTS:
            take(browser, pages[name], options.out / f"{shot}.png", width, scheme, heading)
        browser.close()
    (options.out / "ui.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(any(any(page["problems"].values()) for page in document["pages"].values()))


if __name__ == "__main__":
    sys.exit(main())
