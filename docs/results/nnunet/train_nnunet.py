"""Run by nnU-Net's Python: plan, preprocess and train a real nnU-Net v2 (3d_fullres, fold 0) for a short time.

python train_nnunet.py NUMBER DATASET SPLITS_JSON [EPOCHS ITERATIONS]

Plan, network, batch, preprocessing, augmentation, loss, optimizer (SGD) and its schedule are nnU-Net's own. Different:

- 14 epochs of 20 iterations instead of 1000 of 250, and one validation batch an epoch for nnU-Net's progress figure;
- the training's forward pass is in bfloat16 (`torch.autocast`), which nnU-Net does on GPUs alone; weights, loss and all
  inference are float32;
- a fixed seed, and augmentation in the training process, so that a run can be repeated;
- fold 0 is the training and validation cases of SPLITS_JSON instead of nnU-Net's own draw.

The class is called nnUNetTrainer, so that `nnUNetv2_predict` finds the folder and the trainer without a plugin:
training is all that it changes.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

Original = module.nnUNetTrainer
CONFIGURATION, SEED = "3d_fullres", 0
PREPROCESSED, PROCESSES = "nnUNet_preprocessed", "nnUNet_n_proc_DA"  # the variables, as nnU-Net spells them
EPOCHS, ITERATIONS = (int(word) for word in sys.argv[4:6]) if len(sys.argv) > 4 else (14, 20)


class Short(Original):
    """NnU-Net's trainer with few and short epochs."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.save_every = EPOCHS, 1
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = ITERATIONS, 1

    def initialize(self):
        super().initialize()
        forward = self.network.forward

        def autocast(x):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.network.training):
                out = forward(x)
            return [each.float() for each in out] if isinstance(out, list | tuple) else out.float()

        self.network.forward = autocast

    def plot_network_architecture(self):
        pass


Short.__name__ = "nnUNetTrainer"  # names the folder, and is looked up when it predicts


def main() -> None:
    """Plan and preprocess once, train, validate as nnU-Net does."""
    number, dataset, splits = int(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
    root = Path(os.environ[PREPROCESSED]) / dataset
    if not (root / "splits_final.json").is_file():  # else planned and preprocessed before
        extract_fingerprints([number], num_processes=1)
        plan_experiments([number])
        preprocess([number], configurations=(CONFIGURATION,), num_processes=(1,))
        fold = {"train": splits["train"], "val": splits["validation"]}
        (root / "splits_final.json").write_text(json.dumps([fold], indent=4))
    plans = json.loads((root / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    dataset_json = json.loads((root / "dataset.json").read_text())
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    os.environ[PROCESSES] = "0"  # no augmentation processes: they would draw from seeds of their own
    start = time.perf_counter()
    trainer = Short(plans, CONFIGURATION, 0, dataset_json, torch.device("cpu"))
    trainer.run_training()
    seconds = time.perf_counter() - start
    trainer.perform_actual_validation()
    made = {
        "parameters": sum(each.numel() for each in trainer.network.parameters()),
        "batch_size": trainer.batch_size,
        "patch_size": [int(size) for size in trainer.configuration_manager.patch_size],
        "epochs": EPOCHS,
        "iterations": ITERATIONS,
        "seed": SEED,
        "training_seconds": round(seconds),
        "cpu_seconds_with_plan_and_validation": round(time.process_time()),
    }
    Path(trainer.output_folder, "made.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
