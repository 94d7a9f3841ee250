"""Where tools run: providers of sandboxes, their images and their way out."""
