"""Frame stores: written, read, split, fed to training; and the replay of an agent."""
