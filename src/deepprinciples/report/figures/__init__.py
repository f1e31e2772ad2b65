"""The figures of the report, drawn with matplotlib; `plots` has all of them in the order of the page."""
