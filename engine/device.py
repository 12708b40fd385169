"""Where tensors live and how the processor is used: chosen once per process, never at import."""

from __future__ import annotations

import ctypes
import functools
import sys

import torch

# glibc's mallopt parameters (malloc.h). By default each large tensor is mapped and unmapped anew, and page faults
# take half of the time on a CPU (docs/log.md); with these, freed memory stays with the process, for all its threads:
# the backward pass runs in a thread of its own.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the C allocator to keep freed memory for reuse. True where that is possible (glibc)."""
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 256 * 2**20), (_M_ARENA_MAX, 1))
        return all(libc.mallopt(parameter, value) for parameter, value in settings)
    except (OSError, AttributeError):
        return False


def choose_device(name: str = "auto") -> torch.device:
    """'auto' is CUDA where there is one, else the CPU; else any torch device string.

    Raises ValueError when the named device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} asked for, but this torch sees no CUDA GPU; use --device cpu or auto")
    if device.type == "cpu":
        keep_freed_memory()
    return device
