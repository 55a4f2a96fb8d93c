"""The private folder of a running proxy: nobody else can open it, and two proxies do not share it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from crosswire.proxy.workers.private_folder import LOCK, SOCKET, FolderError, PrivateFolder, folder_of
from crosswire.proxy.workers.supervisor import open_private_socket


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_its_user_can_open_it(top: Path) -> None:
    folder = PrivateFolder(9001)
    assert folder.path == folder_of(9001)
    assert top in folder.path.parents
    # a socket's whole path has at most about 100 characters
    opened = open_private_socket(folder.path.relative_to(top) / SOCKET)
    for path, mode in ((folder.path, 0o700), (folder.path.parent, 0o700), (folder.path / SOCKET, 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    opened.close()
    folder.close()
    assert not folder.path.exists()


def test_two_proxies_do_not_share_it(top: Path) -> None:
    first = PrivateFolder(9001)
    PrivateFolder(9002).close()
    with pytest.raises(FolderError, match="another proxy with workers is running on port 9001"):
        PrivateFolder(9001)
    first.close()
    (folder_of(9001)).mkdir(parents=True, mode=0o700)
    (folder_of(9001) / SOCKET).touch()  # what a killed proxy left behind
    (folder_of(9001) / LOCK).touch()
    PrivateFolder(9001).close()


def test_a_folder_of_others_is_refused(top: Path) -> None:
    folder_of(9001).mkdir(parents=True)
    folder_of(9001).parent.chmod(0o777)
    with pytest.raises(FolderError, match="is not a folder of this user alone"):
        PrivateFolder(9001)
