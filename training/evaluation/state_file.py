"""What a long ranking has counted so far, on disk, so that one that was interrupted goes on."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from training.checkpoint import checkpoints

Array = np.ndarray
EVERY = 30.0
"""Seconds between two writes: a short ranking writes nothing."""
ALIKE = 1e-3
"""How far scores of the same model may lie apart, as a share of the largest."""


class StateFile:
    """Counts of N queries after some steps, in a file that names by a hash what is ranked and by which weights.

    Scores are its second guard: of code that has changed since, or of a model that has no weights in a file.
    """

    def __init__(self, path: Path, by: bytes = b"") -> None:
        """`by` tells the model, and whatever else the ranking itself does not see, from others."""
        self._path, self._by, self._written = path, by, time.monotonic()
        self._of, self._scores, self._counts = "", np.empty(0), np.empty((0, 0), np.int64)

    def among(self, candidates: Int64[Array, " C"]) -> "StateFile":
        """The same file for a ranking of these candidates alone."""
        return StateFile(self._path, self._by + b"among" + candidates.tobytes())

    def resume(self, of: bytes, scores: Float64[Array, " S"], counts: Int64[Array, "R N"]) -> int:
        """The steps that are done of what `of` says is ranked, with the counts filled in; 0 where nothing is known of
        it, or where another model gave other `scores`, by more than a device's sums differ. The counts are kept, to
        be written as they are then."""
        from safetensors import SafetensorError, safe_open

        self._of, self._scores, self._counts = hashlib.sha256(self._by + b"\n" + of).hexdigest(), scores, counts
        if not self._path.is_file():
            return 0
        try:
            with safe_open(self._path, "numpy") as file:
                told, found, before = file.metadata() or {}, file.get_tensor("counts"), file.get_tensor("scores")
        except (SafetensorError, OSError):
            return 0
        if told.get("of") != self._of or found.shape != counts.shape or before.shape != scores.shape:
            return 0
        if np.abs(before - scores).max(initial=0.0) > ALIKE * np.abs(scores).max(initial=0.0):
            return 0
        counts[:] = found
        return int(told["done"])

    def save(self, done: int) -> None:
        """Write the counts after so many steps, unless that was done less than EVERY seconds ago."""
        from safetensors.numpy import save

        if time.monotonic() - self._written < EVERY:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._unfinished
        # Its save_file writes under a name of chance first, which a kill would leave beside the results for good.
        temporary.write_bytes(
            save({"counts": self._counts, "scores": self._scores}, {"of": self._of, "done": str(done)})
        )
        os.replace(temporary, self._path)
        self._written = time.monotonic()

    def remove(self) -> None:
        """What was counted is used; what a kill left half-written goes with it."""
        for path in (self._path, self._unfinished):
            path.unlink(missing_ok=True)

    @property
    def _unfinished(self) -> Path:
        return self._path.with_name(f"{self._path.name}.tmp")


def weights_digest(run: Path) -> str:
    """sha256 of a run's config and weights: those of its newest checkpoint, or a baseline's."""
    whole, newest = hashlib.sha256(), checkpoints(run)[-1:]
    inside = [path for folder in newest for pattern in ("model/*", "memory-*") for path in folder.glob(pattern)]
    for path in (run / "config.toml", *sorted(run.glob("*.safetensors")), *sorted(inside)):
        if path.is_file():
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
