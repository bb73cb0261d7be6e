"""Write datasets in BEIR format to a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.ingest.libraries import write_files

CORPUS = {
    "kick#0": "A kick drum has its body at 60 Hz. Its click is far above.",
    "kick#1": "Tune the kick to the root of the song.",
    "reverb#0": "A plate reverb makes the vocals shine. Cut its lows at 300 Hz.",
    "reverb#1": "Duck the reverb with a compressor so that the words stay clear.",
}
QUESTIONS = {"q1": "Where is the body of a kick drum?", "q2": "How do I duck the reverb?"}
JUDGEMENTS = {"q1": ("kick#0",), "q2": ("reverb#1",)}


def lines(entries: Sequence[Mapping[str, object]]) -> str:
    """Return the entries as JSON Lines."""
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def tsv(judgements: Mapping[str, Sequence[str]]) -> str:
    """Return judgements in BEIR format, all of grade 1."""
    pairs = [(query, entry) for query, entries in judgements.items() for entry in entries]
    return "".join(
        [
            "query-id\tcorpus-id\tscore\n",
            *(f"{query}\t{entry}\t1\n" for query, entry in pairs),
        ]
    )


def beir_folder(
    folder: Path,
    corpus: Mapping[str, str] = CORPUS,
    questions: Mapping[str, str] = QUESTIONS,
    judgements: Mapping[str, Sequence[str]] = JUDGEMENTS,
    **metadata: Mapping[str, object],
) -> Path:
    """Write a dataset; `metadata` maps ids of questions to their metadata."""
    return write_files(
        folder,
        {
            "corpus.jsonl": lines(
                [{"_id": name, "title": "", "text": text} for name, text in corpus.items()]
            ),
            "queries.jsonl": lines(
                [
                    {"_id": name, "text": text, "metadata": metadata.get(name, {})}
                    for name, text in questions.items()
                ]
            ),
            "qrels/dev.tsv": tsv(judgements),
        },
    )
