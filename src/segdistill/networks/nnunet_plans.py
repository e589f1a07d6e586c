"""From nnU-Net v2's plans.json to the network it describes, as a part of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# nnU-Net's class -> (our network, its setting for the depth of the encoder).
CLASSES = {
    "PlainConvUNet": ("nnunet_plain", "n_conv_per_stage"),
    "ResidualEncoderUNet": ("nnunet_residual", "n_blocks_per_stage"),
}
PACKAGE = "dynamic_network_architectures."
# Further arguments of nnU-Net's classes, with the values that mean what our networks do.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "dropout_op": (None,),
    "nonlin_first": (False, None),
    "bottleneck_channels": (None,),
    "stem_channels": (None,),
    "block": (None, f"{PACKAGE}building_blocks.residual.BasicBlockD"),
}
SILENT = {"n_stages", "conv_op", "norm_op", "norm_op_kwargs", "nonlin", "nonlin_kwargs", "dropout_op_kwargs"}
NOT_SUPPORTED = "is not supported: nnunet_plain and nnunet_residual are for"


def part_from_plans(plans: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """`{type: nnunet_plain | nnunet_residual, ...}` for one configuration ("2d", "3d_fullres") of a plans.json.

    Args:
        plans: the file's content. Configurations that inherit from others and the format before nnU-Net 2.4, without
            `architecture`, are understood.

    Raises:
        ValueError: no such configuration, something missing, or a network that is none of the two (another class,
            norm, activation, dropout); it is named.
    """
    settings = inherited_settings(plans, configuration)
    place = f"plans, configuration {configuration!r}"
    architecture = settings.get("architecture")
    if architecture is None:
        return _before_2_4(settings, place)
    _need(architecture, ("network_class_name", "arch_kwargs"), f"{place}, architecture")
    path, kwargs = str(architecture["network_class_name"]), architecture["arch_kwargs"]
    name = path.rsplit(".", 1)[-1]
    if name not in CLASSES or not path.startswith(PACKAGE):
        raise ValueError(f"{place}: the network {path} {NOT_SUPPORTED} {PACKAGE}* {' and '.join(CLASSES)}")
    kind, depth = CLASSES[name]
    wanted = ("features_per_stage", "kernel_sizes", "strides", depth, "n_conv_per_stage_decoder")
    _need(kwargs, wanted, f"{place}, arch_kwargs")
    _check_layers(kwargs, place)
    if unknown := kwargs.keys() - {*wanted, *NEUTRAL, *SILENT, "conv_bias", "deep_supervision"}:
        raise ValueError(f"{place}: {min(unknown)} {NOT_SUPPORTED} networks without it")
    part = {"type": kind, **{key: _plain(kwargs[key]) for key in wanted}}
    for key in ("features_per_stage", "strides"):
        if isinstance(part[key], int):  # one for all levels
            _need(kwargs, ("n_stages",), f"{place}, arch_kwargs")
            part[key] = [part[key]] * kwargs["n_stages"]
    part["conv_bias"] = bool(kwargs.get("conv_bias", False))  # nnU-Net's classes have none unless told
    if kwargs.get("deep_supervision") is not None:
        part["deep_supervision"] = bool(kwargs["deep_supervision"])
    return part


def inherited_settings(plans: Mapping[str, Any], name: str, heirs: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a configuration over those it inherits.

    Args:
        plans: content of a plans.json.
        heirs: the configurations that inherit from this one, from the one that is asked on.

    Raises:
        ValueError: no such configuration, one that is no object, or a circle; it is named.
    """
    known = plans.get("configurations", {})
    if name not in known:
        where = f"configuration {heirs[-1]!r} inherits from" if heirs else "no configuration"
        raise ValueError(f"plans: {where} {name!r}; there are: {', '.join(known) or 'none'}")
    if name in heirs:
        raise ValueError(f"plans: configurations inherit in a circle: {' <- '.join((*heirs, name))}")
    own = known[name]
    if not isinstance(own, Mapping):
        raise ValueError(f"plans: configuration {name!r} is no object of settings")
    parent = own.get("inherits_from")
    if parent is not None and not isinstance(parent, str):
        raise ValueError(f"plans: configuration {name!r} inherits from {parent!r}, which is no name")
    return {**(inherited_settings(plans, parent, (*heirs, name)) if parent else {}), **own}


def _before_2_4(settings: Mapping[str, Any], place: str) -> dict[str, Any]:
    """From the keys that nnU-Net 2.0 to 2.3 wrote; its networks all had bias, instance norm, leaky ReLU."""
    new_to_old = {
        "kernel_sizes": "conv_kernel_sizes",
        "strides": "pool_op_kernel_sizes",
        "n_conv_per_stage_decoder": "n_conv_per_stage_decoder",
    }
    limits = ("UNet_base_num_features", "unet_max_num_features")
    _need(settings, ("UNet_class_name", "n_conv_per_stage_encoder", *limits, *new_to_old.values()), place)
    name = settings["UNet_class_name"]
    if name not in CLASSES:
        raise ValueError(f"{place}: the network {name} {NOT_SUPPORTED} {' and '.join(CLASSES)}")
    kind, depth = CLASSES[name]
    base, most = (settings[key] for key in limits)
    levels = len(settings["n_conv_per_stage_encoder"])
    return {
        "type": kind,
        "features_per_stage": [min(base * 2**level, most) for level in range(levels)],
        depth: _plain(settings["n_conv_per_stage_encoder"]),
        **{new: _plain(settings[old]) for new, old in new_to_old.items()},
        "conv_bias": True,
    }


def _check_layers(kwargs: Mapping[str, Any], place: str) -> None:
    """Raise a ValueError unless convolution, norm and activation are those of every nnU-Net plan."""

    def check(fits: bool, key: str, ours: str) -> None:
        if not fits:
            told = kwargs.get(f"{key}_kwargs")
            raise ValueError(
                f"{place}: {key} {kwargs.get(key)}{f' with {told}' if told else ''} {NOT_SUPPORTED} {ours}"
            )

    conv, norm, activation = (str(kwargs.get(key)) for key in ("conv_op", "norm_op", "nonlin"))
    check(
        conv.startswith("torch.nn.") and conv.endswith((".Conv2d", ".Conv3d")), "conv_op", "Conv2d and Conv3d"
    )
    instance = norm.startswith("torch.nn.") and norm.endswith((".InstanceNorm2d", ".InstanceNorm3d"))
    given = {"eps": 1e-5, "affine": False, **(kwargs.get("norm_op_kwargs") or {})}
    check(
        instance and given == {"eps": 1e-5, "affine": True}, "norm_op", "instance norm with eps 1e-5, affine"
    )
    leaky = activation.startswith("torch.nn.") and activation.endswith(".LeakyReLU")
    given = {"negative_slope": 0.01, **(kwargs.get("nonlin_kwargs") or {})}
    given.pop("inplace", None)
    check(leaky and given == {"negative_slope": 0.01}, "nonlin", "leaky ReLU 0.01")
    for key, fine in NEUTRAL.items():
        check(kwargs.get(key) in fine, key, "networks without it")


def _need(settings: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    if missing := [key for key in keys if settings.get(key) is None]:
        raise ValueError(f"{place}: {', '.join(missing)} missing; is this the plans.json of nnU-Net v2?")


def _plain(value: Any) -> Any:
    """Numbers and lists as YAML writes them."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else int(value)
