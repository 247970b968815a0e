"""What goes wrong with zips, which workbooks and archived logs are."""

from __future__ import annotations

import zipfile
import zlib

DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What reading a zip raises where it is damaged, locked, or packed in a way that is not known."""
