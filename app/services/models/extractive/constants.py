"""Constants of the extractive model: how sentences are scored, and how an answer is composed."""

# Weights of the question's terms in a sentence.
# Terms that only an earlier question has, and terms that are common in questions.
EARLIER_QUESTION, COMMON_TERM = 0.4, 0.35
# Terms that the sentence lacks but that are in the sentence before it or in its source's title.
IN_PREVIOUS, IN_TITLE = 0.4, 0.35
# Share of a term that another sentence has, by its distance: speakers come to the point late.
NEARBY = {-5: 0.25, -4: 0.35, -3: 0.5, -2: 0.65, -1: 0.8, 0: 1.0, 1: 0.6, 2: 0.4, 3: 0.25}

# The score of a sentence is the product of what follows.
# Lowest relevance of a sentence by its own terms, and by those nearby, relative to the best one.
MIN_OWN, MIN_NEARBY = 0.1, 0.05
# Exponent of a source's score relative to the best source.
SOURCE_EXPONENT = 4.0
# Factors for the form of the sentence, see `answer_type`; only so many sentences are examined.
MAX_EXAMINED = 40
EXPECTED_TYPE = 4.5
DEFINITION = 1.8
EXACT_FIGURE = 6.0
COUNTED_THING = 4.0
NEW_NAME = 2.5
NO_ANSWER = 0.1
# Factors for the speaker that the question names, for a sentence that is cut off or partly
# inaudible, and for one that an earlier answer has quoted.
NAMED_SPEAKER = 2.5
INCOMPLETE = 0.4
QUOTED_BEFORE = 0.1
# A sentence is informative with this many terms that are not in the question.
INFORMATIVE = 3

# Size of an answer.
MAX_SENTENCES = 5
MAX_SOURCES = 3
MAX_WORDS = 110
# Words that may be added so that the chosen sentences can be understood: in all, in a sentence
# before or after one, and in a sentence between two.
MAX_ADDED_WORDS = 45
MAX_WORDS_BESIDE, MAX_WORDS_BETWEEN = 40, 20
# Lowest score relative to the best sentence: near a chosen sentence, elsewhere in its source, and
# in another source. Sentences are near with at most one other between them.
MIN_SCORE_NEAR, MIN_SCORE_APART, MIN_SCORE_OTHER_SOURCE = 0.12, 0.25, 0.45
NEAR = 2
# Fewest content words of a sentence, elsewhere and near a chosen one.
MIN_TERMS, MIN_TERMS_NEAR = 4, 2
# Lowest relative score of a sentence that continues one which is not part of the answer.
MIN_SCORE_FRAGMENT = 0.3
# The share of common stems above which two sentences are duplicates.
DUPLICATE = 0.7
# Characters: longer sentences are not quoted, and the rest of a question is not examined for its
# type, which bounds the time.
MAX_SENTENCE_LENGTH, MAX_QUESTION_LENGTH = 1_000, 300
