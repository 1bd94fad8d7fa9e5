"""Fine-tune transformers: one config in, a trained, evaluated and reproducible model out."""

__version__ = "0.1.0"
