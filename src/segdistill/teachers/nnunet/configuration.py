"""One configuration of a plans.json: how images are prepared, and in what windows they are seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.networks.nnunet_plans import inherited_settings
from segdistill.teachers.nnunet.intensities import CT_NEEDS, SCHEMES
from segdistill.teachers.nnunet.placement import READERS
from segdistill.teachers.nnunet.resampling import SPLINE, Resampling


@dataclass(frozen=True)
class Configuration:
    """What preprocessing needs to know.

    Attributes:
        name: such as "3d_fullres".
        patch_size: voxels of a window; two numbers where planes are seen one by one.
        spacing: millimetres of nnU-Net's grid, along as many axes as `patch_size`.
        transpose: `transpose_forward`: axis of nnU-Net's array -> axis of what the reader gave.
        reader: nnU-Net's class that read the training images.
        preprocessor: nnU-Net's class that prepared them.
        schemes: normalisation of each channel, a name.
        masked: whether it is taken over the voxels that are not empty, for each channel.
        intensities: statistics of the training cases' foreground, for each channel.
        resampling: how images come to the spacing.
    """

    name: str
    patch_size: tuple[int, ...]
    spacing: tuple[float, ...]
    transpose: tuple[int, ...]
    reader: str
    preprocessor: str
    schemes: tuple[str, ...]
    masked: tuple[bool, ...]
    intensities: tuple[Mapping[str, Any], ...]
    resampling: Resampling

    @classmethod
    def of(cls, plans: Mapping[str, Any], name: str, channels: int, place: str) -> Configuration:
        """Read it.

        Args:
            channels: how many the images have.
            place: the file, for messages.

        Raises:
            SegdistillError: a cascade, settings that are missing, or others than nnU-Net v2 writes.
        """
        try:
            settings = inherited_settings(plans, name)
        except ValueError as error:
            raise SegdistillError(f"{place}: {str(error).removeprefix('plans: ')}") from None
        place = f"{place}, configuration {name!r}"
        if before := settings.get("previous_stage"):
            raise SegdistillError(
                f"{place} is a cascade: it needs the answers of {before!r} as input, which is not supported; use "
                "3d_fullres, 3d_lowres or 2d"
            )
        manager = plans.get("label_manager", "LabelManager")
        if manager != "LabelManager":
            raise SegdistillError(
                f"{place}: label_manager {manager} is not known: what its outputs mean is not told"
            )
        try:
            told = plans.get(
                "foreground_intensity_properties_per_channel",
                plans.get("foreground_intensity_properties_by_modality", {}),
            )
            found = cls(
                name=name,
                patch_size=tuple(int(n) for n in settings["patch_size"]),
                spacing=tuple(float(step) for step in settings["spacing"]),
                transpose=tuple(int(axis) for axis in plans["transpose_forward"]),
                reader=str(plans["image_reader_writer"]),
                preprocessor=str(settings["preprocessor_name"]),
                schemes=tuple(str(scheme) for scheme in settings["normalization_schemes"]),
                masked=tuple(bool(flag) for flag in settings["use_mask_for_norm"]),
                intensities=tuple(dict(told.get(str(k), {})) for k in range(channels)),
                resampling=Resampling(
                    str(settings.get("resampling_fn_data", SPLINE)),
                    dict(settings.get("resampling_fn_data_kwargs") or {}),
                ),
            )
        except KeyError as error:
            raise SegdistillError(
                f"{place}: {error.args[0]} is missing; is it a plan of nnU-Net v2?"
            ) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise SegdistillError(f"{place} is no plan as nnU-Net v2 writes it ({error})") from None
        found._check(channels, place)
        return found

    def foreign(self) -> str | None:
        """What of its preprocessing only nnU-Net's own code can do; None: nothing."""
        if self.preprocessor != "DefaultPreprocessor":
            return f"preprocessor {self.preprocessor}"
        if strange := [scheme for scheme in self.schemes if scheme not in SCHEMES]:
            return f"normalisation {strange[0]}"
        return self.resampling.unknown()

    def _check(self, channels: int, place: str) -> None:
        def refuse(what: str) -> None:
            raise SegdistillError(f"{place}: {what}")

        if len(self.patch_size) not in (2, 3) or len(self.spacing) != len(self.patch_size):
            refuse(
                f"patch_size {self.patch_size} and spacing {self.spacing} must both have two or three numbers"
            )
        if sorted(self.transpose) != [0, 1, 2]:
            refuse(f"transpose_forward {self.transpose} is no order of three axes")
        if len(self.schemes) != channels or len(self.masked) != channels:
            refuse(
                f"normalisation of {len(self.schemes)} channels ({', '.join(self.schemes)}), but dataset.json has "
                f"{channels}"
            )
        if self.reader not in READERS:
            refuse(f"images were read by {self.reader}, which is not known; known are {', '.join(READERS)}")
        for k, (scheme, known) in enumerate(zip(self.schemes, self.intensities, strict=True)):
            lacking = [key for key in CT_NEEDS if not isinstance(known.get(key), int | float)]
            if scheme == "CTNormalization" and lacking:
                refuse(f"foreground_intensity_properties_per_channel.{k} has no {', '.join(lacking)}")
