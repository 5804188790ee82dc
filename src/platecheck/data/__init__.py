"""Photos in folders: reading, dividing, measuring, downloading, rendering."""
