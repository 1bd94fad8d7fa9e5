"""Data quality: leakage, duplicates, label balance, outliers."""
