"""How fast a run goes, for its log: none of it enters a decision."""

import resource
import sys
import time
from pathlib import Path

import torch

PEAK_TFLOPS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "V100": 125.0,
}
"""Dense 16-bit matrix products of a device, 10^12 operations a second, by a part of its name; from the data sheets."""


class Meter:
    """What was done between two lines of the log, over all ranks, and how long it took; other work does not count."""

    def __init__(self, device: torch.device, world: int, peak_tflops: float) -> None:
        """`peak_tflops` of each device; 0 for what is known of it."""
        self._peak = world * 1e12 * (peak_tflops or _known_peak(device))
        self._device = device
        self._forget()

    def step(self, samples: int, tokens: int, flops: int, seconds: float, waited: float) -> None:
        """One step: its samples, tokens (nodes of a graph) and floating-point operations, how long it took in all, and
        how long of that the loader was waited for."""
        self._samples += samples
        self._tokens += tokens
        self._flops += flops
        self._seconds += seconds
        self._waited += waited

    def line(self) -> dict[str, float]:
        """Rates a second since the last line, the share of time that was spent waiting, peak memory of this rank."""
        seconds = max(self._seconds, 1e-9)
        found = {
            "speed/samples": self._samples / seconds,
            "speed/tokens": self._tokens / seconds,
            "speed/tflops": self._flops / seconds / 1e12,
            "speed/loader_wait": self._waited / seconds,
            "speed/memory_mb": peak_memory(self._device) / 1e6,
        }
        if self._peak:
            found["speed/mfu"] = self._flops / seconds / self._peak
        self._forget()
        return {name: float(f"{value:.4g}") for name, value in found.items()}

    def _forget(self) -> None:
        self._samples = self._tokens = self._flops = 0
        self._seconds = self._waited = 0.0


def peak_memory(device: torch.device) -> int:
    """Bytes: of a CUDA device what was allocated at most, else what the process had at most."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage's: that begins at the peak of the process that started this one.
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _known_peak(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), 0.0)


class Clock:
    """Seconds since its last reading."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def read(self) -> float:
        """The seconds, counted anew from now on."""
        last, self._last = self._last, time.monotonic()
        return self._last - last
