"""Pipelines of every task over tiny checkpoints, and transformers' own on the same weights."""

import functools

import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.tokenizers import RoFormerTokenizerFast
from tests.pipelines.pipeline_tools import BASE, HEADS, write_checkpoint

# Task → transformers' classes: the model's, after "RoFormer", and the pipeline's.
REFERENCES = {
    "fill-mask": ("ForMaskedLM", "FillMaskPipeline"),
    "text-classification": ("ForSequenceClassification", "TextClassificationPipeline"),
    "token-classification": ("ForTokenClassification", "TokenClassificationPipeline"),
    "text-generation": ("ForCausalLM", "TextGenerationPipeline"),
    "feature-extraction": ("Model", "FeatureExtractionPipeline"),
}


@pytest.fixture(scope="session")
def checkpoint():
    """A masked LM as a user has it, with words of jieba."""
    return str(BASE)


@pytest.fixture(scope="session")
def fill(checkpoint):
    return pipeline("fill-mask", checkpoint)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """The path of a checkpoint of a task, with these fields of the config."""

    @functools.cache
    def checkpoint(base, **fields):
        return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), base, **fields)

    return lambda task, **fields: checkpoint(task if task in HEADS else "fill-mask", **fields)


@pytest.fixture(scope="session")
def pipes(checkpoints):
    """Ours, with character-level tokens, as transformers' pipelines below have."""

    @functools.cache
    def pipe(task, **fields):
        path = checkpoints(task, **fields)
        tokenizer = RoFormerTokenizerFast(f"{path}/vocab.txt", use_jieba=False)
        return pipeline(task, path, tokenizer)

    return pipe


@pytest.fixture(scope="session")
def references(checkpoints):
    """transformers' own pipelines on the same weights."""
    transformers = pytest.importorskip("transformers")

    @functools.cache
    def reference(task, **fields):
        path = checkpoints(task, **fields)
        model, pipe = REFERENCES[task]
        return getattr(transformers, pipe)(
            model=getattr(transformers, f"RoFormer{model}").from_pretrained(path),
            tokenizer=transformers.BertTokenizerFast(f"{path}/vocab.txt"),
        )

    return reference
