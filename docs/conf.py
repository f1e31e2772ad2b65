"""How the site of the documentation is built: `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "deepprinciples"
author = "the deepprinciples authors"
project_copyright = "the deepprinciples authors, Apache 2.0"
release = version = version_of("deepprinciples")

extensions = ["myst_nb", "sphinx.ext.autodoc", "experiment_gallery", "concept_figures", "plain_docstrings", "sources"]
exclude_patterns = ["_build", "jupyter_execute", "findings.md"]
suppress_warnings = ["misc.highlighting_failure"]  # a formula in a block of text is no code

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "auto"
nb_execution_in_temp = True  # runs/ of a notebook is not left among the sources
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # warnings of other packages name folders of the machine that built the site

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the arguments are described in words, and the signature shows the rest

html_theme = "furo"
html_title = "deepprinciples"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
