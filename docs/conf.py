"""Sphinx configuration. Builds without the network: no inventories of other projects."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parent.parent))

import meshgate

project = "meshgate"
author = "The meshgate authors"
copyright = "2026, the meshgate authors"  # noqa: A001 -- Sphinx's name
release = meshgate.__version__
extensions = ["sphinx.ext.autodoc", "generated"]
exclude_patterns = ["_build"]
highlight_language = "text"
html_theme = "furo"
html_title = "meshgate"
html_static_path: list[str] = []
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
