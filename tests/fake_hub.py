"""A stand-in for the hub: repositories in the folders of a folder."""

import pathlib
import shutil
from fnmatch import fnmatch
from types import SimpleNamespace

import huggingface_hub


class Hub:
    """What is used of huggingface_hub; `calls` tells what was asked for."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.calls = []
        monkeypatch.setattr(huggingface_hub, "HfApi", self)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

    def __call__(self, token=None):  # stands for HfApi
        self.calls.append(("HfApi", token))
        return self

    def files(self, repo_id):
        """The paths of a repository's files, in order."""
        folder = self.folder / repo_id
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    def list_repo_files(self, repo_id, revision=None):
        return self.files(repo_id)

    def snapshot_download(self, repo_id, **options):
        self.calls.append(("download", options))
        return str(self.folder / repo_id)

    def create_repo(self, repo_id, **options):
        self.calls.append(("create", options))
        repo_id = repo_id if "/" in repo_id else f"me/{repo_id}"
        (self.folder / repo_id).mkdir(parents=True, exist_ok=options["exist_ok"])
        return SimpleNamespace(repo_id=repo_id)

    def create_branch(self, repo_id, branch, exist_ok):
        self.calls.append(("branch", branch))

    def upload_folder(self, repo_id, folder_path, allow_patterns=None, **options):
        assert (self.folder / repo_id).is_dir(), f"no repository {repo_id}"
        self.calls.append(("upload", options))

        for path in pathlib.Path(folder_path).rglob("*"):
            name = str(path.relative_to(folder_path))
            wanted = allow_patterns is None or any(fnmatch(name, p) for p in allow_patterns)
            if path.is_file() and wanted:
                target = self.folder / repo_id / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return f"commit to {repo_id}"
