"""The built-in configs, one file a result: `--config NAME`."""
