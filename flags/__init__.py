"""Command-line flags, made from the config dataclasses of permakey_tf.configs."""
