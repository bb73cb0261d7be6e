"""Score how well a sentence's form suits the type of answer that a question asks for.

A question about a year is answered by a sentence with a year, a "why" question by one with
"because". English is covered best, some other languages a little.
"""

import re
from collections.abc import Callable

from app.services.models.extractive import constants
from app.services.models.extractive.figures import figure_scorer
from app.services.models.extractive.sentences import says_nothing


def _any_of(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# A number that is not a year.
_FIGURE = _any_of(
    r"(?<![\d.,])(?!(?:19|20)\d\d(?![\d,]))\d",
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty)\b",
    r"\b(hundred|thousand|million|billion|dozen|half|thirds?|quarters?|twice|double|percent)\b",
)
_DATE = _any_of(
    r"(?<!\d)(1\d{3}|20\d\d)(?!\d)",
    r"\b(january|february|march|april|june|july|august|september|october|november|december)\b",
    r"\b(century|centuries|yesterday|(years?|months?|weeks?|days?) ago|last (year|month|week))\b",
)
_ADVICE = _any_of(
    r"\byou(['’](ll|d))? (can|could|should|need|must|might|want|have to|just)\b",
    r"^((and|then|so|first|now|next|just),? )*(add|aim|always|avoid|ask|build|choose|cut|do|don['’]"
    r"t|draw|find|get|give|go|keep|learn|leave|let|listen|look|lower|make|move|never|open|pick|place"
    r"|print|put|raise|read|record|remember|route|run|send|set|start|stay|swing|take|try|turn|use"
    r"|write)\b",
    r"\b(the|a|one) (best |good )?(way|key|trick) (to|is)\b",
    r"\b(helps?|recommend|for (me|us),? it (is|was))\b",
)
_REASON = _any_of(
    r"\b(because|since|so that|in order to|due to|therefore|thus|reasons?|as a result|otherwise)\b",
    r"\b(results? (in|from)|leads? to|led to|caus(e|es|ed)|thanks to|prevent\w*|avoid\w*)\b",
    r"\b(weil|denn|damit|deshalb|aufgrund|wegen|parce que|porque)\b|потому|чтобы|因为|由于|因此",
)
_PLACEMENT = _any_of(r"\b(in|at|on|behind|between|above|below|under|beside|near|against|next to)\b")
_OCCASION = _any_of(r"\b(when(ever)?|before|after|if|until|unless|once|as soon as|always|never)\b")

# Patterns of questions, each with the pattern of sentences that answer them.
_ANSWER_TYPES = (
    (
        _any_of(
            r"\bhow (much|many|far|fast|long|loud|quiet|high|low|big|small|large|wide|thick|often"
            r"|deep|old|tall|hot|heavy|close|near|strong|quick|quickly|soon|accurate\w*)\b",
            r"\b(what|which) (\w+ ){0,2}(ratio|rate|frequency|level|loudness|size|amount|number"
            r"|percentage|share|price|temperature|speed|length|height|weight|age|distance)s?\b",
            r"\bwie (viele?|lang|hoch|groß|weit|alt|oft|schnell)\b|\bcombien\b|\bcuánt[oa]s?\b",
            r"\bсколько\b|多少|几",
        ),
        _FIGURE,
    ),
    (
        _any_of(
            r"\bwhen (did|was|were|had|is|are|has)\b",
            r"\b(what|which) (\w+ )?(year|date|day|century|decade|month)s?\b",
            r"\bwann\b|\bwelche[mnrs]? (jahr|jahrhundert|datum)|\bquand\b|\bcuándo\b",
            r"\bкогда\b|в каком году|何时|什么时候|哪一?年",
        ),
        _DATE,
    ),
    (
        _any_of(
            r"\bwhy\b|\bhow come\b|\bwhat (\w+ )?(causes?|caused|reasons?)\b",
            r"\bwarum\b|\bwieso\b|\bpourquoi\b|\bpor qué\b|почему|为什么",
        ),
        _REASON,
    ),
    (_any_of(r"\bhow (do|can|should|could|would|to)\b", r"\bwhat should\b"), _ADVICE),
    (_any_of(r"\bwhere (do|should|can|to)\b"), _PLACEMENT),
    (_any_of(r"\bwhen (do|should|can|to)\b"), _OCCASION),
)
_ASKS_NAME = _any_of(
    r"\b(who|whose|whom|qui|quién|кто|кого|кому|кем|чей)\b",
    r"\bwhere (did|does|do|was|were|is|are|can|could)\b",
    r"\b(which|what) (?!(is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|if"
    r"|about|kind|sort|type|ways?|reasons?|makes|made|happens|happened|exactly|else|the|an?|it|this"
    r"|that|to|he|she|they|you|we|i|share|percentage|percent|rate|number|amount|size|level|time"
    r"|years?|date|day|age|cost|price|limit|fraction|part|difference|problems?|advice|changes?"
    r"|causes?|caused)\b)[a-z]",
)
_UPPER = "A-ZÀ-ÖØ-ÞΑ-ΩА-ЯЁ"
# Capitalized words within a sentence; adjacent ones are one name.
_NAMES = re.compile(rf"(?<=[\w,;:)(“\"‘’'-] )[{_UPPER}][\w’'-]+(?: [{_UPPER}][\w’'-]*)*")
_DEFINITION = re.compile(
    r"^\W*what(?:['’]s| is| are| was| were| does)\s+(?:(?:an?|the)\s+)?"
    r"(\w[\w' -]*?)(?:\s+(?:mean|called|for|in|of|on|at|to|used|stand)\b.*)?\W*$",
    re.IGNORECASE,
)


def answer_type_scorer(question: str, language: str = "english") -> Callable[[str], float]:
    """Return a function that gives each sentence a factor for how well it suits the question.

    The factor is 1 for most sentences, higher for those of the expected type, and much lower for a
    question, a greeting, an announcement, interjections or a URL. `language` is the stemmer of the
    sentences.
    """
    question = " ".join(question.split())[: constants.MAX_QUESTION_LENGTH]
    expected = [answer for pattern, answer in _ANSWER_TYPES if pattern.search(question)]
    # German capitalizes all nouns.
    asks_name = language != "german" and _ASKS_NAME.search(question) is not None
    question_words = set(re.findall(r"\w+", question.casefold()))
    definition = _definition_pattern(question)
    figure = figure_scorer(question, language)

    def score(sentence: str) -> float:
        if says_nothing(sentence):
            return constants.NO_ANSWER
        factor = figure(sentence)
        if any(answer.search(sentence) for answer in expected):
            factor *= constants.EXPECTED_TYPE
        if asks_name and _has_new_name(sentence, question_words):
            factor *= constants.NEW_NAME
        if definition and definition.search(sentence):
            factor *= constants.DEFINITION
        return factor

    return score


def _has_new_name(sentence: str, question_words: set[str]) -> bool:
    return any(
        question_words.isdisjoint(re.findall(r"\w+", name.casefold()))
        for name in _NAMES.findall(sentence)
        if not name.startswith(("I'", "I’"))
    )


def _definition_pattern(question: str) -> re.Pattern[str] | None:
    """Return a pattern that finds `a covenant is …` for `What is a covenant?`."""
    subject = _DEFINITION.match(question)
    if subject is None or len(words := re.findall(r"\w+", subject[1])) > 4:
        return None
    # Singular or plural. Only near the beginning of a sentence is the subject being defined.
    words[-1] = re.sub(r"(ies|y|e?s)$", "", words[-1])
    named = r"\W+".join(re.escape(word) for word in words)
    return re.compile(
        rf"^\W*(?:(?!of\b)\w+(?:[’']\w+)*\W+){{0,4}}{named}\w{{0,3}}\W{{1,3}}(?:\([^)]*\)\W*)?"
        r"(?:(?:really|basically|just|simply|in practice|here)\W+)?"
        r"(?:is|are|was|were|does|means?|refers?|lets?|allows?|consists?|stands?)\b",
        re.IGNORECASE,
    )
