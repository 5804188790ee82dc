"""Turn a run into a model file: calibration, OOD statistics, thresholds, ONNX, int8."""
