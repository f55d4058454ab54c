"""What can go wrong with one archive; the others go on.

ArchiveError
+-- ArchiveDamaged     an archive cannot be read, or its content does not match its checksums
+-- ArchiveConflict    two archives hold different content under the same name
"""

from __future__ import annotations


class ArchiveError(Exception):
    """Nothing was lost: originals and older archives are deleted only after their content was verified elsewhere."""


class ArchiveDamaged(ArchiveError):  # noqa: N818 - a state of the file
    """An archive cannot be read, or its content does not match its checksums."""


class ArchiveConflict(ArchiveError):  # noqa: N818 - a state of the files
    """Two archives hold different content under the same name."""


class ArchiveCancelled(ArchiveError):  # noqa: N818 - an outcome that was asked for
    """Somebody asked the run to stop; the unfinished file is thrown away."""
