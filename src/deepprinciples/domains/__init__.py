"""Fields of application, a module or a package each; nothing but the package itself imports them."""
