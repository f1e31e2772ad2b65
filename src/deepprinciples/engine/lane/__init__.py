"""One lane as it is compiled: its steps, its evaluations and its log."""
