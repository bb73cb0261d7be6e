"""Count words in any script."""

import re

# Scripts without spaces between words: Thai, Lao, Khmer, kana, Han.
UNSPACED_SCRIPTS = r"\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]")
_WORD = re.compile(r"\w+")


def count_words(text: str) -> int:
    """Count words; two letters of a script without spaces count as one."""
    letters = len(_UNSPACED.findall(text))
    if not letters:
        return len(text.split())
    return (letters + 1) // 2 + len(_WORD.findall(_UNSPACED.sub(" ", text)))
