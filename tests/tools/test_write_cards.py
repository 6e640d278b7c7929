"""The presets' cards: each is what its metadata and its template make."""

import json

import pytest
import write_cards


@pytest.mark.framework_free
@pytest.mark.parametrize("name", write_cards.VALUES)
def test_a_card_says_what_the_metadata_say(name):
    folder = write_cards.PRESETS / name
    values = write_cards.VALUES[name](json.loads((folder / "metadata.json").read_text("utf-8")))
    assert write_cards.filled(name, values) == (folder / "README.md").read_text("utf-8")
