"""`composite chat`: a conversation."""
