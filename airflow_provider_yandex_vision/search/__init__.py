"""Search any number of images: a stream of images in, a stream of results out.

Imports nothing, so that parsing a DAG loads the defaults and no more.
"""
