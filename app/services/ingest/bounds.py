"""Limits that protect an ingestion from hostile or damaged files."""

# In bytes. yt-dlp may write a video's comments into its description.
MAX_FILE_BYTES = 20_000_000
MAX_INFO_BYTES = 50_000_000
MAX_MANIFEST_BYTES = 200_000_000
MAX_FRONT_MATTER_BYTES = 64 * 1024
# PostgreSQL cannot index a longer key.
MAX_KEY_BYTES = 2_000

# Levels of nesting.
MAX_FRONT_MATTER_DEPTH = 20
MAX_FOLDER_DEPTH = 64

# In characters: a creator's, speaker's or topic's name, a title, a heading, all headings above a
# passage, and a URL.
MAX_NAME = 200
MAX_TITLE = 300
MAX_HEADING = 300
MAX_HEADINGS = 1_000
MAX_URL = 2_000
# A longer sentence is cut; ordinary ones are cut earlier, by their words.
MAX_SENTENCE = 1_000
# A run of characters without spaces counts as one word per so many.
MAX_WORD = 100
# How many speakers or topics of a document are read.
MAX_NAMES = 100

# CPU time and memory that the parsing of one file may take.
PARSE_SECONDS = 30.0
PARSE_MEMORY_BYTES = 2 * 1024**3
