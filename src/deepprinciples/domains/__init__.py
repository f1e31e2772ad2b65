"""Fields of application, a module or a package each; their parts are joined in `registry`, and scripts use the rest."""
