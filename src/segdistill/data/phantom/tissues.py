"""What each tissue looks like to each scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Typical CT number in HU, FDG uptake in SUV, and T1-weighted MR signal (subcutaneous fat: 1)."""

    ct: float
    pet: float
    mr: float


TISSUES = {
    "air": Tissue(-1000, 0.0, 0.0),
    "couch": Tissue(-350, 0.0, 0.0),
    "fat": Tissue(-100, 0.3, 1.0),
    "visceral fat": Tissue(-95, 0.4, 0.9),
    "muscle": Tissue(52, 0.7, 0.36),
    "lung": Tissue(-830, 0.45, 0.05),
    "mediastinum": Tissue(-40, 0.9, 0.62),
    "blood": Tissue(45, 1.6, 0.14),
    "myocardium": Tissue(48, 2.5, 0.38),
    "liver": Tissue(60, 2.3, 0.52),
    "spleen": Tissue(50, 1.9, 0.33),
    "kidney": Tissue(34, 2.6, 0.4),
    "urine": Tissue(8, 9.0, 0.12),
    "bile": Tissue(10, 0.6, 0.3),
    "stomach": Tissue(28, 1.7, 0.3),
    "bowel": Tissue(30, 1.3, 0.38),
    "stool": Tissue(10, 1.0, 0.5),
    "gas": Tissue(-920, 0.1, 0.02),
    "gland": Tissue(42, 1.5, 0.42),
    "marrow": Tissue(190, 1.5, 0.66),
    "cortex": Tissue(900, 0.9, 0.07),
    "cartilage": Tissue(85, 0.8, 0.33),
    "cord": Tissue(32, 1.5, 0.42),
}


def draw_tissues(rng: np.random.Generator, iodine: float, difficulty: float) -> dict[str, Tissue]:
    """The tissues of one patient.

    Args:
        rng: source of the random numbers.
        iodine: amount of contrast agent in the CT, 0 (none) to about 1 (portal venous phase).
        difficulty: 0..1; physiological uptake (heart, urine, bowel) grows with it.
    """
    tissues = {
        name: Tissue(
            value.ct + rng.normal(0, 4) * (value.ct > -900),
            value.pet * rng.lognormal(0, 0.12),
            value.mr * rng.lognormal(0, 0.06),
        )
        for name, value in TISSUES.items()
    }
    for name, gain in {
        "blood": 115,
        "liver": 48,
        "spleen": 65,
        "kidney": 130,
        "myocardium": 55,
        "gland": 40,
    }.items():
        old = tissues[name]
        tissues[name] = Tissue(old.ct + gain * iodine, old.pet, old.mr)
    hot = {
        "myocardium": rng.uniform(1.6, 2.4 + 9 * difficulty),  # fasting or not: anything happens
        "urine": rng.uniform(2.5, 4 + 6 * difficulty) + rng.uniform(0, 18) * difficulty,
        "bowel": rng.uniform(0.9, 1.4 + 1.6 * difficulty),
        "kidney": rng.uniform(2.0, 2.6 + 1.6 * difficulty),
    }
    for name, uptake in hot.items():
        tissues[name] = Tissue(tissues[name].ct, uptake, tissues[name].mr)
    return tissues
