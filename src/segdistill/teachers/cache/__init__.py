"""What frozen teachers know of each case, computed once and kept beside the preprocessed images."""
