"""Database tables, prefixed because the database may be shared with other applications."""

from sqlalchemy import JSON, Column, DateTime, LargeBinary, MetaData, String, Table, Text

FORMAT = "2"
"""Version of the schema."""

METADATA = MetaData()

ABOUT = Table(
    "platecheck_about",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

FEEDBACK = Table(
    "platecheck_feedback",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("photo", String(80), nullable=False, index=True),  # SHA-256 of the file as sent
    Column("content", LargeBinary),  # JPEG; NULL only where migration did not find the photo
    Column("right_label", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("time", DateTime, nullable=False),  # in UTC
    Column("key_name", Text),
    Column("client_answer", JSON(none_as_null=True)),
)

REVIEW = Table(
    "platecheck_review",
    METADATA,
    Column("photo", String(80), primary_key=True),
    Column("reviewer", String(64), primary_key=True),
    Column("label", Text, nullable=False),
    Column("time", DateTime, nullable=False),  # in UTC
)
