"""The Hugging Face Hub: download base models and pin their revision."""
