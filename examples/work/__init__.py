"""Work with several models: each example runs with the models that the environment names."""
