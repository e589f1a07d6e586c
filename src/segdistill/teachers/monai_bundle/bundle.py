"""MONAI bundles as teachers: what a recipe may say of one, and how it is opened."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import monai
import torch
from pydantic import Field
from torch import nn

from segdistill.checkpoint import load_weights
from segdistill.cost.meta import without_data
from segdistill.digests import of_files
from segdistill.errors import SegdistillError
from segdistill.networks.stages import first_output
from segdistill.teachers.monai_bundle.folder import (
    METADATA,
    code_files,
    config_file,
    read,
    refuse_code,
    weights_file,
)
from segdistill.teachers.monai_bundle.loading import without_loading
from segdistill.teachers.monai_bundle.metadata import Metadata
from segdistill.teachers.monai_bundle.opened import OpenedBundle
from segdistill.teachers.monai_bundle.preprocessing import Preprocessing
from segdistill.teachers.monai_bundle.resolving import Resolver
from segdistill.teachers.monai_bundle.stages import name_monai_stages
from segdistill.teachers.monai_bundle.weights import read_weights
from segdistill.teachers.source import Source

Voxels = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class MonaiBundle:
    """A MONAI bundle (https://docs.monai.io/en/stable/mb_specification.html) as a teacher.

    Opening one runs code of its config and scripts, so it needs `--trust`. Of the config only the network and the
    preprocessing are made; of the preprocessing the steps that read files are left out. The weights are read as
    tensors, never unpickled. The network's output is taken as logits: a network that ends in a softmax or sigmoid
    of its own teaches flat answers, which cannot be known from outside.

    Attributes:
        config: name of the config in `configs/`.
        network: name of the network there, before it is put on a device.
        preprocessing: name of the transforms there.
        patch_size: voxels of a window; by default the `roi_size` of the config's `inferer`, else the input's size
            in the metadata.
        weights: the state dict's file in the bundle.
    """

    config: Annotated[str, Field(min_length=1)] = "inference"
    network: Annotated[str, Field(min_length=1)] = "network_def"
    preprocessing: Annotated[str, Field(min_length=1)] = "preprocessing"
    patch_size: Annotated[tuple[Voxels, ...], Field(min_length=2, max_length=3)] | None = None
    weights: Annotated[str, Field(min_length=1)] = "models/model.pt"

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether `path` is the folder of a bundle."""
        return (path / METADATA).is_file()

    def open(self, path: Path, *, trust: bool = False) -> Source:
        """The teacher in the folder `path`.

        Args:
            trust: its code may run.

        Raises:
            SegdistillError: it is not trusted, something is missing or does not fit; what and where is named.
        """
        if not self.recognises(path):
            raise SegdistillError(f"{path} is no MONAI bundle: it has no {METADATA}")
        path = path.resolve()
        told = read(path / METADATA)
        metadata = Metadata.of(told, path / METADATA)
        config = config_file(path, self.config)
        content = read(config)
        if not trust:
            refuse_code(path, config, content)
        weights = weights_file(path, self.weights)
        resolver = Resolver(path, config, told, metadata.monai_version)
        resolver.need(self.network, "the network", "network")
        resolver.need(self.preprocessing, "the transforms before it", "preprocessing")
        network = _network(resolver, self.network)
        load_weights(network, read_weights(weights), weights)
        network.eval().requires_grad_(False)
        digest = self._digest(resolver, weights)
        loaded = without_loading(resolver, self.preprocessing, metadata)
        window = self._window(resolver, metadata, network)
        outputs = _named_and_counted(network, metadata, window, path)
        return OpenedBundle(
            bundle=str(path),
            channels=metadata.channels,
            classes=metadata.classes,
            regions=metadata.regions,
            network=network,
            preprocessing=Preprocessing(loaded, str(path)),
            in_channels=metadata.in_channels,
            out_channels=outputs,
            window=window,
            digest=digest,
        )

    def _window(self, resolver: Resolver, metadata: Metadata, network: nn.Module) -> tuple[int, ...]:
        """Voxels of a window, from the settings, the config or the metadata."""
        if self.patch_size is not None:
            return self.patch_size
        inferer = resolver.raw("inferer")
        told: Any = None
        if isinstance(inferer, dict) and inferer.get("roi_size") is not None:
            told = resolver.make("inferer::roi_size")
            if isinstance(told, int):
                told = [told] * (len(metadata.window) if metadata.window else _space(network))
        if isinstance(told, list | tuple) and all(type(n) is int and n > 0 for n in told):
            return tuple(told)
        if told is None and metadata.window is not None:
            return metadata.window
        raise SegdistillError(
            f"{resolver.config}: the size of a window is not said in numbers (inferer::roi_size is {told!r}, the "
            "metadata's spatial_shape has none either); say it: source={type: monai_bundle, patch_size: [96, 96, 96]}"
        )

    def _digest(self, resolver: Resolver, weights: Path) -> str:
        state = hashlib.blake2b(digest_size=16)
        state.update(json.dumps(["monai_bundle", monai.__version__, asdict(self)]).encode())
        for name in (self.network, self.preprocessing):
            state.update(resolver.text(name).replace(str(resolver.folder), ".").encode())
        code = {str(file.relative_to(resolver.folder)): file for file in code_files(resolver.folder)}
        state.update(of_files({"": weights, **code}).encode())
        return state.hexdigest()


def _network(resolver: Resolver, name: str) -> nn.Module:
    network = resolver.make(name)
    if not isinstance(network, nn.Module):
        raise SegdistillError(
            f"{resolver.config}: {name} is {type(network).__name__}, which is no torch.nn.Module"
        )
    return network


def _space(network: nn.Module) -> int:
    """Axes of the first convolution; 3 where there is none."""
    first = next((m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd)), None)
    return 3 if first is None else len(first.kernel_size)


def _named_and_counted(network: nn.Module, metadata: Metadata, window: tuple[int, ...], path: Path) -> int:
    """Name the network's stages; the number of its output channels, which must be the metadata's."""
    inputs = metadata.in_channels or 1
    counted: list[int] = []

    def count(_: nn.Module, __: Any, output: Any) -> None:
        logits = first_output(output)
        if tuple(logits.shape[2:]) != window:
            raise ValueError(f"it returns {tuple(logits.shape)}, not logits for each voxel")
        counted.append(logits.shape[1])

    handle = network.register_forward_hook(count)
    try:
        try:
            with without_data(network):  # sizes are all that is asked for
                name_monai_stages(network, torch.empty(1, inputs, *window, device="meta"))
        except ValueError:  # some operation needs values
            name_monai_stages(network, torch.zeros(1, inputs, *window))
    except ValueError as error:
        raise SegdistillError(
            f"{path}: the network does not run on a window of {list(window)} ({math.prod(window):,} voxels) and "
            f"{inputs} channels: {error}. Another window is said by source={{type: monai_bundle, patch_size: [...]}}"
        ) from error
    finally:
        handle.remove()
    names = metadata.outputs
    if names is not None and counted and len(names) != counted[-1]:
        raise SegdistillError(
            f"{path / METADATA}: channel_def names {len(names)} outputs ({', '.join(names)}), the network gives "
            f"{counted[-1]}; mend it, as the order of the classes follows from it"
        )
    return counted[-1]
