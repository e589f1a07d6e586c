"""All that decides the answers of a trained configuration, as a few digits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch

from segdistill.teachers.nnunet.checkpoint import Checkpoint
from segdistill.teachers.nnunet.preprocessing import VERSION
from segdistill.teachers.nnunet.results import Results


def identity_of(results: Results, weights: Sequence[str], *more: str) -> str:
    """Hexadecimal digits of plans, dataset, configuration, folds, checkpoint and what `weights` says of each fold."""
    told = {
        "plans": results.plans,
        "dataset": results.dataset,
        "configuration": results.configuration,
        "folds": list(results.folds),
        "checkpoint": results.checkpoint,
        "weights": list(weights),
        "preprocessing": VERSION,
        "more": more,
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def of_weights(checkpoint: Checkpoint) -> str:
    """Digits of a checkpoint's tensors and mirroring; what else the file holds (optimizer, log) does not count."""
    digest = hashlib.blake2b(repr(checkpoint.mirroring).encode(), digest_size=16)
    for name, tensor in sorted(checkpoint.weights.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
