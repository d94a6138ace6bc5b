"""What the other packages share: arguments, files, parameters."""
