"""Record the answers of transformers 4.57.6's question-answering pipeline, which 5 has dropped.

    PYTHONPATH=. ORACLE/bin/python tests/oracle/record_question_answering.py

in the oracle's environment (README.md) writes question_answering.json beside this file: for each of
`CASES` the answers for the tiny checkpoint of tests/pipelines/pipeline_tools.py.
"""

import json
import pathlib
import tempfile
import warnings

CONTEXT = "今天天氣非常好。Paris is the capital of france. My cute dog is held by Jim Henson. "
QUESTION = "who is held by jim?"
LONG = CONTEXT + "pizza is served in this restaurant, new york. " + CONTEXT * 2
CASES = {
    "one": dict(question=QUESTION, context=CONTEXT),
    "top_k": dict(question=QUESTION, context=CONTEXT, top_k=4),
    "tokens": dict(question=QUESTION, context=CONTEXT, top_k=4, align_to_words=False),
    "short": dict(question=QUESTION, context=CONTEXT, top_k=3, max_answer_len=2),
    "impossible": dict(question=QUESTION, context=CONTEXT, top_k=30, handle_impossible_answer=True),
    "stride": dict(question=QUESTION, context=LONG, max_seq_len=40, doc_stride=10, top_k=5),
    "stride_one": dict(question="天氣?", context=LONG, max_seq_len=32, doc_stride=8),
    "long_impossible": dict(
        question="天氣?",
        context=LONG,
        max_seq_len=32,
        doc_stride=8,
        top_k=40,
        handle_impossible_answer=True,
    ),
    "questions": dict(question=[QUESTION, "天氣?"], context=CONTEXT),
    "pairs": dict(question=[QUESTION, "天氣?"], context=[CONTEXT, LONG], max_seq_len=64),
}


def main():
    import transformers

    from tests.pipelines.pipeline_tools import write_checkpoint

    with tempfile.TemporaryDirectory() as directory:
        checkpoint = write_checkpoint(directory, "question-answering")
        answer = transformers.QuestionAnsweringPipeline(
            model=transformers.RoFormerForQuestionAnswering.from_pretrained(checkpoint),
            tokenizer=transformers.BertTokenizerFast(f"{checkpoint}/vocab.txt"),
        )
        recorded = {"transformers": transformers.__version__}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            recorded |= {name: answer(**arguments) for name, arguments in CASES.items()}
    path = pathlib.Path(__file__).with_name("question_answering.json")
    path.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
