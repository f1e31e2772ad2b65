"""Published sets that are fetched by name: `fetching` is the one mechanism, `published` says where each of them lies.

Nothing is imported here, so the command line lists and fetches sets without JAX. `picture_sets` has the data factories.
"""
