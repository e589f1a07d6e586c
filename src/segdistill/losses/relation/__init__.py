"""Losses between relations: of voxels, channels, classes or samples to each other."""

from __future__ import annotations

from segdistill.losses.relation.affinity import Affinity
from segdistill.losses.relation.batch_similarity import BatchSimilarity
from segdistill.losses.relation.class_contrast import ClassContrast
from segdistill.losses.relation.class_distances import ClassDistances
from segdistill.losses.relation.class_variation import ClassVariation
from segdistill.losses.relation.contrastive import Contrastive
from segdistill.losses.relation.gram import Gram
from segdistill.losses.relation.graph import Graph
from segdistill.losses.relation.region_affinity import RegionAffinity
from segdistill.losses.relation.rkd import RKD
from segdistill.losses.relation.rkd_batch import RKDBatch
from segdistill.losses.relation.subspace import Subspace
from segdistill.losses.row import Row

RELATION: dict[str, Row] = {
    "affinity": Row(
        Affinity,
        "relation",
        "Liu et al., 2019, arXiv:1903.04197",
        "Squared difference of the pair-wise cosines of pooled places (structured knowledge distillation)",
        "mean_ij (a_ij(s) - a_ij(t))^2, a_ij(f) = cos(f_i, f_j), f_i = pool over cell i",
        "O(nodes^2)",
        patch_invariant=False,
    ),
    "batch_similarity": Row(
        BatchSimilarity,
        "relation",
        "Tung and Mori, 2019, arXiv:1907.09682",
        "Squared difference of the similarities of the samples of a batch",
        "mean_ab (g_ab(s) - g_ab(t))^2, g_a(f) = v / ||v||_2, v_b = sum_cn f_acn f_bcn",
        "O(N C + B^2)",
        batch_invariant=False,
    ),
    "class_contrast": Row(
        ClassContrast,
        "relation",
        "Qin et al., 2021, arXiv:2108.09987 (all pairs of classes)",
        "Squared difference of the cosines of class means",
        "mean_kl (cos(mu_k(s), mu_l(s)) - cos(mu_k(t), mu_l(t)))^2, k != l, mu_k(f) = mean of f_n where y_n = k",
        "O(K C + N K)",
    ),
    "class_distances": Row(
        ClassDistances,
        "relation",
        "inspired by Zhang et al., 2023, ICASSP",
        "Squared difference of the distances of class means, in units of the size of the features",
        "mean_kl (d_kl(s) - d_kl(t))^2, k != l, d_kl(f) = ||mu_k - mu_l||_2 / sqrt(mean_n ||f_n||^2)",
        "O(N C + K^2 C)",
    ),
    "class_variation": Row(
        ClassVariation,
        "relation",
        "Wang et al., 2020, ECCV (IFVD)",
        "Squared difference of the cosines of voxels with the mean of their class",
        "mean_n (v_n(s) - v_n(t))^2, v_n(f) = cos(f_n, mu_k), k = y_n",
        "O(N C + N K)",
    ),
    "contrastive": Row(
        Contrastive,
        "relation",
        "He et al., 2020, arXiv:1911.05722, Eq. 1",
        "InfoNCE: each sample of the student finds the teacher's among the batch",
        "-mean_a log softmax_b(cos(s_a, t_b) / temperature)_a, f_a = mean_n f_an",
        "O(B C + B^2)",
        zero_at_equal=False,
        batch_invariant=False,
        differentiable_at_equal=False,
    ),
    "gram": Row(
        Gram,
        "relation",
        "Gatys et al., 2015, arXiv:1508.06576",
        "Squared difference of the cosines of channels over space (normalised Gram matrix)",
        "mean_cd (g_cd(s) - g_cd(t))^2, g_cd(f) = cos(f_c, f_d) over voxels",
        "O(N C + C^2)",
    ),
    "graph": Row(
        Graph,
        "relation",
        "after Zhao et al., 2023, Computers in Biology and Medicine (MSKD)",
        "Squared difference of the edges of the teacher's graph of regions",
        "mean_(i, j near i in t) (cos(s_i, s_j) - cos(t_i, t_j))^2 + node_weight mean_ic (s_ic - t_ic)^2",
        "O(nodes^2)",
        patch_invariant=False,
    ),
    "region_affinity": Row(
        RegionAffinity,
        "relation",
        "Qin et al., 2021, arXiv:2108.09987 (EMKD)",
        "Squared difference of the cosine of foreground and background",
        "(cos(mu_f(s), mu_b(s)) - cos(mu_f(t), mu_b(t)))^2, mu_f, mu_b = means over foreground, background",
        "O(N C)",
    ),
    "rkd": Row(
        RKD,
        "relation",
        "Park et al., 2019, arXiv:1904.05068",
        "Huber loss of the distances or angles of the places of a sample",
        "mean_ij huber(d_ij(s) - d_ij(t)), d_ij(f) = ||f_i - f_j||_2 / mean; or cosines of (f_j - f_i, f_k - f_i)",
        "O(nodes^2), for angles O(nodes^3 + nodes^2 C)",
        patch_invariant=False,
    ),
    "rkd_batch": Row(
        RKDBatch,
        "relation",
        "Park et al., 2019, arXiv:1904.05068",
        "Huber loss of the distances or angles of the samples of a batch",
        "mean_ab huber(d_ab(s) - d_ab(t)), d_ab(f) = ||f_a - f_b||_2 / mean; or cosines of (f_b - f_a, f_c - f_a)",
        "O(B^2), for angles O(B^3 + B^2 C)",
        batch_invariant=False,
    ),
    "subspace": Row(
        Subspace,
        "relation",
        "inspired by Chen and Yu, 2024 (ISKD)",
        "Distance of the leading subspaces of the features over space, without a singular value decomposition",
        "||H(s) - H(t)||^2 / (||H(s)||^2 + ||H(t)||^2), H(f) = f (f^T f + ||f||^2 / rank)^-1 f^T",
        "O(N C + C^2)",
    ),
}
