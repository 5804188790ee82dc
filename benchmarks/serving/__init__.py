"""What the HTTP service can take: throughput, load, batches, hostile bodies."""
