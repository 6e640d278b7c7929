"""The wheel, installed in a clean environment away from the checkout, answers the demo."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from keras_roformer import __version__
from keras_roformer.pipelines import pipeline

pytestmark = pytest.mark.framework_free

PRESET = "roformer_tiny_zh"
TEXT = "今天天气很好，我们去公园[MASK]吧。"


def succeed(*command, **options):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=900, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("dist")
    command = ("-m", "build", "--wheel", "--no-isolation", "--outdir", directory)
    succeed(sys.executable, *command, request.config.rootpath)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel; only its requirements come from this environment."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    succeed(sys.executable, "-m", "venv", "--without-pip", directory)
    python = directory / "bin" / "python"
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    succeed(sys.executable, *install)
    # A path in a .pth file comes after the environment's own packages, and the .pth files that lie
    # there, such as that of an editable install of the checkout, are not read.
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory


def run(environment, *command):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return succeed(*command, cwd=environment.parent, env={**variables, "HF_HUB_OFFLINE": "1"})


def test_what_the_wheel_carries(wheel, request):
    assert wheel.name == f"keras_roformer-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"keras_roformer", f"keras_roformer-{__version__}.dist-info"}
    root = request.config.rootpath
    modules = {
        str(path.relative_to(root)) for path in pathlib.Path(root, "keras_roformer").rglob("*.py")
    }
    assert modules <= set(names)
    files = {path.name for path in pathlib.Path(root, "presets", PRESET).iterdir()}
    carried = {name.rpartition("/")[2] for name in names if f"preset_files/{PRESET}/" in name}
    assert carried == files >= {"config.json", "vocab.txt", "model.safetensors", "metadata.json"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_package_comes_from_the_wheel(environment):
    code = (
        "import keras_roformer, keras_roformer.hub as p;"
        "print(keras_roformer.__file__); print(*p.list_presets())"
    )
    file, presets = run(environment, environment / "bin" / "python", "-c", code).splitlines()
    assert pathlib.Path(file).is_relative_to(environment)
    assert PRESET in presets.split()


def test_the_demo_answers(environment):
    found = run(environment, environment / "bin" / "keras-roformer", "fill-mask", TEXT)
    answers = pipeline("fill-mask", PRESET)(TEXT)
    assert len(answers) == 5
    rows = [
        (answer["token_str"], f"{answer['score']:.4f}", TEXT.replace("[MASK]", answer["token_str"]))
        for answer in answers
    ]
    assert found.splitlines() == ["\t".join(row) for row in rows]
