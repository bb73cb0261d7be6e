r"""Patterns that make careless text functions slow, repeated to any length.

`·` is a space, `↵` a line feed, `№` an ascending number.
"""

from collections.abc import Callable

_REPEATED = r"""
    [ ![ []( [a](< [^ [^a]: [a]:·b↵ [[a] ] ( ((a) ) *a _a *a_ **a·*a * _ ` `a ``a` ~ ~~a \ |a |a↵|-↵
    < <a· <a <!-- <div>↵ <![CDATA[ <? <c <v· <v·a>b <v.a· <time· <time·begin="1"/>a↵ <time·begin
    <00:00:01.000>a <1 <b> </ <br· <td· & &# &#1 &#x1 &amp &amp; { {y: {\ {1} {1}{2}a↵ {1}{2}{y:↵
    > >· >> >>·a↵ -· -·a↵ - -- ---↵ --> -->· =↵ # #·a↵ 1 1: 1:1 1:11:11· 00:00:01,000·-->·
    00:00:01,000·-->·00:00:02,000↵ [1:00]· [1:00]·· [1:00]·a· [00:00:00· [a·1:00· (1:00)· 1:00·a↵
    *TC· Ann·Bee:·hi↵ Ann:· Ann·1:00↵ Ann№·Bee:·hi↵ Ann·Bee· **a:**·1:00· · ↵ ·↵ ↵· a· a↵ a·b↵↵
    a a. A.· . ! … " ' ” a, , a,· : ; – aaBaa é 漢 漢。 。 、 ก http://a/· www.a align:a· line:a
    X1:1 1.·a↵ ··-·a↵ ····a↵ $a$ ==a %% №↵00:00:01,000·-->·00:00:02,000↵line↵↵ [r№]:·http://x/№↵
    #·h№↵↵a↵↵
""".split()
_REPEATED += [
    "\t",
    "\r\n",
    "\u00a0",
    "\u200b",
    "\u2028",
    "a\u0301",
    "\u0301",
    "\u202e",
    "\U0001f600",
]
# A start, a repeated part and an end: what should follow the part never comes.
_FRAMED = r"""
    [ a b | [ · x | [a · x | <v · x | <!-- - x | a · b | a ↵ b | a ·↵ b | 00:00:01,000 · x↵a↵
    | 1↵00:00:01,000· - >·x↵ | 1↵00:00:01,000·-->·00:00:02,000· line:a ·!↵a↵
    | 1↵00:00:01,000·-->·00:00:02,000· align:a· !↵a↵ | <time·begin · >x
    | 1↵00:00:01,000·-->·00:00:02,000↵ a↵ b | [1:00] ·[1:00] ·x | ---↵a:·[ [ ↵---↵x
    | ---↵a:· {b:· ↵---↵x | ---↵ -· ↵---↵x | ---↵ a:·b↵ ---↵x | ---↵a:·b · c·[↵---↵x
    | ---↵ *a· ↵---↵x | ---↵ k№:·v↵ ---↵x | --- · x | <div>↵ <a· x | <div>↵ <!-- x | <div>↵ <td· x
    | ```↵ a↵ b | |a|b|↵|-|-|↵ |c|d|↵ x | > > ·x | #· a ↵↵b | ** a· **:·b | Ann · x | Ann - x
    | Ann·( · x | [1:00]·a↵↵[2:00]·b↵↵[1:00] ·[1:00] ·x | [1:00]·a↵↵[2:00]·b↵↵[c ·1:00 ·x
    | [1:00]·a↵↵[2:00]·b↵↵ Ann:· x
""".split(" | ")


def hostile_text(pattern: str, length: int) -> str:
    """Return a text of about `length` characters that has the pattern of this name."""
    return _TEXTS[pattern](length)


def _repeated(start: str, part: str, end: str = "") -> Callable[[int], str]:
    start, part, end = (one.replace("·", " ").replace("↵", "\n") for one in (start, part, end))

    def text(length: int) -> str:
        count = length // len(part) + 1
        if "№" not in part:
            return start + part * count + end
        return start + "".join(part.replace("№", str(n)) for n in range(count)) + end

    return text


def _nested(part: str, last: str) -> Callable[[int], str]:
    return lambda length: "\n".join(part * n + last for n in range(int(length**0.5)))


def _long_backticks(length: int) -> str:
    return "".join(f"{'`' * (n % 200 + 1)}a" for n in range(length // 100))


def _wide_table(length: int) -> str:
    width = length // 6
    return "|a" * width + "|\n" + "|-" * width + "|\n" + "|b\n" * (width // 2)


_TEXTS = {
    **{ascii(part): _repeated("", part) for part in _REPEATED},
    **{ascii(" ".join(parts.split())): _repeated(*parts.split()) for parts in _FRAMED},
    "nested list": _nested("  ", "- a"),
    "nested quotes": _nested("> ", "a"),
    "long backticks": _long_backticks,
    "wide table": _wide_table,
}
PATTERNS = tuple(_TEXTS)
