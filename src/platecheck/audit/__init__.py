"""What is wrong with a set of photos: duplicates, damage, doubtful labels, shortcuts."""
