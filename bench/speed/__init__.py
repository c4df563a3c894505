"""Speed against a yardstick: each module times what this project does beside a plain way to do it, in one run."""
