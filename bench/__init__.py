"""The benchmark suite on top of ``posemodel``: which optimizer, and which loader settings, on this machine?"""
