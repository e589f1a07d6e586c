from __future__ import annotations

import platform

import pytest

from segdistill.training.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is for glibc's malloc")
def test_freed_memory_is_kept_where_the_system_library_can() -> None:
    assert keep_freed_memory()


def test_other_system_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
