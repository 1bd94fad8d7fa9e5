"""What the benchmarks compare: the same training by `finetune`, by the Hugging Face Trainer and by a tutorial's loop."""
