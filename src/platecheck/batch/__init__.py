"""Batch prediction for archives of any size, shard by shard, on one machine or a cluster."""
