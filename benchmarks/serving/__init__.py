"""What the HTTP service can take: throughput, load and batches."""
