"""Teachers that are MONAI bundles: folders with a config, metadata and weights."""

from segdistill.teachers.monai_bundle.bundle import MonaiBundle

__all__ = ["MonaiBundle"]
