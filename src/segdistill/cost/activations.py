"""Memory that the tensors of a forward pass hold at their peak: counted, so it is the same on every machine."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Activations(TorchDispatchMode):
    """While active, `peak` is the largest sum of bytes of the tensors that operations made and that were alive at once.

    Views share their bytes; `weights`, and views of them, are left out. What an operation needs inside itself (the
    workspace of a convolution) is not seen.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._weights = {_key(tensor) for tensor in weights}
        self._alive: Counter[int] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and take note of what it returns."""
        output = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and _key(tensor) not in self._weights:
                self._see(tensor)
        return output

    def _see(self, tensor: Tensor) -> None:
        key, size = _key(tensor), tensor.untyped_storage().nbytes()
        if not self._alive[key]:
            self._now += size
            self.peak = max(self.peak, self._now)
        self._alive[key] += 1
        weakref.finalize(tensor, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive[key] -= 1
        if not self._alive[key]:
            self._now -= size


def _key(tensor: Tensor) -> int:
    """What tensors that share their memory have in common."""
    return int(StorageWeakRef(tensor.untyped_storage()).cdata)
