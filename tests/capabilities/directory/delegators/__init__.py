"""Tests of delegators, at the layer of the authority."""
