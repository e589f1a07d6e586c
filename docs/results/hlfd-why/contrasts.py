"""The four students beside each other, where the report compares them with the student alone: what each term costs.

python docs/results/hlfd-why/contrasts.py
"""

from __future__ import annotations

from pathlib import Path

from segdistill.report.comparisons import compare, repeated
from segdistill.report.gather import gather

CONTRASTS = {
    "hlfd_attention, e4 instead of e5": ("taught_attention_e4", "taught_attention"),
    "hlfd_skd, e4 instead of e5": ("taught_skd_e4", "taught_skd"),
    "e5, without the output term": ("taught_attention", "taught_skd"),
    "e4, without the output term": ("taught_attention_e4", "taught_skd_e4"),
}

evidence = gather([Path(__file__).parent / "runs"])
models = {model.run.name.rpartition("_seed")[0]: model for model in evidence.models}
for title, (one, other) in CONTRASTS.items():
    over_cases = compare(models[one], models[other], evidence)
    over_seeds = repeated(models[one], models[other], evidence)
    assert over_cases.interval and over_cases.difference and over_seeds
    low, high = (100 * end for end in over_cases.interval)
    print(
        f"{title}: {100 * over_cases.difference:+.1f} ({low:.1f} to {high:.1f}), p = {over_cases.t_p:.4f} over "
        f"{over_cases.n} cases, {over_seeds.p:.3f} over {over_seeds.n} seeds"
    )
