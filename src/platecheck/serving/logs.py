"""Logs: one JSON object a line on stderr, never a photo, never a key."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

# Where the fields of a line hang on a log record.
FIELDS = "platecheck"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, event, and the fields it was given."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def config(level: str) -> dict[str, Any]:
    """A configuration for `logging.config.dictConfig`: ours and uvicorn's loggers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "ERROR"},  # of other packages
        "loggers": {
            "platecheck": {"handlers": ["stderr"], "level": level.upper(), "propagate": False},
            # Its warnings are of malformed requests, which anyone can send by the thousand.
            "uvicorn": {"handlers": ["stderr"], "level": level.upper(), "propagate": False},
            "uvicorn.access": {"handlers": [], "propagate": False},
            # What is wrong with a photo is in its answer.
            "PIL": {"level": "CRITICAL"},
        },
    }


def event(level: int, name: str, *, exc_info: bool = False, **fields: Any) -> None:
    """Log an event with fields, and the exception that is being handled where wanted."""
    logging.getLogger("platecheck.serving").log(
        level, name, exc_info=exc_info, extra={FIELDS: fields}
    )
