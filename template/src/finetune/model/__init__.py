"""The model: loading, device and precision, fine-tuning methods (PEFT), attention, compilation."""
