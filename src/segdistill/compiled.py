"""Expressions over large tensors in one pass over memory, where the machine has a compiler."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

LARGE = 1 << 22
"""Elements from which on a few seconds of compiling are soon won back."""


def compiled(expression: Callable[..., Tensor], size: Tensor, *arguments: Any) -> Tensor | None:
    """expression(*arguments) as one loop in machine code (`torch.compile`); None where that is not to be had.

    PyTorch goes over memory once for each operation, and on a CPU that is most of what sums and products of maps at
    full resolution cost. Compiling takes some seconds, once on a machine. It needs a C++ compiler: where it fails,
    that is said once, and the caller goes the slower way. TORCH_COMPILE_DISABLE=1 goes that way from the start.

    Args:
        size: what is gone over: compiled are expressions over at least `LARGE` elements on a CPU.
    """
    off = (
        os.environ.get("TORCH_COMPILE_DISABLE") == "1"
    )  # PyTorch would then go over all at once, not in pieces
    if size.device.type != "cpu" or size.numel() < LARGE or failed or off:
        return None
    try:
        with warnings.catch_warnings():  # PyTorch's compiler uses what PyTorch no longer likes
            warnings.simplefilter("ignore", DeprecationWarning)
            return _made(expression)(*arguments)
    # Compilers fail in many ways; were it the numbers that are wrong, the other way would tell.
    except Exception as error:
        failed.append(error)
        why = next(iter(str(error).strip().splitlines()), "")
        warnings.warn(
            f"PyTorch could not compile an expression ({type(error).__name__}: {why}), "
            "so steps take longer than they need to; install a C++ compiler (g++ or clang), or set "
            "TORCH_COMPILE_DISABLE=1 to be told no more",
            stacklevel=2,
        )
        return None


failed: list[Exception] = []
"""Why nothing is compiled any more in this process."""


@cache
def _made(expression: Callable[..., Tensor]) -> Callable[..., Tensor]:
    # One thread, as the others would be processes that stay until training ends.
    return torch.compile(expression, dynamic=True, options={"compile_threads": 1})
