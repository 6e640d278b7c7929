"""Where a checkpoint's files are: a directory, a preset in the box, or a model on the hub; and
uploading them there.

A preset is a directory of files without code: `config.json`, `vocab.txt`, `tokenizer_config.json`,
`model.safetensors`, and `metadata.json` that says what it was trained on and how well it does.
"""

import difflib
import fnmatch
import json
import pathlib
import re

from keras_roformer.weights import formats

_PACKAGE = pathlib.Path(__file__).resolve().parent
# The wheel carries the checkout's presets/ as preset_files/ in the package.
DIRECTORIES = [_PACKAGE / "preset_files"]
if (_PACKAGE.parent / "pyproject.toml").is_file():
    DIRECTORIES.append(_PACKAGE.parent / "presets")

# The keyword arguments of every `from_pretrained` that go to `resolve`.
HUB_ARGUMENTS = "cache_dir force_download local_files_only token revision subfolder".split()

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SMALL_FILES = ("*.json", "*.txt", "*.md")


def _boxed():
    return {
        path.name: path
        for directory in DIRECTORIES
        if directory.is_dir()
        for path in sorted(directory.iterdir())
        if (path / "config.json").is_file()
    }


def list_presets():
    """The presets in the box.

    Returns:
        dict of name → what its metadata.json says, and "bytes", the size of all its files.
    """
    presets = {}
    for name, path in _boxed().items():
        metadata = path / "metadata.json"
        presets[name] = json.loads(metadata.read_text("utf-8")) if metadata.is_file() else {}
        presets[name]["bytes"] = sum(file.stat().st_size for file in path.iterdir())
    return presets


def resolve(
    name_or_path,
    *,
    revision=None,
    cache_dir=None,
    local_files_only=False,
    token=None,
    force_download=False,
    subfolder="",
    weights=formats.WRITTEN,
):
    """The directory that holds the files of a checkpoint.

    Args:
        name_or_path: an existing directory, else the name of a preset in the box, else a hub id
            ("owner/name"), whose files are downloaded into the hub's cache.
        subfolder: folder in there that has the files.
        weights: for the hub, weight formats to choose from, the best first, of
            `weights.formats.WRITTEN`; () downloads none, all that a config needs.
        revision, cache_dir, local_files_only, token, force_download: as in huggingface_hub.

    Returns:
        `pathlib.Path` of a directory.

    Raises:
        ValueError: there is no such checkpoint.
        OSError: the hub cannot be reached, or does not give the files.
    """
    name = str(name_or_path)
    path = pathlib.Path(name).expanduser()
    boxed = _boxed()
    if path.is_dir():
        directory = path
    elif name in boxed:
        directory = boxed[name]
    elif path.is_file():
        raise ValueError(f"{name} is a file; give the directory that holds the checkpoint's files")
    elif is_hub_id(name):
        location = dict(revision=revision, cache_dir=cache_dir, token=token)
        directory = _download(name, subfolder, weights, local_files_only, force_download, location)
    else:
        raise ValueError(unknown(name, boxed))
    if not (directory / subfolder).is_dir():
        raise ValueError(f"{name} has no subfolder {subfolder!r}")
    return directory / subfolder


def is_hub_id(name):
    """Whether a name can be "owner/name"; a path into a directory that is there is none."""
    return bool(_HUB_ID.fullmatch(name)) and not pathlib.Path(name).expanduser().parent.is_dir()


def unknown(name, presets, which="Presets in the box"):
    """The error of a name that is none of the `presets`."""
    near = difflib.get_close_matches(name, presets, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"{name!r} is neither a directory nor a preset.{hint} {which}: "
        f'{", ".join(presets) or "none"}. A model on the hub is named "owner/name"'
    )


def _download(repo_id, subfolder, weights, local_files_only, force_download, location):
    # Here, as it takes a while to import and boxed presets do not need it.
    import huggingface_hub
    from huggingface_hub import errors

    found = "it is not asked (local_files_only)"
    if not local_files_only:
        hub = huggingface_hub.HfApi(token=location["token"])
        try:
            files = hub.list_repo_files(repo_id, revision=location["revision"])
        except errors.GatedRepoError:
            raise OSError(
                f"the hub gives {repo_id!r} only to accounts that it accepted: ask for access on "
                "its page and pass token="
            ) from None
        except errors.RevisionNotFoundError:
            raise ValueError(f"{repo_id!r} has no revision {location['revision']!r}") from None
        except errors.RepositoryNotFoundError:
            raise ValueError(
                f"{unknown(repo_id, _boxed())}, and the hub has none of this name; if it is "
                "private, pass token="
            ) from None
        except Exception as error:  # the network, whose errors are other classes in each version
            found = f"it cannot be reached ({str(error).partition(chr(10))[0]})"
        else:
            prefix = f"{subfolder.rstrip('/')}/" if subfolder else ""
            patterns = (*_SMALL_FILES, *_weight_patterns(weights, files, prefix))
            path = huggingface_hub.snapshot_download(
                repo_id,
                allow_patterns=[prefix + pattern for pattern in patterns],
                force_download=force_download,
                **location,
            )
            return pathlib.Path(path)
    try:
        return pathlib.Path(
            huggingface_hub.snapshot_download(repo_id, local_files_only=True, **location)
        )
    except errors.LocalEntryNotFoundError:
        raise OSError(
            f"{repo_id!r} must come from the hub, but {found} and there is no copy in its cache; "
            f"offline, use a directory or a preset in the box: {', '.join(_boxed()) or 'none'}"
        ) from None


def _weight_patterns(names, files, prefix):
    """The pattern of the first format, of those named, that a repository has files of, if any."""
    patterns = [formats.TABLE[name].pattern for name in names]
    return [pattern for pattern in patterns if fnmatch.filter(files, prefix + pattern)][:1]


def upload(
    directory,
    repo_id,
    *,
    files=None,
    commit_message,
    commit_description=None,
    private=None,
    token=None,
    revision=None,
    create_pr=False,
):
    """Upload files of a directory to a repository on the hub; gives the hub's answer.

    Args:
        directory: where the files are.
        repo_id: "name", of the token's owner, or "owner/name"; made, `private` or not, if it is not
            there.
        files: patterns of the files' paths in the directory; by default all.
        commit_message, commit_description, token, create_pr: as in huggingface_hub.
        revision: the branch to upload to; made if it is not there.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id  # with its owner
    if revision is not None and not create_pr:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    return api.upload_folder(
        repo_id=repo_id,
        folder_path=directory,
        allow_patterns=files,
        commit_message=commit_message,
        commit_description=commit_description,
        revision=revision,
        create_pr=create_pr,
    )


def push(directory, kwargs, *, message, files=None):
    """Upload saved files as `push_to_hub` of every class does; gives the hub's answer.

    Args:
        directory: where the files are; its name is the repository's unless `kwargs` give `repo_id`.
        kwargs: dict of further arguments of `upload`.
        message: the commit's, unless `kwargs` give `commit_message`.
        files: patterns of the files' paths in the directory; by default all.
    """
    target = {"repo_id": pathlib.Path(directory).name, **kwargs}
    target["commit_message"] = target.get("commit_message") or message
    return upload(directory, files=files, **target)
