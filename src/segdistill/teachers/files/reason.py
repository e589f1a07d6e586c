"""The reason in an error of another library, for a message of one line."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """The last line of what it says, where PyTorch's and onnxruntime's errors have the reason; else its kind."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
