"""Losses between responses: class logits."""

from __future__ import annotations

from segdistill.losses.response.bernoulli import Bernoulli
from segdistill.losses.response.channel_wise import ChannelWise
from segdistill.losses.response.decoupled_kl import DecoupledKL
from segdistill.losses.response.dist import DIST
from segdistill.losses.response.kl import KL
from segdistill.losses.response.normalised_kl import NormalisedKL
from segdistill.losses.response.prior_corrected_kl import PriorCorrectedKL
from segdistill.losses.response.self_training import SelfTraining
from segdistill.losses.response.soft_dice import SoftDice
from segdistill.losses.row import Row

RESPONSE: dict[str, Row] = {
    "kl": Row(
        KL,
        "response",
        "Hinton et al., 2015, arXiv:1503.02531",
        "Voxel-wise KL divergence of class probabilities",
        "T^2 mean_n sum_k q_k log(q_k / p_k), p = softmax(s / T), q = softmax(t / T)",
        "O(N K)",
    ),
    "decoupled_kl": Row(
        DecoupledKL,
        "response",
        "Zhao et al., 2022, arXiv:2203.08679",
        "KL divergence with a weight of its own for the classes that are not the label's (DKD)",
        "T^2 mean_n (alpha KL([q_y, 1 - q_y] || [p_y, 1 - p_y]) + beta KL(q^ || p^)), q^_k = q_k / (1 - q_y), k != y",
        "O(N K)",
    ),
    "normalised_kl": Row(
        NormalisedKL,
        "response",
        "Yang et al., 2023, arXiv:2303.13005",
        "Cross-entropy of the label's class, and of the others normalised among themselves (NKD)",
        "mean_n (-q_y log p_y - gamma T^2 sum_(k != y) q^_k log p^_k), q^_k = q_k / (1 - q_y)",
        "O(N K)",
        zero_at_equal=False,
        differentiable_at_equal=False,
    ),
    "channel_wise": Row(
        ChannelWise,
        "response",
        "Shu et al., 2021, arXiv:2011.13256",
        "KL divergence of where each channel looks: softmax over space (CWD)",
        "T^2 mean_c sum_n q_cn log(q_cn / p_cn), p_c = softmax_n(s_c / T), q_c = softmax_n(t_c / T)",
    ),
    "dist": Row(
        DIST,
        "response",
        "Huang et al., 2022, arXiv:2205.10536",
        "Pearson distance of class probabilities, across classes and across voxels (DIST)",
        "T^2 (beta mean_n (1 - r_k(p_n, q_n)) + gamma mean_k (1 - r_n(p_k, q_k))), r Pearson's correlation",
        "O(N K)",
    ),
    "prior_corrected_kl": Row(
        PriorCorrectedKL,
        "response",
        "Zhang et al., 2024 (DUPSA); Zhang et al., 2021, arXiv:2104.10510",
        "KL divergence to a teacher freed of the class frequencies of its training",
        "T^2 mean_n sum_k q~_k log(q~_k / p_k), q~_k = w_k q_k / sum_j w_j q_j, w_k = 1 / prior_k",
        "O(N K)",
    ),
    "bernoulli": Row(
        Bernoulli,
        "response",
        "Hinton et al., 2015, arXiv:1503.02531",
        "KL divergence of sigmoid probabilities, for overlapping regions",
        "T^2 mean_n sum_c (q log(q / p) + (1 - q) log((1 - q) / (1 - p))), p = sigmoid(s / T), q = sigmoid(t / T)",
    ),
    "self_training": Row(
        SelfTraining,
        "response",
        "Caron et al., 2021, arXiv:2104.14294; Park et al., 2022, Nature Communications",
        "Cross-entropy to the sharpened, centred pseudo-label of a patch (DINO, DISTL)",
        "-mean_b sum_c q_c log p_c, p = softmax(mean_n s / T_s), q = softmax((mean_n t - mean_b mean_n t) / T_t)",
        "O(N C)",
        zero_at_equal=False,
        batch_invariant=False,
        differentiable_at_equal=False,
    ),
    "soft_dice": Row(
        SoftDice,
        "response",
        "Du et al., 2023, arXiv:2307.02100",
        "Dice distance of the student's and the teacher's class probabilities (MDViT's mutual distillation)",
        "1 - mean_k 2 sum_n p_kn q_kn / sum_n (p_kn^2 + q_kn^2)",
        "O(N K)",
    ),
}
