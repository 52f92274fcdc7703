"""Listing and showing credentials and tasks; sharing, giving and retiring tasks."""
