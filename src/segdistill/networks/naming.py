"""Names for the feature maps of a network that has none: what a map is called follows from its measured size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segdistill.networks.stages import Reading, first_output, name_stages

# What lays channels before space, and what lays them last. Anything else (activations, dropout) changes neither.
CHANNELS_FIRST: tuple[type[nn.Module], ...] = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.Upsample,
)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.MultiheadAttention)


@dataclass(frozen=True)
class Map:
    """A feature map that is to get a name.

    Attributes:
        side: where it lies.
        path: the submodule whose output it is.
        reading: how to read a (batch, channel, *space) map from that output, where it is none yet.
        node: an addition to the name; '' for the map that is to have the bare name.
    """

    side: Literal["encoder", "decoder"]
    path: str
    reading: Reading | None = None
    node: str = ""


def name_measured(network: nn.Module, example: Tensor, maps: Sequence[Map]) -> nn.Module:
    """Name the maps of which side and module are known by the stride that they have, and return the network.

    The stride in a name is that of the axis of the largest; of several maps of one side, stride and node the last has
    the plain name and the others carry their place among the side's (`encoder/4/stage2`). Maps that are no whole part
    of the input get no name.

    Args:
        example: (batch, channel, *window), one input of the size that the network is used at, where it is.
        maps: in forward order.

    Raises:
        ValueError: the network cannot run on the example, or runs without one of the modules.
    """
    modules = dict(network.named_modules())
    sizes: dict[int, tuple[int, ...]] = {}
    with _hooked() as handles:
        for number, known in enumerate(maps):

            def hook(_: nn.Module, __: Any, output: Any, number: int = number) -> None:
                reading = maps[number].reading
                sizes[number] = tuple((output if reading is None else reading(output)).shape)

            handles.append(modules[known.path].register_forward_hook(hook))
        _run(network, example)
    if silent := [known.path for number, known in enumerate(maps) if number not in sizes]:
        raise ValueError(f"{type(network).__name__} ran without {', '.join(silent)}")
    found = [(known, _stride(sizes[n], tuple(example.shape))) for n, known in enumerate(maps)]
    return _named(network, [(known, max(stride)) for known, stride in found if stride is not None])


def name_stages_by_shape(network: nn.Module, example: Tensor) -> nn.Module:
    """Name the feature maps of any network by what their sizes tell, and return the network.

    One forward pass with a hook on every submodule. An output (batch, channel, *space) whose space is a whole part of
    the input's is a map; up to the last map of the largest stride it is the encoder's, after that the decoder's. Of
    each side and stride the last map is named, before the output convolution: a block's, where there is one, rather
    than a single layer's, and one of the logits' width on the way up only where a stride has nothing else.

    Left out are outputs of one voxel (global pooling), modules that run more than once, and token sequences. A map
    with the channels last looks like one with the channels first where the sizes allow it; it is known by the layer
    that made it (a linear layer or a layer norm). A module that turns a convolution's map around by itself can be
    mistaken, if a convolution elsewhere has a map of that very shape: name such a network by `name_stages`.

    Args:
        example: (batch, channel, *window), one input of the size that the network is used at, where it is.

    Raises:
        ValueError: the network cannot run on the example, or returns no logits.
    """
    outputs, logits = _outputs(network, example)
    strides = [(path, shape, _stride(shape, tuple(example.shape))) for path, shape in outputs]
    maps = [
        (path, shape, stride)
        for path, shape, stride in strides
        if stride is not None and math.prod(shape[2:]) > 1
    ]
    deepest = max((math.prod(stride) for _, _, stride in maps), default=1)
    turn = max((i for i, (_, _, stride) in enumerate(maps) if math.prod(stride) == deepest), default=-1)
    layers = [issubclass(_layer(network.get_submodule(path)), CHANNELS_FIRST) for path, _, _ in maps]
    out = max((i for i, (_, shape, _) in enumerate(maps) if layers[i] and shape == logits), default=turn)
    best: dict[tuple[bool, tuple[int, ...]], tuple[bool, bool, int]] = {}
    for i, (path, shape, stride) in enumerate(maps):
        after = i > turn
        if not after or i < out or shape != logits:
            block = any(True for _ in network.get_submodule(path).children())
            rank = (not after or shape[1] != logits[1], block, i)
            best[after, stride] = max(rank, best.get((after, stride), rank))
    chosen = sorted((i, max(stride)) for (_, stride), (_, _, i) in best.items())
    return _named(
        network, [(Map("encoder" if i <= turn else "decoder", maps[i][0]), stride) for i, stride in chosen]
    )


def _named(network: nn.Module, maps: Sequence[tuple[Map, int]]) -> nn.Module:
    """Give each map its name; `maps` with their largest strides, in forward order."""
    ordered = [entry for side in ("encoder", "decoder") for entry in maps if entry[0].side == side]
    last = {(known.side, stride, known.node): known for known, stride in ordered}
    names: dict[str, str | tuple[str, Reading]] = {}
    count: Counter[str] = Counter()
    for known, stride in ordered:
        node = known.node
        if last[known.side, stride, node] is not known:
            node = f"{node}{count[known.side]}" if node else f"stage{count[known.side]}"
        count[known.side] += 1
        value = known.path if known.reading is None else (known.path, known.reading)
        names[f"{known.side}/{stride}" + f"/{node}" * bool(node)] = value
    return name_stages(network, names)


def _stride(shape: tuple[int, ...], example: tuple[int, ...]) -> tuple[int, ...] | None:
    """Voxels of the input that one of a map covers, along each axis; None where it is no map of whole strides."""
    if len(shape) != len(example) or shape[0] != example[0] or 0 in shape:
        return None
    if any(n % m for n, m in zip(example[2:], shape[2:], strict=True)):
        return None
    return tuple(n // m for n, m in zip(example[2:], shape[2:], strict=True))


def _outputs(
    network: nn.Module, example: Tensor
) -> tuple[list[tuple[str, tuple[int, ...]]], tuple[int, ...]]:
    """Path and shape of all outputs that can be maps, in the order in which they were made; the logits' shape."""
    paths = {module: path for path, module in network.named_modules()}
    made: list[tuple[nn.Module, tuple[int, ...]]] = []
    runs: Counter[nn.Module] = Counter()
    first: set[tuple[int, ...]] = set()  # shapes that a layer with the channels first took or gave
    within: list[bool | None] = [
        None
    ]  # whether the last layer inside each running module had the channels first

    def before(_: nn.Module, __: Any) -> None:
        within.append(None)

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        inside, shapes = within.pop(), [tuple(x.shape) for x in (*inputs, output) if isinstance(x, Tensor)]
        layer = _layer(module)
        if issubclass(layer, CHANNELS_FIRST):
            inside = True
            first.update(shapes)
        elif layer in CHANNELS_LAST and any(len(shape) > 2 for shape in shapes):
            inside = False
        within[-1] = within[-1] if inside is None else inside
        runs[module] += 1
        if isinstance(output, Tensor) and inside and paths[module]:
            made.append((module, tuple(output.shape)))

    with _hooked() as handles:
        for module in paths:
            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        logits = first_output(_run(network, example))
    maps = [(paths[module], shape) for module, shape in made if runs[module] == 1 and shape in first]
    return maps, tuple(logits.shape)


@contextmanager
def _hooked() -> Iterator[list[Any]]:
    """A list of handles, whose hooks are gone after the block."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


def _run(network: nn.Module, example: Tensor) -> Any:
    """What the network returns in eval mode, without gradients; each module is given its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            return network(example)
    except Exception as error:  # any network, any reason
        raise ValueError(
            f"{type(network).__name__} cannot run on an input of {tuple(example.shape)}: {error}"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode


def _layer(module: nn.Module) -> type:
    """Its class; for a module that torch.export brought back, the class of torch.nn that it was."""
    told = getattr(module, "type_name", None)
    name = str(told()) if callable(told) else ""
    own = type(module)
    return getattr(nn, name.rpartition(".")[2], own) if name.startswith("torch.nn.") else own
