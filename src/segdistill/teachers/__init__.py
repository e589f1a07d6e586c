"""Teachers: where knowledge comes from."""
