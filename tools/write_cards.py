"""Write the cards (README.md) of the presets from their metadata.

    python tools/write_cards.py               # of those that are there

Texts with `$names` for what was measured lie in `tools/cards/`; its values come from
`metadata.json` only, so that a card cannot differ from it.
"""

import json
import string
from pathlib import Path

import train_preset

ROOT = Path(__file__).resolve().parents[1]
PRESETS = ROOT / "presets"
EVERYDAY = ROOT / "tests" / "data" / "everyday.tsv"
CARDS = ROOT / "tools" / "cards"


def filled(template, values):
    """A text of `cards/` with these values in the place of its `$names`."""
    text = (CARDS / f"{template}.md").read_text("utf-8")
    return string.Template(text).substitute(values)


def percent(number):
    return f"{100 * number:.1f} %"


def with_error(scores, measure):
    return f"{percent(scores[measure])} ± {percent(scores['standard_error'])}"


def about_seeds(seeds, goal):
    values = ", ".join(map(percent, seeds["values"]))
    if seeds["seeds"] == 1:
        text = f"One seed was run ({percent(seeds['mean'])} before rounding to float16)"
        text += ", so the spread over seeds is not known."
    else:
        text = f"Mean of {seeds['seeds']} seeds: {percent(seeds['mean'])}, standard deviation "
        text += f"{percent(seeds['standard_deviation'])} ({values}, before rounding to float16). "
        text += "The first seed is shipped, whatever its score."
    outcome = "met" if seeds["mean"] >= goal else "missed"
    return f"{text} The goal set for it, {percent(goal)}, is {outcome}."


def how_it_was_made(training):
    """The section on a fine-tuning, up to what decided its settings."""
    given = training["arguments"]
    extras = ""
    adapted = f" --adapted data/{given['adapted']}" if given.get("adapted") else ""
    if given.get("adapt"):
        beforehand = " (run beforehand, by itself)" if adapted else ""
        extras += f"{given['adapt']} epochs of masked LM on the training texts{beforehand}, then "
    if given["r_drop"]:
        extras += f"R-Drop of weight {given['r_drop']:g}, "
    dropout = f"dropout {given['dropout']}"
    if given.get("attention_dropout") is not None:
        dropout += f" (of attention {given['attention_dropout']:g})"
    if given.get("split_rate"):
        dropout += f", {given['split_rate']:.0%} of the words cut into characters"
    values = given | dict(
        script=training["script"],
        base=training["base"],
        base_steps=f"{training['base_steps']:,}",
        seeds=" ".join(map(str, given["seeds"])),
        learning_rate=f"{given['learning_rate']:g}",
        word_dropout=f"{given['word_dropout']:.0%}",
        adapted=adapted,
        extras=extras,
        dropout=dropout,
    )
    return filled("how_a_task_was_made", values).rstrip()


def sizes(metadata):
    """What each card says of the model's size."""
    return dict(
        parameters=f"{metadata['parameters'] / 1e6:.1f}",
        megabytes=f"{metadata['weights_bytes'] / 1e6:.1f}",
    )


def run(training, rows):
    """One run of the pretraining: its command, and what it comes to."""
    given = training["arguments"]
    tokens = training["tokens_seen"]
    optimizer = {"adamw": "AdamW", "muon": "Muon"}[given["optimizer"]]
    command = " ".join(train_preset.options(given))
    start = " --start THE_ONE_BEFORE" if training.get("before") else ""
    return (
        f"`python {training['script']}{start} {command}`: {given['steps']:,} steps of "
        f"{given['batch_size']} × 128 tokens ({tokens / 1e6:.1f} M tokens, about "
        f"{given['steps'] * given['batch_size'] / rows:.0f} passes), {optimizer}"
    )


def masked_lm(metadata):
    """The values of the card of `roformer_tiny_zh`."""
    scores, training, texts = metadata["scores"], metadata["training"], metadata["texts"]
    runs = train_preset.all_runs(training)
    goal = 0.42
    outcomes = [
        f"{'met' if scores[name]['accuracy'] >= goal else 'missed'} {where}"
        for name, where in (
            ("heldout", "in the first line"),
            ("heldout_80_10_10", "in the second"),
        )
    ]
    named = dict(law="laws", tatoeba="tatoeba", sanguo="sanguo", news="news", reviews="reviews")
    return sizes(metadata) | dict(
        heldout_texts=f"{texts['total']['heldout texts']:,}",
        masked_tokens=f"{scores['heldout']['masked_tokens']:,}",
        scores=masked_lm_table(scores),
        goal=f"{100 * goal:.0f}",
        outcomes=" and ".join(outcomes),
        by_source=by_source(scores["heldout"]["by_source"]),
        sensible=scores["everyday"]["sensible_in_top_5"],
        sentences=scores["everyday"]["sentences"],
        answers=everyday_table(scores["everyday"]["top_5"]),
        han=f"{texts['total']['train Han'] / 1e6:.1f}",
        count=len(runs),
        runs="\n".join(f"{i}. {run(r, training['rows'])}" for i, r in enumerate(runs, 1)),
        **{name: f"{texts[source]['train texts']:,}" for source, name in named.items()},
    )


def masked_lm_table(scores):
    """The rows of masked accuracy and cross-entropy."""
    names = dict(
        heldout="every hidden token is [MASK]",
        heldout_80_10_10="80 % [MASK], 10 % random, 10 % unchanged, as in training and as BERT's "
        "scripts score",
        unigram="frequencies alone (unigram)",
    )
    rows = []
    for key, name in names.items():
        values = scores[key]
        accuracy, error = values["accuracy"], values["accuracy_standard_error"]
        loss = f"{values['cross_entropy']:.2f} ± {values['cross_entropy_standard_error']:.2f}"
        rows.append(f"| {name} | {percent(accuracy)} ± {percent(error)} | {loss} |")
    return "\n".join(rows)


def by_source(scores):
    """The accuracy of each source of texts."""
    sources = {"law": "laws", "tatoeba": "Tatoeba", "sanguo": "三国演义"}
    return ", ".join(
        f"{sources.get(name, name)} {percent(part['accuracy'])}" for name, part in scores.items()
    )


def everyday_table(top_5):
    """The rows of everyday sentences and the most probable words."""
    accepted = dict(line.split("\t") for line in EVERYDAY.read_text("utf-8").splitlines())
    return "\n".join(
        f"| {text} | {' '.join(top)} | "
        f"{'yes' if set(top) & set(accepted[text].split()) else 'no'} |"
        for text, top in top_5.items()
    )


def sentiment(metadata):
    """The values of the card of `roformer_tiny_zh_sentiment`."""
    scores = metadata["scores"]
    return sizes(metadata) | dict(
        cases=f"{scores['test']['cases']:,}",
        score=with_error(scores["test"], "accuracy"),
        baseline=with_error(scores["baseline_tfidf"], "accuracy"),
        own_cases=scores["sample"]["cases"],
        own_score=with_error(scores["sample"], "accuracy"),
        seeds=about_seeds(scores["seeds"], 0.875),
        making=how_it_was_made(metadata["training"]),
    )


def ner(metadata):
    """The values of the card of `roformer_tiny_zh_ner`."""
    scores = metadata["scores"]

    def row(name, values):
        numbers = f"{percent(values['precision'])} | {percent(values['recall'])}"
        return f"| {name} | {values['entities']:,} | {numbers} | {with_error(values, 'f1')} |"

    rows = [
        row("this preset", scores["test"]),
        *(row(f"of these, {name}", part) for name, part in scores["test"]["by_class"].items()),
        row("gazetteer: longest match, most frequent tag", scores["baseline_gazetteer"]),
        row("perfect labels of the same tokens", scores["ceiling_of_the_tokens"]),
        row("own sentences (`tests/data/ner_sample.txt`)", scores["sample"]),
    ]
    return sizes(metadata) | dict(
        scores="\n".join(rows),
        seeds=about_seeds(scores["seeds"], 0.85),
        making=how_it_was_made(metadata["training"]),
    )


VALUES = {
    "roformer_tiny_zh": masked_lm,
    "roformer_tiny_zh_sentiment": sentiment,
    "roformer_tiny_zh_ner": ner,
}


def main() -> None:
    for name, values in VALUES.items():
        path = PRESETS / name / "metadata.json"
        if path.is_file():
            card = filled(name, values(json.loads(path.read_text("utf-8"))))
            path.with_name("README.md").write_text(card, "utf-8")
            print(path.with_name("README.md"))


if __name__ == "__main__":
    main()
