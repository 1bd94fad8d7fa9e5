"""Compare runs on the same rows: settings, metrics, and whether their difference may be chance."""
