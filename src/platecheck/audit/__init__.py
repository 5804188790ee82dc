"""What is wrong with a set of photos: duplicates, damage, doubtful labels, shortcuts."""

import platecheck.data.cache  # noqa: F401 (before cleanvision's matplotlib, whose fonts it keeps)
