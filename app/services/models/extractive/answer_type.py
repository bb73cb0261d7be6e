"""A question comes in; how well a sentence's form answers such a question goes out. Pure.

A question for a year is answered by a sentence with a year in it, one that begins with "why" by
one that says "because". Words of asking are known in English best, in some languages a little.
"""

import re
from collections.abc import Callable

# What a sentence gains by having what is asked for; what it keeps for being no answer at all.
_FITS = 1.5
_DEFINES = 1.8
_NO_ANSWER = 0.1
# What a question asks for is said within so many letters.
_LONGEST = 300


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_FIGURE = _words(
    r"\d",
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty)\b",
    r"\b(hundred|thousand|million|billion|dozen|half|thirds?|quarters?|twice|double|percent)\b",
)
_DATE = _words(
    r"(?<!\d)(1\d{3}|20\d\d)(?!\d)",
    r"\b(january|february|march|april|june|july|august|september|october|november|december)\b",
    r"\b(century|centuries|yesterday|(years?|months?|weeks?|days?) ago|last (year|month|week))\b",
)
_PLACE = re.compile(r"\b(in|at|near|from|to|of|between|on|through|into) (the )?[A-Z]")
_ADVICE = _words(
    r"\byou(['’](ll|d))? (can|could|should|need|must|might|want|have to|just)\b",
    r"^((and|then|so|first|now|next|just),? )*(add|aim|always|avoid|ask|build|choose|cut|do|don['’]"
    r"t|draw|find|get|give|go|keep|learn|leave|let|listen|look|lower|make|move|never|open|pick|place"
    r"|print|put|raise|read|record|remember|route|run|send|set|start|stay|swing|take|try|turn|use"
    r"|write)\b",
    r"\b(the|a|one) (best |good )?(way|key|trick) (to|is)\b",
    r"\b(helps?|recommend|for (me|us),? it (is|was))\b",
)
_REASON = _words(
    r"\b(because|since|so that|in order to|due to|therefore|thus|reasons?|as a result|otherwise)\b",
    r"\b(results? (in|from)|leads? to|led to|caus(e|es|ed)|thanks to|prevent\w*|avoid\w*)\b",
    r"\b(weil|denn|damit|deshalb|aufgrund|wegen|parce que|porque)\b|потому|чтобы|因为|由于|因此",
)
_PLACEMENT = _words(r"\b(in|at|on|behind|between|above|below|under|beside|near|against|next to)\b")
_OCCASION = _words(r"\b(when(ever)?|before|after|if|until|unless|once|as soon as|always|never)\b")

# What a question asks for, and what is in a sentence that tells it.
_FORMS = (
    (
        _words(
            r"\bhow (much|many|far|fast|long|loud|quiet|high|low|big|small|large|wide|thick|often"
            r"|deep|old|tall|hot|heavy|close|strong|quick|quickly)\b",
            r"\b(what|which) (\w+ ){0,2}(ratio|rate|frequency|level|loudness|size|amount|number"
            r"|percentage|price|temperature|speed|length|height|weight|age|distance)s?\b",
            r"\bwie (viele?|lang|hoch|groß|weit|alt|oft|schnell)\b|\bcombien\b|\bcuánt[oa]s?\b",
            r"\bсколько\b|多少|几",
        ),
        _FIGURE,
    ),
    (
        _words(
            r"\bwhen (did|was|were|had|is|are|has)\b",
            r"\b(what|which) (\w+ )?(year|date|day|century|decade|month)s?\b",
            r"\bwann\b|\bwelche[mnrs]? (jahr|jahrhundert|datum)|\bquand\b|\bcuándo\b",
            r"\bкогда\b|в каком году|何时|什么时候|哪一?年",
        ),
        _DATE,
    ),
    (_words(r"\bwhere (did|was|were|is|are)\b", r"\bwhich (city|country|state)\b"), _PLACE),
    (
        _words(
            r"\bwhy\b|\bhow come\b|\bwhat (\w+ )?(causes?|caused|reasons?)\b",
            r"\bwarum\b|\bwieso\b|\bpourquoi\b|\bpor qué\b|почему|为什么",
        ),
        _REASON,
    ),
    (_words(r"\bhow (do|can|should|could|would|to)\b", r"\bwhat should\b"), _ADVICE),
    (_words(r"\bwhere (do|should|can|to)\b"), _PLACEMENT),
    (_words(r"\bwhen (do|should|can|to)\b"), _OCCASION),
)
_WHO = re.compile(r"\b(who|whose|whom)\b", re.IGNORECASE)
_NAME = re.compile(r"(?<=[\w,;:)] )[^\W\d_a-z][\w’'-]+")
_DEFINITION = re.compile(
    r"^\W*what(?:['’]s| is| are| was| were| does)\s+(?:(?:an?|the)\s+)?"
    r"(\w[\w' -]*?)(?:\s+(?:mean|called|for|in|of|on|at|to|used|stand)\b.*)?\W*$",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[?？][\"'”’»)\]]*\s*$")
_NOT_ON_THE_MATTER = _words(
    r"^\W*(hi|hello|hey|welcome|thanks?(?! to\b)|goodbye|bye|good (morning|afternoon|evening))\b",
    r"\b(my name is|thanks? (you )?(so much )?for|with (me|us) (today )?is)\b",
    r"^\W*(in )?this (video|episode|talk|presentation|is a short|is a quick)\b",
    r"\btoday,? (we|I)(['’]ll| will|['’]re going to|['’]m going to| are going to)\b",
    r"https?://|\bwww\.",
)


def answer_form(question: str) -> Callable[[str], float]:
    """Return what gives each sentence a factor for how well its form suits the question.

    It is 1 for most; more where the sentence has what is asked for; much less for a question, a
    greeting, an announcement, an address.
    """
    question = " ".join(question.split())[:_LONGEST]
    wanted = [tells for wants, tells in _FORMS if wants.search(question)]
    who = _WHO.search(question) is not None
    asked = set(re.findall(r"\w+", question.casefold()))
    defines = _defining(question)

    def fit(sentence: str) -> float:
        if _QUESTION.search(sentence) or _NOT_ON_THE_MATTER.search(sentence):
            return _NO_ANSWER
        gain = 1.0
        if any(tells.search(sentence) for tells in wanted):
            gain *= _FITS
        if who and any(n.casefold() not in asked for n in _NAME.findall(sentence)):
            gain *= _FITS
        if defines and defines.search(sentence):
            gain *= _DEFINES
        return gain

    return fit


def asks(sentence: str) -> bool:
    """Tell whether a sentence is a question."""
    return _QUESTION.search(sentence) is not None


def _defining(question: str) -> re.Pattern[str] | None:
    """Return what finds `a covenant is …` for `What is a covenant?`."""
    subject = _DEFINITION.match(question)
    if subject is None or len(words := re.findall(r"\w+", subject[1])) > 4:
        return None
    # Singular or plural; near the beginning, or it is something else that is told of it.
    words[-1] = re.sub(r"(ies|y|e?s)$", "", words[-1])
    named = r"\W+".join(re.escape(word) for word in words)
    return re.compile(
        rf"^\W*(?:(?!of\b)\w+(?:[’']\w+)*\W+){{0,4}}{named}\w{{0,3}}\W{{1,3}}(?:\([^)]*\)\W*)?"
        r"(?:(?:really|basically|just|simply|in practice|here)\W+)?"
        r"(?:is|are|was|were|does|means?|refers?|lets?|allows?|consists?|stands?)\b",
        re.IGNORECASE,
    )
