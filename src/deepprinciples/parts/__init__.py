"""All that a config can name, one module a kind. Parts know neither the engine nor the config; `tables` lists them all."""
