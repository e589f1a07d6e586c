"""Cost by stage in the report: of each network once, and quietly left out where it was not counted."""

from __future__ import annotations

import json
from pathlib import Path

from segdistill.report import build
from segdistill.report.figures import Figure, Missing, stages
from segdistill.report.gather import gather

COSTS = {
    "unet": [("encoder/1", 60, 10), ("encoder/2", 20, 30), ("decoder/1", 15, 50), ("logits", 5, 10)],
    "h_denseformer": [("encoder/16/stage", 10, 80), ("encoder/1", 70, 10), ("decoder/1/x01", 20, 10)],
}


def tell(run: Path) -> None:
    network = json.loads((run / "run.json").read_text())["network"]
    cost = json.loads((run / "cost.json").read_text())
    cost["stages"] = [
        {"stage": stage, "macs": macs, "parameters": parameters}
        for stage, macs, parameters in COSTS.get(network, [])
    ]
    (run / "cost.json").write_text(json.dumps(cost))


def test_every_network_once_from_input_to_output(study: list[Path], tmp_path: Path) -> None:
    assert isinstance(stages.draw(gather(study)), Missing)
    page = build(study, tmp_path / "without").page.read_text()
    assert "cost-by-stage" not in page and "Cost by stage" not in page
    for run in study:
        tell(run)
    figure = stages.draw(gather(study))
    assert isinstance(figure, Figure) and figure.svg
    assert figure.alt.count("unet:") == 1 and "swin_unetr" not in figure.alt
    assert "S1 unet: encoder/1 60.0 %, encoder/2 20.0 %, decoder/1 15.0 %, rest 5.0 %" in figure.alt
    assert "T1 h_denseformer: encoder/1 70.0 %, encoder/16 10.0 %, decoder/1 20.0 %" in figure.alt
    assert figure.caption in build(study, tmp_path / "with").page.read_text()
