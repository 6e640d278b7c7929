"""What the rest of the package asks of a model, whatever its framework: `Door`.

Generation, pipelines, pictures and conversion work with NumPy arrays and call these methods; how a
framework does it stands in `torch_door`, `tf_door` and `flax_door`.
"""

import contextlib
import functools

from keras import ops

from keras_roformer.arrays import to_numpy
from keras_roformer.generation.generation_outputs import OUTPUTS


class Door:
    """NumPy in and out, devices, seeds, weights and gradients of a documented class.

    Attributes:
        fixed_shapes: every new shape is compiled; who calls the model pads to a few shapes.
        generate_arguments: arguments of `generate` that this family alone has.
        default_seed: of sampling where none is given; None draws one.
    """

    fixed_shapes = False
    generate_arguments = ()
    default_seed = None

    @classmethod
    def load_for_prediction(cls, name, dtype=None, device=None, **kwargs):
        """Load a model from a checkpoint to a device, ready for prediction.

        Args:
            name: of the checkpoint, for `from_pretrained`.
            dtype: "bfloat16" or "float16" to compute in; None for float32.
            device: of `keras_roformer.pipelines.devices`; None for the framework's choice.
            kwargs: for `from_pretrained`.
        """
        model = cls.from_pretrained(name, dtype=dtype or "float32", **kwargs)
        model.prepare_prediction(device)
        return model

    def prepare_prediction(self, device=None):
        """Move to a device, if one is given, and be ready for prediction."""

    def to_inputs(self, arrays):
        """A dict of integer arrays as what the model takes, on its device."""
        return arrays

    def predict_arrays(self, batch):
        """Predict, with NumPy in and out and without dropout or gradients.

        Args:
            batch: dict of integer arrays, the documented inputs by name.

        Returns:
            dict of float32 arrays, those of the outputs that are one tensor, by name.

        Raises:
            IndexError: ids that no embedding has (`limits.check_ids`).
        """
        return {
            name: to_numpy(ops.cast(value, "float32"))
            for name, value in self._predict(batch).items()
            if hasattr(value, "shape")
        }

    def _predict(self, batch):
        """The documented output for a batch of arrays."""
        return self(**self.to_inputs(batch))

    def check_inputs(self, inputs):
        """Check a dict of inputs by documented names; see `CallChecker.check_inputs`."""
        self._checker().check_inputs(inputs)

    def inference(self):
        """A context without gradients, on the model's device."""
        return contextlib.nullcontext()

    def evaluation(self):
        """A context without dropout but with gradients, on the model's device."""
        return contextlib.nullcontext()

    @staticmethod
    def gradient(function, x):
        """The gradient of a function, from a tensor to a scalar one, at the tensor `x`."""

    @staticmethod
    def draw_seed():
        """A seed from the framework's global generator; changes the generator."""

    @staticmethod
    def to_tensor(array, like=None):
        """An array as the framework has it: on the device and with the integer dtype of `like`.

        Without `like`, what a streamer or a processor gets: an array, or a torch tensor.
        """
        return array if like is None else ops.convert_to_tensor(array)

    def weights_for_run(self, params=None):
        """The variables that the network reads, and their values where the family keeps these apart
        (`params`, by default the model's own), else None."""
        return self.network.variables, None

    def generated(self, request, sequences, result):
        """What `generate` gives.

        Args:
            request: `generation.request.Request`.
            sequences: (rows, length) prompts and continuations.
            result: `generation.search.Result`.

        Returns:
            (rows, length) tensor, or the family's output object.
        """
        config = request.config
        sequences = self.to_tensor(sequences, like=request.inputs)
        if not config.return_dict_in_generate:
            return sequences
        tensor = functools.partial(self.to_tensor, like=sequences)
        values = dict(sequences=sequences)
        if config.output_scores:
            values["scores"] = tuple(map(tensor, result.scores))
        if config.output_logits:
            values["logits"] = tuple(map(tensor, result.logits))
        if config.num_beams > 1:
            values["beam_indices"] = tensor(result.beam_indices)
            if config.output_scores:
                values["sequences_scores"] = tensor(result.sequence_scores)
        return self.generated_class(config)(**values)

    def generated_class(self, config):
        """The class of the output of `generate` for a `GenerationConfig`."""
        return OUTPUTS[self.family, config.num_beams > 1, config.do_sample]
