"""The script that fetches NiiVue: pinned, checked, run again without harm, and clear without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import urllib.error
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def vendoring(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, pinned to a small package, which its `download` gives; and how often that was asked."""
    from importlib import util

    spec = util.spec_from_file_location("vendor_niivue", ROOT / "tools" / "vendor_niivue.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    script, stream = b"var niivue = {};\n", io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo(module.MEMBER)
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    package = stream.getvalue()
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    monkeypatch.setattr(module, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setattr(module, "SCRIPT_SHA256", hashlib.sha256(script).hexdigest())
    module.asked = []
    module.package = package
    monkeypatch.setattr(module, "download", lambda: module.asked.append(1) or module.package)
    return module


def test_script_and_licence_are_placed_once(vendoring: Any, tmp_path: Path, capsys: Any) -> None:
    for _ in range(2):
        assert vendoring.main(["--folder", str(tmp_path / "vendor")]) == 0
    assert vendoring.asked == [1]
    assert sorted(each.name for each in (tmp_path / "vendor").iterdir()) == [
        "LICENSE-niivue.txt",
        "niivue.umd.js",
    ]
    assert "BSD 2-Clause" in (tmp_path / "vendor" / "LICENSE-niivue.txt").read_text()
    assert "BSD-2-Clause" in capsys.readouterr().out


def test_what_was_changed_is_fetched_again(vendoring: Any, tmp_path: Path) -> None:
    assert vendoring.main(["--folder", str(tmp_path)]) == 0
    (tmp_path / "niivue.umd.js").write_text("changed")
    assert vendoring.main(["--folder", str(tmp_path)]) == 0
    assert (tmp_path / "niivue.umd.js").read_text() == "var niivue = {};\n"


def test_another_package_is_refused(vendoring: Any, tmp_path: Path, capsys: Any) -> None:
    vendoring.package += b"\0"
    assert vendoring.main(["--folder", str(tmp_path)]) == 2
    assert "is pinned" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_a_network_it_says_what_to_do(
    vendoring: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def offline() -> bytes:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(vendoring, "download", offline)
    assert vendoring.main(["--folder", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert all(part in told for part in ("no route to host", "make viewer", "--package", "all else works"))


def test_a_package_that_was_carried_here(vendoring: Any, tmp_path: Path) -> None:
    (tmp_path / "niivue.tgz").write_bytes(vendoring.package)
    words = ["--folder", str(tmp_path / "vendor"), "--package", str(tmp_path / "niivue.tgz")]
    assert vendoring.main(words) == 0 and not vendoring.asked


def test_git_ignores_what_is_fetched() -> None:
    assert "/src/segdistill/viewer/vendor/" in (ROOT / ".gitignore").read_text().splitlines()
