"""Files and commands of one folder as tools for a model."""
