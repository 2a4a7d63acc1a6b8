"""Keypoints scored against ground truth."""
