"""Programs that slow tests run, and that may not be installed."""

import os
import shutil

# Debian installs nginx where an ordinary user's PATH does not lead.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
# Names that other distributions use.
OTHER_NAMES = {"chromium": "chromium-browser"}


def find(name: str) -> str | None:
    """Return the path of a program, or None if it is not installed."""
    return shutil.which(name, path=PATH) or shutil.which(OTHER_NAMES.get(name, name), path=PATH)


NGINX = find("nginx")
CHROMIUM = find("chromium")
NODE = find("node")
CURL = find("curl")
PGBOUNCER = find("pgbouncer")
