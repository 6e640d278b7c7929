"""The parts of a training by Keras `fit`: model, batches, optimizer, the choice of the best epoch.

The command `train` (see `fine_tuning`), tools/ and benchmarks/ train with these.
"""

import keras
import numpy as np

from keras_roformer.backend import compiles_each_shape
from keras_roformer.batches import few_widths, mask_of_lengths, padded_rows, similar_lengths
from keras_roformer.entities import precision_recall_f1, spans_of_tags
from keras_roformer.layers.initializers import deferred_values
from keras_roformer.tasks import RoFormerNetwork
from keras_roformer.weights import checkpoint, transfer

# Batches whose examples are sorted by length together, at most; and the pools of an epoch, at
# least: with fewer, a short and a long text would never meet in a batch.
POOL = 32
LEAST_POOLS = 8
# Widths of an epoch's batches where each is compiled, at most. A width takes about 5 s to compile.
WIDTHS = 4


def pretrained_network(directory, config, task, source):
    """A network with a checkpoint's weights; those that it lacks, as of a new head, are drawn.

    Args:
        source: what messages call the checkpoint.
    """
    with deferred_values():
        network = RoFormerNetwork(config, task=task)
    loaded = transfer.load(network, checkpoint.read(directory), source=source)
    transfer.draw(network, loaded.absent_keys)
    return network


class LogitsModel(keras.Model):
    """A network as a model for `fit`: a dict of inputs by their names → logits.

    Args:
        network: `RoFormerNetwork`.
        call_arguments: further arguments of each call of the network.
    """

    def __init__(self, network, **call_arguments):
        super().__init__()
        self.network = network
        self.call_arguments = call_arguments

    def call(self, inputs, training=False):
        return self.network(**inputs, **self.call_arguments, training=training)["logits"]


def warm_up_and_cosine(steps, peak):
    """A learning rate that rises for a tenth of the steps, then falls to 0 along a cosine."""
    warm_up = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up
    )


def compile_classifier(model, steps, learning_rate):
    """Compile a classifier of texts or tokens with AdamW and `warm_up_and_cosine`."""
    model.compile(
        optimizer=keras.optimizers.AdamW(
            warm_up_and_cosine(steps, learning_rate), weight_decay=0.01, clipnorm=1.0
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # On TensorFlow, XLA would compile every width; JAX without it would compile nothing at all.
        jit_compile=compiles_each_shape(),
    )


class Batches(keras.utils.PyDataset):
    """Padded batches of similar lengths, see `similar_lengths`; shuffled for each epoch.

    Args:
        encoded: list of `(ids, label, weight)`; of a tagger `(ids, labels, weights)`.
        batch_size: examples in a batch.
        rng: `numpy.random.Generator` of the orders, or None to keep one order.

    Each batch is `({"input_ids", "attention_mask"}, labels, weights)`. Where each width is compiled
    there are at most `WIDTHS` of them.
    """

    def __init__(self, encoded, batch_size, rng):
        super().__init__()
        self.encoded, self.batch_size, self.rng = encoded, batch_size, rng
        self.lengths = np.array([len(ids) for ids, _, _ in encoded])
        self.widths = None
        if compiles_each_shape():
            self.widths = few_widths(self.lengths, batch_size, WIDTHS)
        if rng is None:
            self._put_in_order()
        else:
            # Keras's look at the first two batches, before the first epoch. The shortest examples
            # are in one batch, so that widths differ here if they do in any order.
            rows = np.argsort(-self.lengths, kind="stable")
            self._set([rows[i : i + batch_size] for i in range(0, len(rows), batch_size)])

    def __len__(self):
        return -(-len(self.encoded) // self.batch_size)

    def __getitem__(self, index):
        chosen = self.batches[index]
        ids, labels, weights = zip(*(self.encoded[i] for i in chosen), strict=True)
        width = int(self.lengths[chosen].max())
        if self.widths is not None:
            width = self.widths[np.searchsorted(self.widths, width)]
        x = {
            "input_ids": padded_rows(ids, width),
            "attention_mask": mask_of_lengths(self.lengths[chosen], width),
        }
        if isinstance(labels[0], int):
            return x, np.array(labels, "int32"), np.array(weights, "float32")
        return x, padded_rows(labels, width), padded_rows(weights, width, dtype="float32")

    def on_epoch_end(self):
        """Take another order; `fit` calls this before its first epoch, too."""
        if self.rng is not None:
            # The second of two: once an epoch was a `fit`, and a seed still gives the same orders.
            self._put_in_order()
            self._put_in_order()

    def _put_in_order(self):
        pool = min(POOL, max(1, len(self) // LEAST_POOLS))
        self._set(similar_lengths(self.lengths, self.batch_size, self.rng, pool))

    def _set(self, batches):
        # On TensorFlow, Keras leaves open only the sizes in which the first two batches differ.
        widths = np.array([self.lengths[batch].max() for batch in batches])
        batches.insert(1, batches.pop(int(np.argmax(widths != widths[0]))))
        self.batches = batches


class KeepBest(keras.callbacks.Callback):
    """Report the scores of held-out examples after each epoch; keep the best weights in memory.

    A classifier's best epoch has the highest accuracy, a tagger's the highest F1 of entities; of
    equal ones it is the one with the lowest loss.

    Args:
        held_out: `Batches`, the `validation_data` of `fit`.
        report: called with a dict of numbers after each epoch.
        tags: the names of a tagger's classes; None for a classifier.

    Attributes:
        scores: dict of the best epoch's scores.
        weights: canonical checkpoint of the best epoch, see `transfer.read`.
    """

    def __init__(self, held_out, report, tags=None):
        super().__init__()
        self.held_out, self.report, self.tags = held_out, report, tags
        self.scores = self.weights = self._quality = None

    def on_epoch_end(self, epoch, logs=None):
        scores = {"held-out loss": logs["val_loss"], "accuracy": logs["val_accuracy"]}
        if self.tags is not None:
            scores |= self._entity_scores()
        self.report({"epoch": epoch + 1, "loss": logs["loss"], **scores})
        quality = scores["accuracy" if self.tags is None else "f1"], -scores["held-out loss"]
        if self._quality is None or quality > self._quality:
            self._quality, self.scores = quality, scores
            self.weights = transfer.read(self.model.network)

    def _entity_scores(self):
        found, gold = set(), set()
        for number in range(len(self.held_out)):
            x, answers, weights = self.held_out[number]
            predicted = np.argmax(self.model.predict_on_batch(x), axis=-1)
            for row, counts in enumerate(weights > 0):
                for spans, classes in ((found, predicted[row]), (gold, answers[row])):
                    names = [self.tags[index] for index in classes[counts]]
                    spans.update((number, row, *s) for s in spans_of_tags(names, outside=("O",)))
        numbers = precision_recall_f1(len(found & gold), len(found), len(gold))
        return dict(zip(("precision", "recall", "f1"), map(float, numbers), strict=True))
