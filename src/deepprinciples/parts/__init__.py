"""All that a config can name, a module or a package a kind; `tables` lists them. Parts know no engine and no config."""
