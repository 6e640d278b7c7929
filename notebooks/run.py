"""Execute the notebooks, each from a clean state and without the network.

    python notebooks/run.py             # on little data; fails where a cell does (`make notebooks`)
    python notebooks/run.py --write     # on all data, and keep what the cells show
    python notebooks/run.py 1 4         # only those that start with 1 or 4

Exits with 1 if a notebook failed.
"""

import argparse
import os
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# A proxy that nobody is listening at: a download would be an error.
NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://0.0.0.0:9"
)

# What TensorFlow's C++ writes when it is imported: times, process ids and missing GPUs.
START_UP = re.compile(r"(?:WARNING: All log messages before absl|[IWE]\d{4} ).*\n?")


def drop_start_up_log(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = START_UP.sub("", output.text)
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]


def execute(path, write):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(HERE)}}
    client = NotebookClient(
        notebook,
        timeout=2 * 3600,
        resources=resources,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # ipykernel warns of its own local sockets
    )
    client.execute()
    if write:
        drop_start_up_log(notebook)
        nbformat.write(notebook, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="which; by default all")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the notebooks")
    options = parser.parse_args()
    os.environ.update(NO_NETWORK, HF_HUB_OFFLINE="1", TF_CPP_MIN_LOG_LEVEL="3")
    os.environ["KERAS_ROFORMER_NOTEBOOKS"] = "full" if options.write else "short"
    # What tqdm, which is not used, says where ipywidgets is missing.
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    os.environ["PYTHONPATH"] = str(HERE.parent)
    os.environ.pop("KERAS_BACKEND", None)  # each notebook chooses its own
    failed = 0
    for path in sorted(HERE.glob("*.ipynb")):
        if options.numbers and not path.name.startswith(tuple(options.numbers)):
            continue
        start = time.monotonic()
        try:
            execute(path, options.write)
            result = "passed"
        except Exception as error:  # whatever it was, the other notebooks are run too
            print(error, file=sys.stderr)
            failed += 1
            result = "FAILED"
        print(f"{path.name}: {result} in {time.monotonic() - start:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
