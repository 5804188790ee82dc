"""Import the photo files of a database of version 0.1 into its rows."""

import logging
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select, update

from platecheck.errors import OutputError, PhotoError, SettingsError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import encode_photo
from platecheck.feedback.schema import ABOUT, FEEDBACK, FORMAT, REVIEW

logger = logging.getLogger(__name__)

_OWNER = "platecheck-feedback.txt"  # file with the id of the database that a folder belongs to
_CHANGES = (
    "DELETE FROM platecheck_feedback WHERE state <> 'stored'",  # left by interrupted operations
    "DROP INDEX platecheck_feedback_state_time",
    "ALTER TABLE platecheck_feedback DROP COLUMN state",
)


def import_photos(database: Database, database_id: str, folder: Path | None) -> None:
    """Import all photos in one transaction; warn about those that cannot be opened."""
    if folder is None:
        raise SettingsError(
            f"{database.name} was created by platecheck 0.1; pass the folder of its photos once, to"
            " import them (serve --feedback-photos, review --photos, data collect --photos)"
        )
    if _owner(folder) != database_id:
        raise SettingsError(f"{folder} is not the photo folder of {database.name}")
    if database.file:
        for suffix in ("", "-wal", "-shm"):  # as private as the folder was
            with suppress(FileNotFoundError):
                Path(f"{database.file}{suffix}").chmod(0o600)
    database.run_sqlite_script("VACUUM")  # lets auto_vacuum take effect
    with database.writing(exclusive=True) as connection:
        is_format = ABOUT.c.name == "format"
        if connection.scalar(select(ABOUT.c.value).where(is_format)) == FORMAT:
            return  # already migrated by another process
        binary = "BLOB" if database.file else "BYTEA"
        for change in (f"ALTER TABLE platecheck_feedback ADD COLUMN content {binary}", *_CHANGES):
            connection.exec_driver_sql(change)
        names = connection.scalars(select(FEEDBACK.c.photo).distinct()).all()
        logger.warning("importing %d photos into %s", len(names), database.name)
        for name in names:
            photo, content = name.replace("/", "").partition(".")[0], None
            try:
                content = encode_photo((folder / name).read_bytes())
            except (OSError, PhotoError) as error:
                logger.warning("%s was not imported: %s", folder / name, error)
            named = FEEDBACK.c.photo == name
            connection.execute(update(FEEDBACK).where(named).values(photo=photo, content=content))
            connection.execute(update(REVIEW).where(REVIEW.c.photo == name).values(photo=photo))
        connection.execute(update(ABOUT).where(is_format).values(value=FORMAT))


def delete_imported(database: Database, database_id: str, folder: Path) -> None:
    """Delete the photo files of a database that were imported; harmless to repeat."""
    if _owner(folder) != database_id:
        return
    missing = select(FEEDBACK.c.photo).where(FEEDBACK.c.content.is_(None))
    with database.reading() as connection:
        kept = set(connection.scalars(missing))
    try:
        for path in folder.glob("[0-9a-f][0-9a-f]/*"):
            if path.parent.name + path.stem not in kept:
                path.unlink()
        if kept:
            return
        for subfolder in folder.glob("[0-9a-f][0-9a-f]"):
            subfolder.rmdir()
        (folder / _OWNER).unlink()  # last, so that an interrupted deletion can be repeated
    except OSError as error:
        raise OutputError(folder, error, "delete it: its photos are imported") from error
    with suppress(OSError):  # not empty
        folder.rmdir()


def _owner(folder: Path) -> str | None:
    try:
        return (folder / _OWNER).read_text(encoding="utf-8").strip()
    except OSError:
        return None
