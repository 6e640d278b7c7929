"""The notebooks as they lie in the repository; `make notebooks` executes them."""

import ast
import json
import pathlib
import re

import pytest

pytestmark = pytest.mark.framework_free

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Where this was made, or a registry that a download would come from.
FORBIDDEN = re.compile(
    r"/(?:home|root|tmp|work|Users|usr/lib)/|[A-Z]:\\\\Users|https?://(?!arxiv\.org)"
)


def cells(path, kind):
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path):
    """Every cell is Python that ran, in order, without an error, and shows something."""
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds and "error" not in kinds
    for output in outputs:
        if output.get("name") == "stderr":  # no warning but that of a new head
            assert "".join(output["text"]).strip().endswith("train the model before use")
    for cell in code:
        ast.parse(re.sub(r"^%%on \w+\n", "", source(cell)))
    assert source(cells(path, "markdown")[0]).startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_one_machine(path):
    """No absolute path and no address but the paper's; pictures aside, which are base64."""
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/png", None)
        assert not FORBIDDEN.search(json.dumps(cell, ensure_ascii=False)), source(cell)
    assert path.stat().st_size < 800_000


def test_pictures_are_kept():
    def pictures(path):
        outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
        return sum("image/png" in output.get("data", {}) for output in outputs)

    assert len(NOTEBOOKS) >= 3
    assert sum(map(pictures, NOTEBOOKS)) >= 6
