"""Many runs as processes, on this machine or on Slurm."""
