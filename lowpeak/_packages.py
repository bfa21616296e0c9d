"""Our top-level packages have common names;
a foreign one of the same name must not be imported in their place.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

OWN = {
    "compiler": "plan/planner.py",
    "export": "manifest.py",
    "runtime_py": "simulate.py",
}


def require_own_packages() -> None:
    """Raises ImportError naming the foreign package and where it lies."""
    for package, member in OWN.items():
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not any((Path(place) / member).exists() for place in places):
            found = places[0] if places else (spec.origin if spec else "nowhere")
            raise ImportError(
                f"lowpeak needs its own package '{package}', but Python finds {found}: remove that package "
                "or folder from the path, or run from another folder"
            )
