"""Throw-away TLS certificates."""

from collections.abc import Sequence
from pathlib import Path

import trustme


def make_certificate(folder: Path, names: Sequence[str]) -> Path:
    """Write a key, its certificate for these host names and the issuing CA's into one file.

    A server loads the file as its certificate, a client as the CA to trust.
    """
    authority, path = trustme.CA(), folder / "certificate.pem"
    authority.issue_cert(*names, common_name=names[0]).private_key_and_cert_chain_pem.write_to_path(
        path
    )
    authority.cert_pem.write_to_path(path, append=True)
    return path
