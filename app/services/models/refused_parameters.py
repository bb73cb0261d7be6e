"""Find the optional part of a request that a model refuses, and do without it.

OpenAI-compatible servers differ in what they accept: some know no `stream_options`, newer models of
OpenAI no `max_tokens`, and templates of some models no system message.
"""

import json
import re
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from app.services.models.request import RequestForm
from app.services.models.server_error import ServerError

# Statuses of servers that refuse a part of a request; templates also fail with a 500.
REFUSING = frozenset({400, 422, 500, 501})

_OPTIONAL = ("stream_options", "max_completion_tokens", "max_tokens", "temperature", "stream")
# These are also ordinary words.
_AMBIGUOUS = {"temperature", "stream"}
_REFUSAL = re.compile(
    r"un(supported|known|recogni[sz]ed|expected)|not (be )?(supported?|allowed|permitted|enabled)"
    r"|n't support|no longer|deprecated|forbidden|invalid|extra|additional|only the default"
    r"|cannot find",
    re.IGNORECASE,
)
_ROLE_PARAM = re.compile(r"(^|\.)messages(\W?\d+\W?)?\.?role", re.IGNORECASE)
_ROLE_REFUSAL = re.compile(
    r"\b(system|developer)\b.{0,20}\b(role|message|instruction|prompt)s?\b.{0,40}(\bno|n')t\b"
    r"|\brole\b.{0,40}\b(system|developer)\b.{0,40}(\bno|n')t\b"
    r"|\b(unsupported|unknown|unexpected|invalid|not support)\b.{0,40}\b(system|developer)\b"
    r"|roles must alternate",
    re.IGNORECASE | re.DOTALL,
)


def without_refused(
    form: RequestForm, body: Mapping[str, object], fixed: Collection[str], error: ServerError
) -> RequestForm | None:
    """Return the form of a request without what `error` refuses, None if it is nothing optional.

    `body` is the refused request; its members named in `fixed` were set by the operator and are
    never left out.
    """
    optional = [name for name in _OPTIONAL if name in body and name not in fixed]
    parts = re.split(r"[.\[\]]+", error.param)
    refused = [name for name in optional if name in parts] or [
        name for name in optional if _is_refused(name, error.text)
    ]
    if refused:
        return _without(form, refused[0])
    if form.rules_role != "user" and (
        _ROLE_PARAM.search(error.param) or _ROLE_REFUSAL.search(error.text)
    ):
        return replace(form, rules_role="system" if form.rules_role == "developer" else "user")
    return None


def describe_change(
    before: RequestForm, after: RequestForm, settings: str, max_tokens: int | None
) -> str:
    """Say what a model refuses, and which settings avoid the refused request.

    `settings` is the start of the names of the server's settings, such as "LLM_".
    """
    omitted = sorted(after.omitted - before.omitted)
    refused, members = list(omitted), dict[str, int | None].fromkeys(omitted)
    if after.answer_limit != before.answer_limit:
        refused.insert(0, before.answer_limit)
        # Without LLM_MAX_TOKENS only short answers have a limit, which must not become that of all.
        if max_tokens is not None:
            members = {before.answer_limit: None, after.answer_limit: max_tokens} | members
    advice = [f"add {json.dumps(members)} to {settings}EXTRA_BODY"] if members else []
    if after.rules_role != before.rules_role:
        refused.append(f"the role {before.rules_role}")
        advice.append(f"set LLM_RULES_ROLE to {after.rules_role}")
    text = f"refuses {', '.join(refused)}; requests do without it from now on"
    if after.answer_limit in after.omitted:
        setting = "CONDENSE_MAX_TOKENS" if max_tokens is None else "LLM_MAX_TOKENS"
        text += f", and {setting} has no effect"
    return f"{text}. To avoid the refused request, {' and '.join(advice)}" if advice else text


def _is_refused(name: str, text: str) -> bool:
    before = r"(['\"`]|\b(parameter|argument|field|option|property|name)s?:? )"
    found = re.search(rf"{before if name in _AMBIGUOUS else ''}(?<!\w){name}(?!\w)", text)
    streaming = name == "stream" and re.search(r"\bstreaming\b.{0,20}(\bno|n')t\b", text, re.I)
    return bool(streaming or (found and _REFUSAL.search(text)))


def _without(form: RequestForm, name: str) -> RequestForm:
    if name == "max_tokens":
        return replace(form, answer_limit="max_completion_tokens")
    return replace(form, omitted=form.omitted | {name})
