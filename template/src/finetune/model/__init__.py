"""The model: loading, device and precision, PEFT methods, attention, compilation."""
