"""Folders that are saved at once: what else lies in them, and folders that cannot be exchanged."""

import os

import pytest

from keras_roformer import saving

pytestmark = pytest.mark.framework_free


@pytest.fixture
def folder(tmp_path):
    """A saved folder in which its user keeps things."""
    folder = tmp_path / "folder"
    (folder / "runs" / "1").mkdir(parents=True)
    (folder / "assets").mkdir()
    files = {
        "config.json": "old",
        "notes.txt": "mine",
        "runs/1/log.csv": "mine",
        "assets/vocab.txt": "old",
        "assets/mine.txt": "mine",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "latest").symlink_to("runs/1")
    return folder


def save(path):
    with saving.atomic_folder(path, keep=True) as temporary:
        (temporary / "assets").mkdir()
        for name in ("config.json", "assets/vocab.txt", "weights"):
            (temporary / name).write_text("new")


def check(folder):
    texts = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert texts == {
        "config.json": "new",
        "weights": "new",
        "notes.txt": "mine",
        "runs/1/log.csv": "mine",
        "assets/vocab.txt": "new",
        "assets/mine.txt": "mine",
    }
    assert (folder / "latest").readlink().as_posix() == "runs/1"
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("can_link", [True, False])
def test_what_is_not_written_anew_stays(folder, monkeypatch, can_exchange, can_link):
    def refuse(*args):
        raise OSError

    if not can_exchange:
        monkeypatch.setattr(saving, "_exchange", lambda a, b: False)
    if not can_link:
        monkeypatch.setattr(os, "link", refuse)
    folder.chmod(0o750)
    save(folder)
    check(folder)
    assert folder.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("inside", [".", "runs"])
def test_the_working_directory_stays_in_its_place(folder, monkeypatch, inside):
    monkeypatch.chdir(folder / inside)
    number = folder.stat().st_ino
    save(os.path.relpath(folder))
    assert os.path.samefile(os.getcwd(), folder / inside)
    assert folder.stat().st_ino == number
    check(folder)


@pytest.mark.parametrize("why", ["it is mounted", "its parent may not be written to"])
def test_a_folder_that_cannot_be_exchanged_gets_the_files(folder, monkeypatch, why):
    if why == "it is mounted":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    else:  # not by its mode, as root may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: path != folder.parent)
    number = folder.stat().st_ino
    save(folder)
    assert folder.stat().st_ino == number
    check(folder)


def test_a_failure_leaves_the_working_directory_as_it_was(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(RuntimeError), saving.atomic_folder(".") as temporary:
        (temporary / "config.json").write_text("half")
        raise RuntimeError
    assert sorted(folder.rglob("*")) == before
    assert (folder / "config.json").read_text() == "old"


def test_a_process_whose_folder_is_gone_can_save(folder, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    save(folder)
    check(folder)
