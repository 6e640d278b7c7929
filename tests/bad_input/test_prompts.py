"""Prompts of generate()."""

from tests.bad_input.rows import CROSS, DECODER, IDS, ONES, at, model_of, refused
from tests.support import tensor


def generate(**arguments):
    def mistake(tmp_path):
        model = model_of("ForCausalLM", **arguments.pop("config", DECODER))
        model.generate(**{name: tensor(value) for name, value in arguments.items()})

    return mistake


ROWS = {
    "id above the vocabulary, in a prompt": (
        generate(input_ids=at(IDS, (0, 0), 40)),
        IndexError,
        ("input_ids has the id 40", "0 to 39", "Use the one saved with the model"),
    ),
    "empty prompt": (
        generate(input_ids=IDS[:, :0]),
        ValueError,
        ("shape (batch, length) and a token", "(2, 0)"),
    ),
    "mask of a prompt": (
        generate(input_ids=IDS, attention_mask=ONES[:, 1:]),
        ValueError,
        ("attention_mask must have the shape of input_ids, (2, 6)", "(2, 5)"),
    ),
    "generation without states": (
        generate(config=CROSS, input_ids=IDS),
        ValueError,
        ("encoder_hidden_states is None", "add_cross_attention=False"),
    ),
}

test_refused = refused(ROWS)
