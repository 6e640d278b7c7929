"""Calls of the documented classes: ids, shapes, embeddings, decoders, labels."""

import numpy as np

from tests.bad_input.rows import (
    CHOICES,
    CROSS,
    DECODER,
    EMBEDS,
    IDS,
    LABELS,
    NOT_FLAX,
    ONES,
    PAST,
    STATES,
    at,
    call,
    call_pruned,
    refused,
)

ROWS = {
    # ids
    "id above the vocabulary": (
        call("Model", input_ids=at(IDS, (1, 2), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "resize_token_embeddings(41)"),
    ),
    "negative id": (
        call("Model", input_ids=at(IDS, (0, 0), -1)),
        IndexError,
        ("input_ids has the id -1", "0 to 39", "mend the ids"),
    ),
    "huge id": (
        call("Model", input_ids=at(IDS, (0, 0), 2**31 - 1)),
        IndexError,
        ("2147483647", "0 to 39", "tokenizer"),
    ),
    "id above the vocabulary, with a head": (
        call("ForTokenClassification", input_ids=at(IDS, (0, 0), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "Use the one saved with the model"),
    ),
    "id above the vocabulary, in a choice": (
        call("ForMultipleChoice", input_ids=at(CHOICES, (0, 1, 0), 99)),
        IndexError,
        ("input_ids has the id 99", "0 to 39", "Use the one saved with the model"),
    ),
    "token type above": (
        call("Model", input_ids=IDS, token_type_ids=at(ONES, (0, 0), 2)),
        IndexError,
        ("token_type_ids has the id 2", "0 to 1", "mend the ids"),
    ),
    "negative token type": (
        call("Model", input_ids=IDS, token_type_ids=at(ONES, (0, 0), -7)),
        IndexError,
        ("token_type_ids has the id -7", "0 to 1", "mend the ids"),
    ),
    "float ids": (
        call("Model", input_ids=IDS.astype("float32")),
        TypeError,
        ("input_ids", "must be integers, got float32", "cast"),
    ),
    "boolean ids": (
        call("Model", input_ids=IDS > 3),
        TypeError,
        ("input_ids", "must be integers, got bool", "cast"),
    ),
    "float token types": (
        call("Model", input_ids=IDS, token_type_ids=ONES.astype("float32")),
        TypeError,
        ("token_type_ids", "must be integers, got float32", "cast"),
    ),
    "float positions": (
        call("Model", {**DECODER}, input_ids=IDS, position_ids=np.arange(6.0)),
        TypeError,
        ("position_ids", "must be integers, got float", "cast"),
    ),
    # shapes
    "empty batch": (
        call("Model", input_ids=IDS[:0]),
        ValueError,
        ("shape (0, 6)", "its batch is 0", "at least 1", "leave out"),
    ),
    "length 0": (
        call("Model", input_ids=IDS[:, :0]),
        ValueError,
        ("shape (2, 0)", "its length is 0", "at least 1", "leave out"),
    ),
    "ids without a batch": (
        call("Model", input_ids=IDS[0]),
        ValueError,
        ("(batch, length)", "(6,)", "batch of one: ids[None]"),
    ),
    "ids of three axes": (
        call("ForMaskedLM", input_ids=IDS[None]),
        ValueError,
        ("(batch, length)", "(1, 2, 6)", "ids[None]"),
    ),
    "choices missing": (
        call("ForMultipleChoice", input_ids=IDS),
        ValueError,
        ("(batch, choices, length)", "(2, 6)", "give every example its choices"),
    ),
    "no choices": (
        call("ForMultipleChoice", input_ids=CHOICES[:, :0]),
        ValueError,
        ("shape (2, 0, 6)", "its choices is 0", "leave out"),
    ),
    "mask of another choice": (
        call("ForMultipleChoice", input_ids=CHOICES, attention_mask=ONES[:, None]),
        ValueError,
        ("attention_mask", "(2, 2, 6)", "got (2, 1, 6)", "same batch"),
    ),
    "mask too short": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, :5]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 5)", "same batch"),
    ),
    "mask too long": (
        call("ForMaskedLM", input_ids=IDS, attention_mask=np.ones((2, 7), "int32")),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 7)", "same batch"),
    ),
    "mask of one length": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, :1]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 1)", "same batch"),
    ),
    "mask of another batch": (
        call("Model", input_ids=IDS, attention_mask=np.ones((3, 6), "int32")),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (3, 6)", "same batch"),
    ),
    "mask of one axis": (
        call("Model", input_ids=IDS, attention_mask=ONES[0]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (6,)", "same batch"),
    ),
    "mask of four axes": (
        call("Model", input_ids=IDS, attention_mask=ONES[:, None, None]),
        ValueError,
        ("attention_mask", "(2, 6) or (2, 6, 6)", "got (2, 1, 1, 6)", "same batch"),
    ),
    "additive mask": (
        call("Model", input_ids=IDS, attention_mask=-10000.0 * ONES.astype("float32")),
        ValueError,
        ("attention_mask", "holds -10000.0", "must be 1", "(mask == 0)"),
    ),
    "mask above one": (
        call("Model", input_ids=IDS, attention_mask=2 * ONES),
        ValueError,
        ("attention_mask", "holds 2", "must be 1", "0 for others"),
    ),
    "token types too short": (
        call("Model", input_ids=IDS, token_type_ids=ONES[:, :3]),
        ValueError,
        ("token_type_ids", "(2, 6)", "got (2, 3)", "same batch"),
    ),
    "positions too long": (
        call("Model", input_ids=IDS, position_ids=np.arange(7)),
        ValueError,
        ("position_ids", "(2, 6) or (6,)", "got (7,)", "same batch"),
    ),
    "head mask of other heads": (
        call("Model", input_ids=IDS, head_mask=np.ones(3, "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (3,)"),
    ),
    "head mask of other layers": (
        call("Model", input_ids=IDS, head_mask=np.ones((3, 2), "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (3, 2)"),
    ),
    "head mask of one layer": (
        call("Model", input_ids=IDS, head_mask=np.ones((1, 2), "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (1, 2)"),
    ),
    "head mask of one head": (
        call("Model", input_ids=IDS, head_mask=np.ones(1, "float32")),
        ValueError,
        ("head_mask", "(2,) or (2, 2)", "got (1,)"),
    ),
    "one position": (
        call("Model", input_ids=IDS, position_ids=np.array([3])),
        ValueError,
        ("position_ids", "(2, 6) or (6,)", "got (1,)"),
    ),
    "head mask of heads that are gone": (
        call_pruned({0: [1], 1: [0]}, input_ids=IDS, head_mask=np.ones((2, 2))),
        ValueError,
        ("head_mask", "(1,) or (2, 1)", "got (2, 2)"),
    ),
    "head mask of layers with unlike heads": (
        call_pruned({0: [1]}, input_ids=IDS, head_mask=np.ones((2, 2))),
        ValueError,
        ("head_mask", "layers of 1, 2 heads", "prune the other heads"),
    ),
    # ids and embeddings
    "neither ids nor embeddings": (
        call("Model", attention_mask=ONES),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got neither", "pass the token ids"),
    ),
    "ids and embeddings": (
        call("Model", input_ids=IDS, inputs_embeds=EMBEDS),
        ValueError,
        ("exactly one of input_ids and inputs_embeds", "got both", "pass the token ids"),
    ),
    "NaN embeddings": (
        call("Model", inputs_embeds=at(EMBEDS, (1, 2, 3), np.nan)),
        ValueError,
        ("inputs_embeds", "holds nan", "must be finite", "look for the step"),
    ),
    "infinite embeddings": (
        call("ForMaskedLM", inputs_embeds=at(EMBEDS, (1, 2, 3), -np.inf)),
        ValueError,
        ("inputs_embeds", "holds -inf", "must be finite", "look for the step"),
    ),
    "embeddings of the hidden size": (
        call("Model", inputs_embeds=STATES),
        ValueError,
        ("inputs_embeds", "(2, 5, 16)", "size 12", "embedding_size"),
    ),
    "ids in the place of embeddings": (
        call("Model", inputs_embeds=IDS),
        ValueError,
        ("(batch, length, embedding_size)", "(2, 6)"),
    ),
    # decoders
    "cross-attention without states": (
        call("ForCausalLM", CROSS, input_ids=IDS),
        ValueError,
        ("encoder_hidden_states is None", "add_cross_attention=False", "last_hidden_state"),
    ),
    "states without cross-attention": (
        call("ForCausalLM", DECODER, input_ids=IDS, encoder_hidden_states=STATES),
        ValueError,
        ("encoder_hidden_states", "without cross-attention", "add_cross_attention=True"),
    ),
    "states of another size": (
        call("ForCausalLM", CROSS, input_ids=IDS, encoder_hidden_states=EMBEDS),
        ValueError,
        ("encoder_hidden_states", "(2, None, 16)", "got (2, 6, 12)"),
    ),
    "mask of the states": (
        call(
            *("ForCausalLM", CROSS),
            input_ids=IDS,
            encoder_hidden_states=STATES,
            encoder_attention_mask=ONES,
        ),
        ValueError,
        ("encoder_attention_mask", "(2, 5) or (2, 6, 5)", "got (2, 6)"),
    ),
    "mask without states": (
        call("ForCausalLM", DECODER, input_ids=IDS, encoder_attention_mask=ONES),
        ValueError,
        ("encoder_attention_mask", "encoder_hidden_states is None", "pass the states"),
    ),
    "cache of another model": (
        call("ForCausalLM", DECODER, input_ids=IDS, past_key_values=PAST[:1]),
        ValueError,
        ("past_key_values has 1 layers", "has 2", "pass what"),
    ),
    "cache of other rows": (
        call("ForCausalLM", DECODER, input_ids=IDS[[0, 0, 0]], past_key_values=PAST),
        ValueError,
        ("batch of 2", "batch of 3", "the same rows"),
    ),
    "mask that forgets the cache": (
        call(*("ForCausalLM", DECODER), input_ids=IDS, past_key_values=PAST, attention_mask=ONES),
        ValueError,
        ("attention_mask", "(2, 9) or (2, 6, 9)", "got (2, 6)"),
    ),
    # labels
    "token label above": (
        call("ForMaskedLM", input_ids=IDS, labels=at(IDS, (0, 0), 40)),
        IndexError,
        ("labels has the label 40", "0 to 39", "-100", "mend"),
        NOT_FLAX,
    ),
    "token label below": (
        call("ForTokenClassification", input_ids=IDS, labels=at(at(LABELS, 1, -100), (0, 0), -1)),
        IndexError,
        ("labels has the label -1", "0 to 2", "-100", "num_labels"),
        NOT_FLAX,
    ),
    "next-token label above": (
        call("ForCausalLM", DECODER, input_ids=IDS, labels=at(IDS, (0, 0), 41)),
        IndexError,
        ("labels has the label 41", "0 to 39", "-100", "mend"),
        NOT_FLAX,
    ),
    "class label above": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0, 3])),
        IndexError,
        ("labels has the label 3", "0 to 2", "num_labels"),
        NOT_FLAX,
    ),
    "label of a third choice": (
        call("ForMultipleChoice", input_ids=CHOICES, labels=np.array([0, 2])),
        IndexError,
        ("labels has the label 2", "0 to 1", "mend"),
        NOT_FLAX,
    ),
    "labels of another length": (
        call("ForMaskedLM", input_ids=IDS, labels=IDS[:, :5]),
        ValueError,
        ("labels", "(2, 6)", "got (2, 5)", "same batch"),
        NOT_FLAX,
    ),
    "class labels of another batch": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0, 1, 2])),
        ValueError,
        ("labels", "(2,)", "got (3,)", "as many labels as the batch"),
        NOT_FLAX,
    ),
    "float token labels": (
        call("ForTokenClassification", input_ids=IDS, labels=LABELS.astype("float32")),
        TypeError,
        ("labels", "must be integers, got float32", "cast"),
        NOT_FLAX,
    ),
    "several labels in one column": (
        call("ForSequenceClassification", input_ids=IDS, labels=np.array([0.0, 1.0])),
        ValueError,
        ("labels", "(2, 3)", "got (2,)", "num_labels"),
        NOT_FLAX,
    ),
    "a start without an end": (
        call("ForQuestionAnswering", input_ids=IDS, start_positions=np.array([1, 2])),
        ValueError,
        ("start_positions", "not end_positions", "needs both"),
        NOT_FLAX,
    ),
    "starts of another batch": (
        call(
            "ForQuestionAnswering",
            input_ids=IDS,
            start_positions=np.array([1]),
            end_positions=np.array([1]),
        ),
        ValueError,
        ("start_positions", "(2,)", "got (1,)"),
        NOT_FLAX,
    ),
}

test_refused = refused(ROWS)
