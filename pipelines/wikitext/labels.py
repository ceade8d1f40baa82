"""What a reader sees of a link that is not [[plain]] or [[plain|with a label]]."""

import re

from pipelines.wikitext.entities import decode
from pipelines.wikitext.marks import shield
from pipelines.wikitext.site import PROTOCOL, percent_decode

_EXTERNAL = re.compile(rf"\s*{PROTOCOL}\S*\s*(.*)", re.DOTALL)
_PIPE_TRICK = re.compile(r"^:?(?:[^:|]{1,60}:)?(.*?)(?: ?\([^()]*\)|, .*)?$", re.DOTALL)


def visible_text(target: str, label: str | None) -> str:
    """Of [[target|label]]; without a label the target, decoded; with an empty one what stands for [[Paris, Texas|]]."""
    if label is None:
        shown = target.strip().removeprefix(":")
        decoded = percent_decode(shown)
        return shield(decode(decoded)) if decoded != shown and decoded.isprintable() else shown
    if not label:
        match = _PIPE_TRICK.match(target.strip())
        return match[1] if match else target
    return label


def external_text(target: str, label: str | None) -> str:
    """Of [[http://address label]], as MediaWiki reads it: an external link in brackets."""
    match = _EXTERNAL.match(target if label is None else f"{target}|{label}")
    return match[1] if match else ""
