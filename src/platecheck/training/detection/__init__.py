"""Train a detector of dishes: network, loss, photos with boxes."""
