"""Images in object storage: from URLs to a stream of images."""
