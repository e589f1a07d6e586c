"""Teachers that are one file: TorchScript, torch.export programs, ONNX."""
