"""Recognize the figure that a question asks for: its kind, or the things that it counts."""

import re
from collections.abc import Callable
from itertools import islice

from app.services.models.extractive import constants
from app.services.search.text import stems

_NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|eighteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand"
    r"|million|billion|dozen|half|third|quarter)s?"
)
_NUMBER = rf"(?:(?<![\d,.])\d[\d,.]*+|\b{_NUMBER_WORD}\b)"
_NUMBERS = re.compile(_NUMBER, re.IGNORECASE)
_TIME_UNIT = (
    r"(?:(?:milli|micro|nano)?seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?"
    r"|centur(?:y|ies)|o['’]clock|[ap]\.?m\b|(?:sekunde|minute|stunde|tag|woche|monat|jahr)e?n?"
    r"|секунд|минут|час|дн|ден|недел|месяц|лет|год|秒|分|小时|天|周|个月|年)"
)


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# What asks for a kind of figure, and what such a figure looks like. The first that asks decides.
_KINDS = (
    (  # Money
        _pattern(
            r"\bhow much\b.*\b(?:costs?|pa(?:y|id)|charged?|worth|spen[dt]|raised?|earn)\b",
            r"\b(?:costs?|price|bill|fee|salary|budget|revenue|kostet|стоит|стоимость|coûte|cuesta)\b",
            r"多少钱|价格",
        ),
        _pattern(
            r"[$€£¥]\s?\d|\b(?:dollars?|bucks|euros?|cents?|pounds?|francs?|yen|bitcoins?|grand)\b",
            r"рубл|доллар|евро|[美欧日\d]元",
        ),
    ),
    (  # A share
        _pattern(
            r"\b(?:what|which) (?:share|percent|percentage|part|fraction|proportion)\b",
            r"\bhow accurate|\bwie viel prozent|\bwelcher anteil|процент|какая (?:доля|часть)|百分",
        ),
        _pattern(
            r"\d\s?%|\bper ?cent|\b(?:half|third|quarter|fraction)s?\b",
            r"\bprozent|процент|百分|[一二三四五六七八九\d]成",
        ),
    ),
    (  # A date
        _pattern(
            r"\b(?:what|which) year\b|\bwhen (?:did|was|were|is)\b|\bwann\b|\bwelchem jahr",
            r"\bкогда\b|в каком году|何时|什么时候|哪一?年",
        ),
        _pattern(
            r"(?<!\d)(?:1[0-9]\d\d|20\d\d)(?!\d)|\b(?:years?|months?|weeks?|days?) ago\b|назад"
        ),
    ),
    (  # A duration or a time of day
        _pattern(
            r"\bhow (?:long|soon|often|old|fast|quickly)\b|\bwhat time\b|\bwie (?:lange|oft|alt)\b",
            r"\b(?:как (?:долго|часто|быстро))\b|сколько (?:времени|лет)|多长时间|多久",
        ),
        _pattern(
            rf"{_NUMBER}[\s-]*+{_TIME_UNIT}",
            r"\b(?:hourly|daily|weekly|monthly|yearly|annually)\b|\b\d{1,2}:\d\d\b",
        ),
    ),
)
_COUNTED = _pattern(
    r"\b(?:how many|how much|number of|wie viele?|сколько)\s+((?:[\w'’-]+\s*){1,5})"
)
_AFTER_COUNTED = """
    am are can could did do does had has have is may might must of per should shall to was were will
    would
    """.split()
# Numbers in a sentence that are examined, and characters and terms after each.
_MAX_NUMBERS, _MAX_DISTANCE, _MAX_TERMS = 10, 45, 4


def figure_scorer(question: str, language: str) -> Callable[[str], float]:
    """Return a function that gives a factor for having the figure that the question asks for.

    It is above 1 for a figure of the kind that is asked for, and for a number before the name of
    the things that are counted.
    """
    kind = next((figure for asks, figure in _KINDS if asks.search(question)), None)
    counted = _counted(question, language)

    def score(sentence: str) -> float:
        factor = 1.0
        if kind and kind.search(sentence):
            factor *= constants.EXACT_FIGURE
        if counted and any(
            counted.intersection(
                stems(sentence[n.end() : n.end() + _MAX_DISTANCE], language)[:_MAX_TERMS]
            )
            for n in islice(_NUMBERS.finditer(sentence), _MAX_NUMBERS)
        ):
            factor *= constants.COUNTED_THING
        return factor

    return score


def _counted(question: str, language: str) -> frozenset[str]:
    """Return the stems of the things in `How many things are …?`."""
    match = _COUNTED.search(question)
    words: list[str] = []
    for word in match[1].split() if match else ():
        if word.casefold() in _AFTER_COUNTED:
            break
        words.append(word)
    return frozenset(stems(" ".join(words[:3]), language))
