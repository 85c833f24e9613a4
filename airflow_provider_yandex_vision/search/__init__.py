"""Search any number of images. Imports nothing, so that parsing a DAG loads only the defaults."""
