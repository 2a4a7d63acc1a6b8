"""Every setting of the project, once; see base.py."""
