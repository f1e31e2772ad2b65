"""Parameters in the files and names of other libraries."""
