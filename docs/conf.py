"""How Sphinx builds the site: `make docs`. Nothing is fetched from the network, neither to build it nor to read it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hybridnets import __version__

project = "hybridnets"
author = "the authors of hybridnets"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_parts"]
exclude_patterns = ["_build", "README.md"]
source_suffix = {".md": "markdown"}
highlight_language = "text"
default_role = "literal"  # of `names` in docstrings

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Source"]
python_maximum_signature_line_length = 88

# Types that have no page here to link to: those of other projects, and our own beyond the public modules.
nitpick_ignore_regex = [
    ("py:class", "ImagesOrPictures"),  # which each docstring explains
    ("py:.*", r"hybridnets\.(data\.loader|runs|rnn\._Keras).*"),
    ("py:.*", r"(collections|datetime|functools|numpy|pathlib|pytorch_lightning|torch|types|typing)\..*"),
]

html_theme = "furo"
html_title = "hybridnets"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
