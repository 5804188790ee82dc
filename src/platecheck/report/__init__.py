"""Reports as single HTML pages: of runs and of audits."""
