"""Record the losses of plain SGD with transformers 4.57.6's torch class; see README.md."""

import json
import pathlib

import numpy as np
import torch
from transformers import RoFormerConfig, RoFormerForMaskedLM

HERE = pathlib.Path(__file__).resolve().parent
STEPS, RATE = 4, 0.05


def main():
    """From the recorded masked-LM checkpoint, with fixed batches and without dropout."""
    folder = HERE / "checkpoints" / "masked_lm"
    config = RoFormerConfig.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model = RoFormerForMaskedLM.from_pretrained(folder, config=config)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(STEPS):
        ids = torch.tensor(rng.integers(1, config.vocab_size, (4, 7)))
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    (HERE / "sgd.json").write_text(json.dumps({"rate": RATE, "losses": losses}) + "\n")


if __name__ == "__main__":
    main()
