"""Workflows of steps, each with its tier and fallbacks; three audits come with it."""
