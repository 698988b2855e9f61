"""Models: what a MODEL string means, published architectures, files with random weights."""
