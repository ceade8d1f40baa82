"""What a format's reader says of a folder, in a form that tests can compare."""

from collections import Counter

from pipelines.importing.config import reader
from pipelines.sources.published import Published


class Read:
    """A folder as the reader of its format sees it."""

    def __init__(self, format, folder):
        self.source = reader(format)(format, Published(folder))
        splits = {"train": 0, "valid": 1, "test": 2}
        rows = self.source.examples.to_pylist()
        self.rows = sorted(rows, key=lambda row: (splits[row["split"]], row["example_id"].encode()))
        self.rejects = [(row["stage"], row["key"], row["reason"]) for row in self.source.rejects.to_pylist()]
        self.counts = {name: (count.lines, dict(count.drops)) for name, count in self.source.ledger.counts.items()}
        whole = [count for count in self.source.ledger.counts.values() if count.what == "examples"]
        self.read, self.out = sum(count.lines for count in whole), sum(count.out for count in whole)
        assert self.out == len(rows), "in = out + drops"
        dropped = sum(
            (
                Counter({(n, r): k for r, k in count.drops.items()})
                for n, count in self.source.ledger.counts.items()
                if count.what == "examples"
            ),
            Counter(),
        )
        assert dropped == Counter((stage, reason) for stage, _, reason in self.rejects), "every drop is a reject"

    def told(self, what, name):
        """id -> what is said under this name of entities or relations."""
        (told,) = [told for told in getattr(self.source, what) if told.name == name]
        return dict(zip(told.ids.to_pylist(), told.values.to_pylist(), strict=True))


def surfaces(row):
    """(role, entity, text) of a row's mentions."""
    return [(m["role"], m["entity"], row["text"][m["start"] : m["end"]]) for m in row["mentions"]]
