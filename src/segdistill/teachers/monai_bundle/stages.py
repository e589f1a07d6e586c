"""Stages of MONAI's own networks, as they come from a bundle or a checkpoint; of any other network by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from monai.networks.layers import SkipConnection
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from monai.networks.nets.unetr import UNETR
from monai.networks.nets.vnet import VNet
from torch import Tensor, nn

from segdistill.networks.attention_unet import below
from segdistill.networks.naming import Map, name_measured, name_stages_by_shape
from segdistill.networks.stages import Reading


def name_monai_stages(network: nn.Module, example: Tensor) -> nn.Module:
    """Name the stages of a network and return it: MONAI's by its modules, any other by the shapes of its maps.

    Names are those that this project's networks of the same kind have; strides are measured, so that any settings do.
    In `UNet` the first map is already halved, and `decoder/1`, where it has residual units, is as narrow as the output.

    Args:
        example: (batch, channel, *window), one input of the size that the network is used at, where it is.

    Raises:
        ValueError: the network cannot run on the example.
    """
    listed = TABLES.get(type(network))
    if listed is None:
        return name_stages_by_shape(network, example)
    paths = {module: path for path, module in network.named_modules()}
    maps = [Map(side, paths[module], reading, node) for side, module, reading, node in listed(network)]
    return name_measured(network, example, maps)


Entry = tuple[Literal["encoder", "decoder"], nn.Module, Reading | None, str]


def _sides(encoder: Iterable[nn.Module], decoder: Iterable[nn.Module]) -> list[Entry]:
    down: list[Entry] = [("encoder", module, None, "") for module in encoder]
    return [*down, *(("decoder", module, None, "") for module in decoder)]


def _unet(network: Any) -> list[Entry]:
    encoder: list[Any] = []
    decoder: list[Any] = []
    level = network.model
    while isinstance(level, nn.Sequential) and len(level) == 3 and isinstance(level[1], SkipConnection):
        encoder.append(level[0])
        decoder.append(level[2])
        level = level[1].submodule
    top = decoder.pop(0)  # makes the logits; with residual units in a second step
    last = [top[0]] if network.num_res_units else []
    return _sides([*encoder, level], [*reversed(decoder), *last])


def _basic_unet(network: Any) -> list[Entry]:
    down = (network.conv_0, network.down_1, network.down_2, network.down_3, network.down_4)
    return _sides(down, (network.upcat_4, network.upcat_3, network.upcat_2, network.upcat_1))


def _segresnet(network: Any) -> list[Entry]:
    return _sides(network.down_layers, network.up_layers)


def _dynunet(network: Any) -> list[Entry]:
    return _sides([network.input_block, *network.downsamples, network.bottleneck], network.upsamples)


def _vnet(network: Any) -> list[Entry]:
    down = (network.in_tr, network.down_tr32, network.down_tr64, network.down_tr128, network.down_tr256)
    return _sides(down, (network.up_tr256, network.up_tr128, network.up_tr64, network.up_tr32))


def _attention_unet(network: Any) -> list[Entry]:
    block, layer, _ = network.model
    encoder: list[nn.Module] = [block]
    decoder: list[Entry] = []
    while layer is not None:
        decoder = [("decoder", layer.attention, None, "gated"), ("decoder", layer.merge, None, ""), *decoder]
        block, layer = below(layer)
        encoder.append(block)
    return [*_sides(encoder, ()), *decoder]


def _unetr(network: Any) -> list[Entry]:
    def tokens_to_map(output: tuple[Tensor, list[Tensor]]) -> Tensor:
        return output[0].transpose(1, 2).unflatten(2, tuple(network.feat_size))

    down = (network.encoder1, network.encoder2, network.encoder3, network.encoder4)
    up = (network.decoder5, network.decoder4, network.decoder3, network.decoder2)
    return [("encoder", network.vit, tokens_to_map, ""), *_sides(down, up)]


def _swin_unetr(network: Any) -> list[Entry]:
    def raw(index: int, node: str) -> Entry:
        return "encoder", network.swinViT, lambda maps: maps[index], node

    skips = (network.encoder1, network.encoder2, network.encoder3, network.encoder4)
    up = (network.decoder5, network.decoder4, network.decoder3, network.decoder2, network.decoder1)
    stages = [raw(index, "stage") for index in range(5)]
    return [*stages, *_sides(skips, ()), raw(3, ""), *_sides((network.encoder10,), up)]


TABLES: dict[type[nn.Module], Callable[[Any], list[Entry]]] = {
    UNet: _unet,
    BasicUNet: _basic_unet,
    SegResNet: _segresnet,
    DynUNet: _dynunet,
    VNet: _vnet,
    AttentionUnet: _attention_unet,
    UNETR: _unetr,
    SwinUNETR: _swin_unetr,
}
