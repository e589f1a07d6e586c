"""Teachers that are a folder of soft predictions, of whatever tool."""

from segdistill.teachers.soft_predictions.folder import SoftPredictions

__all__ = ["SoftPredictions"]
