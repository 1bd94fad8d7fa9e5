"""Export of a trained model, for transformers or onnxruntime."""
