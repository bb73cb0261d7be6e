"""The weights of the answerability classifier, learned from judged questions about many libraries.

`answerability_weights.json` also records what they were trained on; `make train` learns them again.
"""

from importlib.resources import files

import msgspec
from msgspec import Struct

# The features of a ranking in lexical search, and those that hybrid search adds.
LEXICAL = ("peak", "lexical", "best_coverage", "covered_idf", "library_coverage")
SEMANTIC = ("cosine", "mean_cosine", "best_cosine")

WEIGHTS_FILE = "answerability_weights.json"


class TrainingSet(Struct, frozen=True):
    """A library that the weights were learned from, and its numbers of questions.

    `lost` is the share of its answerable questions that are refused if its threshold is calibrated
    and the weights are learned from the other sets only.
    """

    name: str
    passages: int
    answerable: int
    unanswerable: int
    lost: float


class TypicalCalibration(Struct, frozen=True):
    """The medians of the libraries' calibrations, see `answerability.CalibratedRegression`."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    bias: float
    margin: float


class Weights(Struct, frozen=True):
    """The weights of the features, per standard deviation among off-topic questions.

    `lexical` has one for each of `LEXICAL`, `hybrid` also for `SEMANTIC`; `semantic` has those of
    `SEMANTIC` for questions whose words the library lacks. `typical_semantic` calibrates these for
    libraries that are too small to calibrate, if they use the same embedder.
    """

    lexical: tuple[float, ...]
    hybrid: tuple[float, ...]
    semantic: tuple[float, ...]
    typical_semantic: TypicalCalibration
    embedder: str
    trained_on: tuple[TrainingSet, ...]


WEIGHTS = msgspec.json.decode(
    files("app.services.search").joinpath(WEIGHTS_FILE).read_bytes(), type=Weights
)
