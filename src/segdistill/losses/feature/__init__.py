"""Losses between feature maps."""

from __future__ import annotations

from segdistill.losses.feature.attention_similarity import AttentionSimilarity
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.channel_attention import ChannelAttention
from segdistill.losses.feature.coordinate import Coordinate
from segdistill.losses.feature.feature_filter import FeatureFilter
from segdistill.losses.feature.importance_ranking import ImportanceRanking
from segdistill.losses.feature.mse import MSE
from segdistill.losses.feature.texture import Texture
from segdistill.losses.row import Row

FEATURE: dict[str, Row] = {
    "attention_similarity": Row(
        AttentionSimilarity,
        "feature",
        "Hossain et al., 2025, Eq. 1",
        "Distance of normalised feature maps (Teach-Former's coarse and fine attention similarity)",
        "|| s / ||s||_1 - t / ||t||_1 ||_2",
        patch_invariant=False,
        differentiable_at_equal=False,
    ),
    "attention_transfer": Row(
        AttentionTransfer,
        "feature",
        "Zagoruyko and Komodakis, 2017, arXiv:1612.03928",
        "Squared distance of unit-normalised spatial attention maps",
        "sum_n (a_n(s) - a_n(t))^2, a(f) = v / ||v||_2, v_n = mean_c |f_cn|^power",
        "O(N)",
    ),
    "channel_attention": Row(
        ChannelAttention,
        "feature",
        "inspired by Qing and Qi, 2024, doi:10.1145/3665689.3665713; Hu et al., 2018, arXiv:1709.01507",
        "Squared distance of unit-normalised mean activities of the channels",
        "sum_c (g_c(s) - g_c(t))^2, g(f) = v / ||v||_2, v_c = mean_n |f_cn|",
        "O(N C)",
    ),
    "coordinate": Row(
        Coordinate,
        "feature",
        "Qi et al., 2022, doi:10.3390/app122311980; Hou et al., 2021, arXiv:2103.02907",
        "Squared distance of the activity along each axis (coordinate distillation)",
        "mean_axis sum_x (a_x(s) - a_x(t))^2, a(f) = v / ||v||_2, v_x = mean_c mean_(n at x) |f_cn|^power",
        "O(N C)",
    ),
    "feature_filter": Row(
        FeatureFilter,
        "feature",
        "Zhao et al., 2023 (MSKD, Comput. Biol. Med.)",
        "Squared difference of maps in which strong channels lead, weighted by the teacher's activity (MSKD)",
        "mean_n u_n (M_n(s) - M_n(t))^2, M_n(f) = mean_c softmax_c(mean_n relu f_cn) relu f_cn, "
        "u = e^(gamma sigmoid M(t)) / mean",
        "O(N C)",
    ),
    "importance_ranking": Row(
        ImportanceRanking,
        "feature",
        "inspired by Liang et al., 2024, doi:10.1016/j.knosys.2024.111664",
        "The order of the teacher's most important nodes, learned by pairs (RSKD)",
        "mean_(i,j: a_i(t) > a_j(t)) log(1 + e^(-(a_i(s) - a_j(s)) / T)), a_i(f) = mean_n mean_c f_cn^2, unit RMS",
        "O(N C + top^2)",
        zero_at_equal=False,
        patch_invariant=False,
        differentiable_at_equal=False,
    ),
    "mse": Row(
        MSE,
        "feature",
        "Romero et al., 2015, arXiv:1412.6550",
        "Mean squared difference of maps (FitNets' hint; logit matching; MGD with the projector masked_generation)",
        "mean_n mean_c (s_cn - t_cn)^2",
    ),
    "texture": Row(
        Texture,
        "feature",
        "inspired by Liang et al., 2024, doi:10.1016/j.knosys.2024.111664; Burt and Adelson, 1983",
        "Squared distance of the bands of a Laplacian pyramid of the attention maps (RSKD)",
        "mean_l sum_n (d_ln(s) - d_ln(t))^2, d_l = a_l - up(a_(l+1)) of unit length, a_0 = mean_c f_c^2, "
        "a_(l+1) = down(a_l)",
        "O(N C)",
        patch_invariant=False,
    ),
}
