"""Datasets: reading, splits, statistics, download, augmentation and rendering."""
