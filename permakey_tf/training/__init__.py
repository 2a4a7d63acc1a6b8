"""Trainings of keypoints and of agents."""
