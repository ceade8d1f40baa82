"""Readers: files -> raw records, in planned byte ranges."""

from typing import NamedTuple


class Truncated(Exception):
    """Compressed data ends too early, or is damaged; what could be decoded before it has been given."""


class Reject(NamedTuple):
    """A record that could not be read; a row of `rejects`. Nothing in it depends on where the input lies or how it
    was cut into ranges."""

    stage: str
    """wikipedia | wikidata | redirect_list | page_props"""
    key: str
    """Title, page id or entity where one could be read, else empty."""
    reason: str
    """Short name: truncated, malformed_xml, page_too_large, invalid_json, ..."""
    detail: str
    """What was found."""


CUT = "the input is cut or damaged here; records up to the next readable part are lost"
"""Detail of every reject with the reason `truncated`: one per place of damage, however the input is split."""
