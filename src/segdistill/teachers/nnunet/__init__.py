"""Results folders of nnU-Net v2 as teachers, read by their file formats; nnU-Net need not be installed."""

from segdistill.teachers.nnunet.folder import NnunetFolder

__all__ = ["NnunetFolder"]
