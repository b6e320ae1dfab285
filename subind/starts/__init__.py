"""What a recipient starts from."""
