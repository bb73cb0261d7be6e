"""Names of end users."""

import re

# Visible ASCII characters, with spaces between them.
SUBJECT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
