"""The door of the torch classes; see `facades.door`."""

import contextlib

import keras
import numpy as np
import torch

from keras_roformer.facades.door import Door


class TorchDoor(Door):
    """How torch predicts, loads, draws and differentiates."""

    def prepare_prediction(self, device=None):
        if device is not None:
            self.to(device)
        self.eval()

    def to_inputs(self, arrays):
        device = self.device
        return {name: torch.as_tensor(array, device=device) for name, array in arrays.items()}

    def _predict(self, batch):
        # Attention without a mask is faster, and sorted batches are often all of one length.
        if batch["attention_mask"].all():
            batch = {name: array for name, array in batch.items() if name != "attention_mask"}
        with torch.inference_mode():
            return super()._predict(batch)

    @contextlib.contextmanager
    def inference(self):
        with torch.no_grad(), keras.device(str(self.device)):
            yield

    @contextlib.contextmanager
    def evaluation(self):
        was_training = self.training
        if was_training:
            self.eval()
        try:
            with keras.device(str(self.device)):
                yield
        finally:
            if was_training:
                self.train()

    @staticmethod
    def gradient(function, x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]

    @staticmethod
    def draw_seed():
        return int(torch.randint(2**62, ()))

    @staticmethod
    def to_tensor(array, like=None):
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        tensor = tensor if tensor.is_floating_point() else tensor.long()
        return tensor.to(like.device) if isinstance(like, torch.Tensor) else tensor

    def weights_for_run(self, params=None):
        return list(self.parameters()), None
