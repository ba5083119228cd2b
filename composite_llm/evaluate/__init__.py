"""Does it pay? Questions with known answers, several contestants, and what the difference between them is worth."""
