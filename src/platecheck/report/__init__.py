"""Reports as single HTML pages: of runs and of audits."""

import platecheck.data.cache  # noqa: F401 (sets matplotlib's cache folder before it is imported)
