"""What a study will run: its plan, the groups of arms that share a program, and what these programs start from."""
