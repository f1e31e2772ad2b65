"""All that a config can name, one module a kind; `tables` lists them. Parts know neither the engine nor the config."""
