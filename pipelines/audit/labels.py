"""Many labels found in a text in one pass."""

import re
from collections.abc import Iterable

# Scripts that put no space between words: there a letter is a word.
_LETTERS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
WORD = re.compile(rf"[{_LETTERS}]|[^\W{_LETTERS}]+")


class LabelFinder:
    """Finds labels as they are written, case and all, as whole words.

    One pass: at each word of a text, one look-up for each length that a label which begins with that word has.
    """

    def __init__(self, labels: Iterable[tuple[int, str]]) -> None:
        self._entities: dict[str, list[int]] = {}
        lengths: dict[str, set[int]] = {}
        for entity, label in labels:
            words = list(WORD.finditer(label))
            if words:
                core = label[words[0].start() : words[-1].end()]
                self._entities.setdefault(core, []).append(entity)
                lengths.setdefault(words[0][0], set()).add(len(core))
        self._lengths = {word: sorted(known) for word, known in lengths.items()}

    @property
    def entities(self) -> int:
        """Entities that can be found: those whose label has a word in it."""
        return sum(map(len, self._entities.values()))

    def find(self, text: str) -> set[int]:
        """The entities whose label is in the text; several entities may have one label."""
        found: set[int] = set()
        for word in WORD.finditer(text):
            for length in self._lengths.get(word[0], ()):
                label = text[word.start() : word.start() + length]
                entities, end = self._entities.get(label), word.start() + len(label)
                # The label's last word must end where the text's does.
                if entities is not None and WORD.match(text, end - 1).end() == end:  # type: ignore[union-attr]
                    found.update(entities)
        return found
