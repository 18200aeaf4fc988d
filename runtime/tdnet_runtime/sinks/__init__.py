"""Where results go: files, logs, viewers. `registry.open_sink` is the way in; importing this package needs no extra."""
