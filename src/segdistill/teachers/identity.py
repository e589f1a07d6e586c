"""A fingerprint of a network: of its weights, and of what it answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.evaluation.sliding_window import evaluating
from segdistill.networks.stages import catch, first_output

PROBED = 64
"""Values of an answer that are looked at."""
COARSE = 0.05
"""Step to which they are rounded, in standard deviations: other machines and threads compute the last digits anew."""


def of_network(network: nn.Module, channels: int, window: Sequence[int], stages: Sequence[str] = ()) -> str:
    """32 hexadecimal digits of a network's weights, its structure, and its answer to noise.

    The answer tells what no weight does: a `forward` that was changed, a temperature that is a plain attribute, another
    version of a library. It is rounded to a twentieth of its spread, so that the same network has one fingerprint
    on every machine; a change smaller than that, with the same weights and structure, is not seen.

    Args:
        channels, window: the network sees (1, channels, *window).
        stages: whose maps are part of the answer.
    """
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    structure = f"{type(network).__module__}.{type(network).__qualname__} {network}"
    digest.update(re.sub(r" at 0x[0-9a-f]+", "", structure).encode())  # where things lie in memory
    noise = torch.randn(1, channels, *window, generator=torch.Generator().manual_seed(0))
    parameter = next(network.parameters(), None)
    with evaluating(network), torch.no_grad(), catch(network, stages) as maps:
        logits = first_output(network(noise if parameter is None else noise.to(parameter.device)))
    answers = {"logits": logits, **maps}
    digest.update(json.dumps({name: coarse(each) for name, each in sorted(answers.items())}).encode())
    return digest.hexdigest()


def tells_nothing(network: nn.Module) -> bool:
    """Whether a network has no weights and says nothing of itself: a few values of its answer are then too little."""
    return not network.state_dict() and not any(module.extra_repr() for module in network.modules())


def coarse(answer: Tensor) -> dict[str, Any]:
    """A few values of an answer, rounded, and the step to which they were."""
    flat = answer.detach().double().cpu().flatten()
    chosen = flat[torch.linspace(0, len(flat) - 1, min(PROBED, len(flat))).long()]
    if not len(chosen) or not bool(chosen.isfinite().all()):
        return {"shape": list(answer.shape), "values": "no numbers"}
    # Where hardly anything differs, by its size: below a thousandth of that lie the last digits.
    spread = max(float(chosen.std(correction=0)), float(chosen.abs().max()) / 1000)
    exponent = round(math.log2(COARSE * spread)) if spread > 0 else 0
    values = (chosen / 2.0**exponent).round().long().tolist()
    return {"shape": list(answer.shape), "exponent": exponent, "values": values}


def of_text(*parts: Any) -> str:
    """32 hexadecimal digits of values as JSON writes them."""
    return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
