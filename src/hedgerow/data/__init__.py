"""Labelled data sets for measuring, and the store of labels the method makes itself."""
