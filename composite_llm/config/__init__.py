"""What a user wrote, checked and merged into a plan; no I/O except reading a profile file."""
