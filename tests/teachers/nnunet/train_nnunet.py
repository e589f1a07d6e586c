"""Run by nnU-Net's Python: plan, preprocess and train a very small nnU-Net in one fold.

python train_nnunet.py DATASET_NUMBER DATASET CONFIGURATION
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

Original = module.nnUNetTrainer
PREPROCESSED = "nnUNet_preprocessed"  # the variable, as nnU-Net spells it


class Short(Original):
    """Few iterations, with an optimizer that gets somewhere in them."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch, self.num_epochs = 25, 1, 2

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)

    def plot_network_architecture(self):
        pass


Short.__name__ = "nnUNetTrainer"  # names the folder, and is looked up when it predicts


def main() -> None:
    number, dataset, configuration = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    extract_fingerprints([number], num_processes=1)
    plan_experiments([number])
    root = Path(os.environ[PREPROCESSED]) / dataset
    file = root / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    settings = plans["configurations"][configuration]
    levels = settings["architecture"]["arch_kwargs"]["n_stages"]
    settings["architecture"]["arch_kwargs"]["features_per_stage"] = [8 * 2**k for k in range(levels)]
    settings["batch_size"] = 2
    file.write_text(json.dumps(plans))
    preprocess([number], configurations=(configuration,), num_processes=(1,))
    plans["continue_training"] = False
    dataset_json = json.loads((root / "dataset.json").read_text())
    trainer = Short(plans, configuration, 0, dataset_json, torch.device("cpu"))
    trainer.run_training()
    trainer.perform_actual_validation()


if __name__ == "__main__":
    main()
