"""URLs of files and folders as Arrow takes them."""

from __future__ import annotations

from urllib.parse import quote


def arrow_uri(url: str, gcs_patience_s: int | None = None) -> str:
    """As Arrow wants it: URLs of this program are not encoded, but for those of scheme `file`, which may be.

    Args:
        gcs_patience_s: for which a request to Google's store that fails is repeated; left to itself Arrow
            goes on for a quarter of an hour.
    """
    scheme, _, path = url.partition("://")
    scheme = "gs" if scheme == "gcs" else scheme
    # Before the first slash are bucket, key and secret, as they must be.
    bucket, slash, name = path.partition("/")
    # What `Path.as_uri` makes is a URL too.
    encoded = bucket + slash + quote(name, safe="/@:%" if scheme == "file" else "/@:")
    patience = f"?retry_limit_seconds={gcs_patience_s}" if scheme == "gs" and gcs_patience_s else ""
    return f"{scheme}://{encoded}{patience}"
