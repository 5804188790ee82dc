"""Audit a dataset for duplicates, damaged photos, label errors and shortcuts."""

import platecheck.data.cache  # noqa: F401 (sets matplotlib's folder before cleanvision imports it)
