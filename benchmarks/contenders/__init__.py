"""What the benchmarks compare: the same training by `finetune`, by the Trainer and by the loop of a tutorial."""
