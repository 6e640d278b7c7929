"""Records what the documented examples compute under transformers 4.57.6.

Writes checkpoints/roformer_chinese_base (a small random stand-in: masked-LM weights, as the real
checkpoint holds, and a word-level vocabulary that covers the examples) and examples.npz. Same
environment as record.py.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from record import HERE, SMALL, build_torch, draw_weights, model_class, transformers

sys.path.insert(0, str(HERE.parent / "parity"))
import run_example

CHECKPOINT = HERE / "checkpoints" / "roformer_chinese_base"
# "<mask>" is three tokens here, and so is "paris": the documented masked-LM example ends in
# torch.where over both texts, which needs equal lengths.
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今", "天", "氣", "非常", "好", "。"]
PIECES += list(",.?!<>[]") + ["mask", "pa", "##r", "##is"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary() -> list[str]:
    lines = "\n".join(run_example.examples().values()).splitlines()
    texts = [text for line in lines for text in re.findall(r'"([^"]*)"', line) if " " in text]
    words = sorted(set(re.findall(r"[a-z]+", " ".join(texts).lower())) - {"paris", "mask"})
    pieces = PIECES + words + list(LETTERS) + [f"##{letter}" for letter in LETTERS]
    return list(dict.fromkeys(pieces))


def write_checkpoint(tensorflow_folder):
    vocab = vocabulary()
    sizes = dict(vocab_size=len(vocab), max_position_embeddings=128)
    config = transformers.RoFormerConfig(**SMALL | sizes)
    rng = np.random.default_rng(23)
    weights = draw_weights(rng, model_class("torch", "ForMaskedLM")(config))
    build_torch("ForMaskedLM", config, weights).save_pretrained(CHECKPOINT)
    # 4.57.6 with today's safetensors reads no PyTorch file into a TensorFlow class by itself.
    model_class("tf", "ForMaskedLM").from_pretrained(CHECKPOINT, from_pt=True).save_pretrained(
        tensorflow_folder
    )
    for folder in (CHECKPOINT, tensorflow_folder):
        text = "\n".join(vocab) + "\n"
        (folder / "vocab.txt").write_text(text, encoding="utf-8")


def main():
    recorded = {}
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "junnyu", "roformer_chinese_base")
        link.parent.mkdir()
        tensorflow_folder = Path(folder, "tensorflow")
        write_checkpoint(tensorflow_folder)
        for name in run_example.examples():
            link.unlink(missing_ok=True)
            link.symlink_to(tensorflow_folder if name.startswith("TF") else CHECKPOINT)
            result, error = Path(folder, f"{name}.npz"), Path(folder, f"{name}.txt")
            command = [sys.executable, run_example.__file__, "transformers", folder, name]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, env=os.environ
            )
            if done.returncode or error.exists():
                text = error.read_text("utf-8") if error.exists() else done.stderr
                print(name, "failed:\n", text[-2000:])
                recorded[f"{name}/error"] = np.asarray(text.strip().splitlines()[-1])
                continue
            with np.load(result) as file:
                recorded |= {f"{name}/{key}": file[key] for key in file.files}
                print(name, {key: file[key].shape for key in file.files}, flush=True)
    np.savez_compressed(HERE / "examples.npz", **recorded)


if __name__ == "__main__":
    main()
