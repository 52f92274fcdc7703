"""Tests of third-party components: that they behave as the other tests expect."""
