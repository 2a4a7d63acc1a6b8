"""Games: the Atari emulator, Gymnasium environments, and policies that play them."""
