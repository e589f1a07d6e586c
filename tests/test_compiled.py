from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from segdistill import compiled


def twice(values: Tensor) -> Tensor:
    return values.sin() * 2


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "failed", [])


def test_small_tensors_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_made", lambda _: pytest.fail("compiled"))
    assert compiled.compiled(twice, torch.ones(3), torch.ones(3)) is None


def test_large_ones_are(monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    monkeypatch.setattr(compiled, "LARGE", 3)
    values = torch.linspace(0, 1, 100)
    torch.testing.assert_close(compiled.compiled(twice, values, values), twice(values))


def test_a_machine_without_compiler_goes_the_slower_way_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def broken(*_: Any) -> Tensor:
        raise RuntimeError("no working C++ compiler found\nand much more")

    monkeypatch.setattr(compiled, "LARGE", 3)
    monkeypatch.setattr(compiled, "_made", lambda _: broken)
    with pytest.warns(UserWarning, match=r"no working C\+\+ compiler found\), so steps take longer.*g\+\+"):
        assert compiled.compiled(twice, torch.ones(3), torch.ones(3)) is None
    assert compiled.compiled(twice, torch.ones(3), torch.ones(3)) is None
    assert len(recwarn) == 0
