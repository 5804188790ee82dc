"""Speed, measured as ratios of two things alternated in one run."""
