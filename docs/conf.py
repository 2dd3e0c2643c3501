"""How the site is built: `sphinx-build -W --keep-going -b html docs out/site`."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]  # examples lie beside the package

# Counts of bytes and pictures are those of the CPU, wherever the site is built.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

project = "gradtx"
author = "the authors of gradtx"
copyright = "the authors of gradtx, Apache-2.0"
release = version = version_of("gradtx")

extensions = [
    "myst_parser",
    "sphinx_copybutton",
    "sphinx.ext.viewcode",  # the source, with a link from each entry
    "equations",
    "pictures",  # before algorithms, whose pages show them
    "algorithms",
    "checks",
    "reference",
    "wrapping",
]

source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "_pictures", "_static"]
myst_enable_extensions = ["substitution"]
myst_substitutions = {"version": version}
myst_heading_anchors = 3  # links to headings, as Markdown viewers have them
nitpicky = True  # a reference that leads nowhere is a warning

highlight_language = "text"
python_maximum_signature_line_length = 78
add_module_names = False
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"  # no prompts, no output

pygments_dark_style = "a11y-dark"

html_theme = "furo"
html_title = f"gradtx {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5394",
        "color-brand-content": "#0b5394",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb8ea",
        "color-brand-content": "#7fb8ea",
    },
}
