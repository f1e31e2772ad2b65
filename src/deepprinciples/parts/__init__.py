"""All that a config can name, one module or package a kind; `tables` lists them. Parts know neither the engine nor the config."""
