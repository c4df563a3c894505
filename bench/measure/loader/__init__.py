"""Measuring a DataLoader: one configuration, one arm, one fresh process, one row, whatever happens."""
