"""Synthetic PET/CT/MR patients with tumours, for the demo, the tests and first steps."""

from segdistill.data.phantom.write import make_phantom

__all__ = ["make_phantom"]
