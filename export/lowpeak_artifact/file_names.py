"""Names of an artifact's files that readers without torch need, too."""

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.minisig"
"""Lies beside the manifest and is listed by none: it is verified by itself (signature.py)."""
