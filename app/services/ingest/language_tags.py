"""BCP 47 language tags as people write them, in metadata and in file names."""

import re

from app.services.search.text import fold

# Roughly BCP 47: `en`, `pt-BR`, `zh-Hans`.
_TAG = re.compile(r"([a-z]{2,3})((?:[-_][a-z0-9]{2,8}){0,3})", re.IGNORECASE)
# As in `NAME.en.vtt`, `NAME.zh-Hans.vtt`, `NAME.en-orig.vtt`.
_FILE_SUFFIX = re.compile(
    r"\.([a-z]{2,3})(-orig|(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|\d{3}))?)$"
)
# With `iw`, which YouTube uses for Hebrew.
_ISO_639_1 = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu
    hy hz ia id ie ig ii ik io is it iu iw ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la
    lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj
    om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv
    sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)
_ISO_639_2 = dict(
    pair.split("=")
    for pair in """
    eng=en deu=de ger=de fra=fr fre=fr spa=es ita=it por=pt rus=ru jpn=ja zho=zh chi=zh nld=nl
    dut=nl
    """.split()
)
_ENGLISH_NAMES = dict(
    pair.split("=")
    for pair in """
    arabic=ar chinese=zh czech=cs danish=da dutch=nl english=en finnish=fi french=fr german=de
    greek=el hebrew=he hindi=hi hungarian=hu indonesian=id italian=it japanese=ja korean=ko
    norwegian=no polish=pl portuguese=pt romanian=ro russian=ru spanish=es swedish=sv thai=th
    turkish=tr ukrainian=uk vietnamese=vi
    """.split()
)


def parse_language(language: str | None) -> str | None:
    """Return the tag of a language such as `en`, `pt_BR`, `eng` or `German`; None if unknown."""
    if language is None:
        return None
    match = _TAG.fullmatch(language.strip())
    if match is None:
        return _ENGLISH_NAMES.get(fold(language))
    code, rest = match[1].lower(), match[2].replace("_", "-")
    return _ISO_639_2.get(code, code) + ("" if rest == "-orig" else rest)


def split_language(stem: str) -> tuple[str, str | None]:
    """Split `NAME.en`, a file name without its extension, into the name and a language tag."""
    match = _FILE_SUFFIX.search(stem)
    if match is None or not (match[1] in _ISO_639_1 or match[1] in _ISO_639_2):
        return stem, None
    return stem[: match.start()], parse_language(stem[match.start() + 1 :])
