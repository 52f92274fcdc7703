"""What should not be alive: observed, judged by rules of one file each, ended where a remedy can, and reported."""
