"""Dotted paths of users' classes and functions, as `posemodel.dotted_paths` reads them."""

from posemodel.dotted_paths import is_dotted_path, split_dotted_path, with_colon, with_dots

__all__ = ["is_dotted_path", "split_dotted_path", "with_colon", "with_dots"]
