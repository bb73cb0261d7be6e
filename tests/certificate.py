"""Host names come in; a throw-away certificate for them, which signs itself, goes out as a file."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

OPENSSL = shutil.which("openssl")


def make_certificate(folder: Path, names: Sequence[str]) -> Path:
    """Write a key and its certificate into one file, and return its path."""
    assert OPENSSL
    key, certificate = folder / "both.pem", folder / "certificate.pem"
    subprocess.run(  # noqa: S603 - no shell
        [
            *(OPENSSL, "req", "-x509", "-nodes", "-newkey", "ec", "-subj", f"/CN={names[0]}"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", certificate),
            *("-addext", f"subjectAltName={','.join(f'DNS:{name}' for name in names)}"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        ],
        check=True,
        capture_output=True,
    )
    with key.open("a") as both:
        both.write(certificate.read_text())
    return key
