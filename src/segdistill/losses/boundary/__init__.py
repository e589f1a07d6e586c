"""Losses at the boundaries of structures."""

from __future__ import annotations

from segdistill.losses.boundary.band_kl import BandKL
from segdistill.losses.boundary.edge_maps import EdgeMaps
from segdistill.losses.boundary.signed_distance_kl import SignedDistanceKL
from segdistill.losses.row import Row

BOUNDARY: dict[str, Row] = {
    "band_kl": Row(
        BandKL,
        "boundary",
        "Liu et al., 2023, arXiv:2306.08075",
        "KL divergence of class probabilities in a band along the label's boundaries",
        "T^2 mean_{n in band} sum_k q_k log(q_k / p_k), p = softmax(s / T), q = softmax(t / T)",
        "O(N K)",
        patch_invariant=False,
    ),
    "edge_maps": Row(
        EdgeMaps,
        "boundary",
        "inspired by Wen et al., 2021, doi:10.1109/ICME51207.2021.9428395",
        "Squared difference of the spatial gradients' lengths of class probabilities",
        "mean_n sum_k (|grad p_k| - |grad q_k|)^2, p = softmax(s), q = softmax(t)",
        "O(N K)",
        patch_invariant=False,
    ),
    "signed_distance_kl": Row(
        SignedDistanceKL,
        "boundary",
        "distance map of Kervadec et al., 2019, arXiv:1812.07032",
        "KL divergence of class probabilities that fades with the distance to the label's boundaries",
        "T^2 sum_n w_n sum_k q_k log(q_k / p_k) / sum_n w_n, w = exp(-|d| / sigma), d: signed distance",
        "O(N K)",
        patch_invariant=False,
    ),
}
