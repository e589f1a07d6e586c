"""How good is a segmentation, and by how much: inference over whole images, metrics, statistics."""
