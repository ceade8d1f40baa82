"""A JSON document that says whether it is as it was written: its last entry is the sha256 of all before it.

For integrity only: who changes the document can seal it again.
"""

import hashlib
import json
import re
from typing import Any

_END = re.compile(rb',\n "seal": "([0-9a-f]{64})"\n}\n\Z')


def sealed(document: dict[str, Any]) -> str:
    """The document as JSON, with its seal."""
    text = json.dumps(document, indent=1, ensure_ascii=False).removesuffix("\n}")
    return f'{text},\n "seal": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'


def is_sealed(data: bytes) -> bool:
    """Whether the bytes of such a document are those that were written."""
    end = _END.search(data)
    return end is not None and hashlib.sha256(data[: end.start()]).hexdigest().encode() == end[1]
