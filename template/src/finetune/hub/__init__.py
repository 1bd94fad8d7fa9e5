"""The Hugging Face Hub: find, fetch and pin base models."""
