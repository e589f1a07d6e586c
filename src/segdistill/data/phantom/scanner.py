"""The scanners of one site: blur, noise, bias and scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segdistill.data.phantom.space import smooth_noise


@dataclass(frozen=True)
class Site:
    """How one site measures.

    Attributes:
        iodine: amount of contrast agent in its CT (0 none, 1 much).
        ct_blur, ct_noise: width of the reconstruction kernel (FWHM, mm), noise in HU.
        pet_blur, pet_counts: resolution (FWHM, mm), counts per SUV and millilitre.
        mr_scale, mr_bias, mr_noise: value of fat, strength of the bias field (log), noise against fat.
        stretch: factors on the voxel's sides.
    """

    iodine: float
    ct_blur: float
    ct_noise: float
    pet_blur: float
    pet_counts: float
    mr_scale: float
    mr_bias: float
    mr_noise: float
    stretch: tuple[float, float, float]


def draw_site(rng: np.random.Generator, first: bool) -> Site:
    """Draw a site; the first one keeps the voxel size that was asked for."""
    plane, axial = (1.0, 1.0) if first else (float(rng.uniform(0.85, 1.2)), float(rng.uniform(0.8, 1.3)))
    return Site(
        iodine=float(rng.choice([0.0, 0.6, 1.0])),
        ct_blur=float(rng.uniform(2.0, 5.0)),
        ct_noise=float(rng.uniform(7, 18)),
        pet_blur=float(rng.uniform(6.0, 9.0)),
        pet_counts=float(rng.uniform(15, 50)),
        mr_scale=float(rng.uniform(300, 1100)),
        mr_bias=float(rng.uniform(0.08, 0.28)),
        mr_noise=float(rng.uniform(0.015, 0.04)),
        stretch=(plane, plane, axial),
    )


def _blurred(array: np.ndarray, fwhm: float, spacing: np.ndarray) -> np.ndarray:
    return np.asarray(
        ndimage.gaussian_filter(array, (fwhm / 2.355 / spacing).tolist(), mode="nearest", truncate=3)
    )


def scan_ct(ideal: np.ndarray, site: Site, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """CT in whole HU: blur, then noise with a little grain, stronger where the rays cross more tissue."""
    image = _blurred(ideal, site.ct_blur, spacing)
    noise = rng.standard_normal(ideal.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0.5, 0.5, 0.0), truncate=3) / np.float32(0.6)
    solid = np.clip((image + 1000) / 1000, 0, 2)
    thick = solid.mean(axis=0, keepdims=True) + solid.mean(axis=1, keepdims=True)
    image += noise * np.float32(site.ct_noise) * (np.float32(0.35) + thick)
    return np.clip(np.round(image), -1024, 3071).astype(np.int16)


def scan_pet(ideal: np.ndarray, site: Site, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """PET in SUV: resolution of the detector, Poisson counts, and the filter after reconstruction."""
    image = np.clip(_blurred(ideal, site.pet_blur, spacing), 0, None)
    per_suv = site.pet_counts * float(np.prod(spacing)) / 1000
    counts = rng.poisson((image + np.float32(0.04)) * per_suv).astype(np.float32) / np.float32(per_suv)
    return np.asarray(_blurred(counts, 4.5, spacing), dtype=np.float32)


def scan_mr(
    ideal: np.ndarray, site: Site, axes: tuple[np.ndarray, ...], rng: np.random.Generator
) -> np.ndarray:
    """T1-weighted MR in the site's own units: coil bias, then Rician noise."""
    spacing = np.array([axis[1] - axis[0] for axis in axes])
    signal = _blurred(ideal, 2.5, spacing) * np.exp(np.float32(site.mr_bias) * smooth_noise(rng, axes, 190))
    real, imaginary = rng.standard_normal((2, *ideal.shape), dtype=np.float32) * np.float32(site.mr_noise)
    return np.round(np.hypot(signal + real, imaginary) * np.float32(site.mr_scale)).astype(np.int16)
