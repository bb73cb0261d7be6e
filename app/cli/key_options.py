"""The options of `keys`."""

import argparse
import asyncio
import re
from datetime import timedelta
from urllib.parse import urlsplit

from app.cli.eval_options import Subparsers
from app.config import Settings

_LIFETIME = re.compile(r"([1-9]\d{0,3})([hd])")
_NAME = re.compile(r"[^\W_][\w .-]{0,99}")
_ID = re.compile(r"[0-9a-f]{12}")
_SLUG = re.compile(r"[\w-]{1,200}")


def add_keys(commands: Subparsers) -> None:
    """Add `keys` with its subcommands."""
    parser = commands.add_parser(
        "keys",
        help="make, list and revoke the keys that AUTH=on asks for",
        description="Make, list and revoke the keys that AUTH=on asks for. Running workers see"
        " changes within seconds.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_create(actions)
    listing = actions.add_parser("list", help="list the keys and how much they are used")
    listing.add_argument("--json", action="store_true", help="print a list of objects")
    listing.set_defaults(command=_list)
    revoking = actions.add_parser("revoke", help="revoke a key and all tokens signed with it")
    revoking.add_argument("key", metavar="ID|NAME", help="the key's id or name; not the key itself")
    revoking.set_defaults(command=_revoke)


def _add_create(actions: Subparsers) -> None:
    parser = actions.add_parser(
        "create",
        help="make a key, and print it once",
        description="Make a key, and print it once. A secret key is for servers; it also has a"
        " signing secret for tokens. A publishable key may be visible in web pages: it works only"
        " on its origins, and may only ask and read its own.",
    )
    parser.add_argument("name", type=_name, metavar="NAME", help="what the key is for")
    parser.add_argument("--kind", choices=["secret", "publishable"], default="secret")
    parser.add_argument(
        "--origin",
        action="append",
        dest="origins",
        type=origin,
        metavar="URL",
        help="an origin whose pages may use the key, such as https://example.org; may be repeated",
    )
    parser.add_argument(
        "--creator",
        action="append",
        dest="creators",
        type=_slug,
        metavar="SLUG",
        help="a creator that the key may read (default: all); may be repeated",
    )
    for option, text in (
        ("--per-minute", "questions a minute"),
        ("--per-day", "questions a day"),
        ("--at-once", "answers at once"),
        ("--tokens-per-day", "tokens of the language model a day"),
    ):
        parser.add_argument(option, type=_count, metavar="N", help=f"{text}, at most")
    parser.add_argument(
        "--expires", type=_lifetime, metavar="TIME", help="how long it is valid: 90d, 12h …"
    )
    parser.add_argument("--json", action="store_true", help="print an object")
    parser.set_defaults(command=_create, usage_error=parser.error)


def _create(settings: Settings, options: argparse.Namespace) -> int:
    if options.kind == "publishable" and not options.origins:
        options.usage_error("a publishable key needs --origin")
    from app.cli.keys import create
    from app.services.access.caller import Quota
    from app.services.access.key_admin import KeySpec

    spec = KeySpec(
        options.name,
        options.kind,
        tuple(options.origins or ()),
        tuple(options.creators) if options.creators else None,
        Quota(options.per_minute, options.per_day, options.at_once, options.tokens_per_day),
        options.expires,
    )
    return asyncio.run(create(settings, spec, as_json=options.json))


def _list(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.keys import show

    return asyncio.run(show(settings, as_json=options.json))


def _revoke(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.keys import revoke

    return asyncio.run(revoke(settings, options.key))


def origin(text: str) -> str:
    """Return an origin as browsers send it."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError:
        host, port = "", None
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username) if host else ("?",)
    if any(rest) or parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", host):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an origin, such as https://example.org or http://localhost:3000:"
            " scheme, host and port alone, without * and without a path"
        )
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def _name(text: str) -> str:
    # An id as a name would make `revoke` ambiguous.
    if not _NAME.fullmatch(text) or _ID.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not 1 to 100 letters, digits, spaces and . _ -, or it looks like an id"
        )
    return text


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a slug, such as tomas-okafor")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _lifetime(text: str) -> timedelta:
    found = _LIFETIME.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90d or 12h")
    number = int(found[1])
    return timedelta(days=number) if found[2] == "d" else timedelta(hours=number)
