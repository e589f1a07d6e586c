"""Where networks run when nothing trains."""

from __future__ import annotations

import torch

from segdistill.errors import SegdistillError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is a GPU where there is one, else the CPU.

    Raises:
        SegdistillError: this machine has no such device.
    """
    there = ["cpu", *["mps"] * torch.backends.mps.is_available(), *["cuda"] * torch.cuda.is_available()]
    there += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device("cuda" if "cuda" in there else "cpu")
    if name not in there:
        raise SegdistillError(
            f"--device {name}: there is none on this machine; choose from {', '.join(there)}"
        )
    return torch.device(name)
